"""What transformers' generate() answers for the golden checkpoints, and what its warpers leave of random logits.

usage: make_generation.py [--models models] [--out generation]

Writes generation/answers.json (greedy with processors, beam search) and generation/filters.json (sampling filters).
The versions of requirements.txt write the same bytes.
"""

import argparse
import json
import pathlib
import warnings

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.generation import logits_process as lp

warnings.filterwarnings("ignore")

NEW_TOKENS = 24

# The smallest distance, in log-probability, between two candidates of a beam search whose order decides, and
# between the best two scores of a greedy step. Engines that are exact in float32 stay well below it.
MIN_GAP = 5e-5

# The smallest distance of a sum of probabilities, or of a typical token's distance, from the border of a filter:
# float32 sums over a few hundred tokens are off by less.
MIN_MARGIN = 2e-6


class CloseCall(Exception):
    """A golden that rounding could decide."""


class ScoreGaps(lp.LogitsProcessor):
    """Looks at the scores behind all processors: the best two of a greedy step must be well apart."""

    def __call__(self, input_ids, scores):
        best = torch.topk(scores, 2)[0]
        gap = float((best[:, 0] - best[:, 1]).min())
        if gap < MIN_GAP:
            raise CloseCall(f"greedy step decided by {gap:.1e}")
        return scores


def watched_top_k(original):
    """_get_top_k_continuations that refuses candidates too close to each other, the first one left out included."""

    def wrapper(self, accumulated_log_probs, beams_to_keep, **kwargs):
        best = torch.topk(accumulated_log_probs, beams_to_keep + 1)[0]
        best = best[best > -1e8]
        gap = float((best[:-1] - best[1:]).min())
        if gap < MIN_GAP:
            raise CloseCall(f"candidates are {gap:.1e} apart")
        return original(self, accumulated_log_probs=accumulated_log_probs, beams_to_keep=beams_to_keep, **kwargs)

    return wrapper


# Greedy, one processor each and together. `@n` stands for the n-th greedy token without any option.
GREEDY = {
    "plain": {},
    "end ids": {"eos_token_id": ["@7", "@15"]},
    "min new tokens": {"eos_token_id": ["@3", "@9"], "min_new_tokens": 6},
    "min length": {"eos_token_id": ["@3", "@9"], "min_length": "+5"},
    "max length": {"max_length": "+9", "max_new_tokens": None},
    "repetition penalty": {"repetition_penalty": 1.3},
    "repetition reward": {"repetition_penalty": 0.9},
    "1-gram": {"no_repeat_ngram_size": 1},
    "2-gram": {"no_repeat_ngram_size": 2},
    "3-gram": {"no_repeat_ngram_size": 3},
    "bad words": {"bad_words_ids": [["@2"], ["@4", "@5"], ["@8"]]},
    "an end id is no bad word": {"bad_words_ids": [["@2"], ["@6"]], "eos_token_id": ["@6"]},
    "bias": {"sequence_bias": [[["@1"], -4.0], [["@0"], 1.5], [["@4", "@5"], -7.5], [[11], 2.25]]},
    "all": {
        "repetition_penalty": 1.15, "no_repeat_ngram_size": 3, "bad_words_ids": [["@3"], ["@6", "@7"]],
        "sequence_bias": [[["@2"], -3.0], [[17], 1.0]], "eos_token_id": ["@5", "@9"], "min_new_tokens": 12,
    },
}  # fmt: skip

BEAMS = {
    "2 beams": {"num_beams": 2},
    "3 beams, 3 answers": {"num_beams": 3, "num_return_sequences": 3},
    "4 beams with an end": {"num_beams": 4, "eos_token_id": ["#3"], "num_return_sequences": 4},
    "5 beams, two ends, short": {
        "num_beams": 5, "eos_token_id": ["#2", "#5"], "length_penalty": -1.0, "num_return_sequences": 2},
    "4 beams, long": {"num_beams": 4, "eos_token_id": ["#3", "#6"], "length_penalty": 2.0, "num_return_sequences": 3},
    "early stopping": {
        "num_beams": 4, "eos_token_id": ["#3", "#4"], "early_stopping": True, "num_return_sequences": 4},
    "never, long": {
        "num_beams": 3, "eos_token_id": ["#2"], "early_stopping": "never", "length_penalty": 1.5,
        "num_return_sequences": 3},
    "never, no length penalty": {
        "num_beams": 4, "eos_token_id": ["#2", "#4"], "early_stopping": "never", "length_penalty": 0.0,
        "num_return_sequences": 2},
    "never, short": {
        "num_beams": 3, "eos_token_id": ["#2", "#3"], "early_stopping": "never", "length_penalty": -0.5,
        "num_return_sequences": 3},
    "repetition penalty": {"num_beams": 3, "repetition_penalty": 1.2, "num_return_sequences": 2},
    "2-gram": {"num_beams": 4, "no_repeat_ngram_size": 2, "num_return_sequences": 2},
    "min new tokens": {
        "num_beams": 3, "eos_token_id": ["#1", "#2", "#3"], "min_new_tokens": 10, "num_return_sequences": 3},
    "min length": {"num_beams": 2, "eos_token_id": ["#1", "#2"], "min_length": "+8", "length_penalty": 0.7},
    "bias and bad words": {
        "num_beams": 3, "sequence_bias": [[["#0"], -2.0], [[19], 0.5]], "bad_words_ids": [["#1"], ["#2", "#3"]],
        "num_return_sequences": 3},
    "all": {
        "num_beams": 6, "eos_token_id": ["#4", "#7"], "repetition_penalty": 1.1, "no_repeat_ngram_size": 3,
        "min_new_tokens": 5, "early_stopping": True, "length_penalty": 0.8, "num_return_sequences": 6},
    "stop string": {"num_beams": 3, "stop_strings": ["$5"], "num_return_sequences": 3},
    "eight beams": {"num_beams": 8, "eos_token_id": ["#3", "#5", "#8"], "num_return_sequences": 5},
}  # fmt: skip


def filled_in(value, prompt, greedy, beam, text):
    """Placeholders made real: @n greedy token, #n token of the best beam, +n length behind the prompt, $n text."""
    if isinstance(value, list):
        return [filled_in(v, prompt, greedy, beam, text) for v in value]
    if isinstance(value, str) and value[0] in "@#+$":
        n = int(value[1:])
        return {"@": lambda: greedy[n], "#": lambda: beam[n], "+": lambda: len(prompt) + n, "$": lambda: text(n)}[
            value[0]]()
    return value


def generate(model, tokenizer, prompt, options, **more):
    # An end id that cannot be drawn stands for none: beam search without one fills up with -1.
    settings = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "pad_token_id": 0, "eos_token_id": None, **options}
    model.generation_config = GenerationConfig(eos_token_id=None)
    with torch.no_grad():
        return model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            generation_config=GenerationConfig(use_cache=True, **settings),
            tokenizer=tokenizer,
            return_dict_in_generate=True,
            output_scores=True,
            output_logits=True,
            **more,
        )


def answers_of(model, tokenizer, prompt, options):
    """The answers, best first: ids without padding, score, and raw log-probabilities of the ids."""
    beams = options.get("num_beams", 1) > 1
    out = generate(model, tokenizer, prompt, options, logits_processor=[] if beams else [ScoreGaps()])
    answers = []
    for row in range(out.sequences.shape[0]):
        ids = out.sequences[row, len(prompt) :].tolist()
        answer = {"ids": ids}
        if beams:
            steps = out.beam_indices[row].tolist()
            answer["ids"] = ids = [i for i, beam in zip(ids, steps) if beam >= 0]
            answer["score"] = round(float(out.sequences_scores[row]), 6)
            raw = [torch.log_softmax(out.logits[t][steps[t]], -1)[ids[t]] for t in range(len(ids))]
        else:
            raw = [torch.log_softmax(out.logits[t][0], -1)[ids[t]] for t in range(len(ids))]
        answer["logprob_sum"] = round(float(sum(raw)), 5)
        answers.append(answer)
    if beams:
        scores = sorted(float(s) for s in out.sequences_scores)
        for a, b in zip(scores, scores[1:]):
            if b - a < MIN_GAP:
                raise CloseCall(f"two answers score within {b - a:.1e}")
    return answers


def model_goldens(folder, attempts):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    cls = type(model)
    cls._get_top_k_continuations = watched_top_k(cls._get_top_k_continuations)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = json.loads((folder / "golden.json").read_text(encoding="utf-8"))["prompt_ids"]
    cases = []
    for kind, settings in (("greedy", GREEDY), ("beams", BEAMS)):
        for name, options in settings.items():
            # Another length of the prompt where rounding would decide.
            for cut in attempts:
                prompt = base[: len(base) - cut]
                try:
                    greedy = generate(model, tokenizer, prompt, {}).sequences[0, len(prompt) :].tolist()
                    plain = {k: v for k, v in options.items() if k == "num_beams"}
                    beam = generate(model, tokenizer, prompt, plain).sequences[0, len(prompt) :].tolist()
                    real = {
                        k: filled_in(v, prompt, greedy, beam, lambda n: stop_text(tokenizer, beam, n))
                        for k, v in options.items()
                    }
                    answers = answers_of(model, tokenizer, prompt, real)
                except CloseCall as e:
                    print(f"{folder.name}: {kind} {name}: {e}, prompt cut by {cut}")
                    continue
                real = {k: v for k, v in real.items() if v is not None}
                cases.append({"name": f"{kind}: {name}", "prompt_tokens": len(prompt), "options": real, "answers": answers})
                break
            else:
                raise SystemExit(f"{folder.name}: {kind} {name}: every prompt is a close call")
    return {"model": folder.name, "max_new_tokens": NEW_TOKENS, "cases": cases}


def stop_text(tokenizer, ids, n):
    """Text that spans two tokens of `ids`, from n on, as far as it is plain."""
    for at in range(n, len(ids) - 1):
        pieces = [tokenizer.decode([i]) for i in ids[at : at + 2]]
        if all(p and p.isascii() and p.isprintable() for p in pieces) and len("".join(pieces)) > 2:
            return "".join(pieces)[1:] if len(pieces[0]) > 1 else "".join(pieces)[:-1]
    return tokenizer.decode(ids[n : n + 1])


# ---- Filters -------------------------------------------------------------------------------------

# More than the 1,000 that are compared: those whose filter rounding could decide are left out.
VECTORS = 1060
COMPARED = 1000
VOCABULARY = 257
MASK = (1 << 64) - 1


class Rng:
    """xoshiro256** seeded through splitmix64, as base/rng.h has it."""

    def __init__(self, seed):
        self.state = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & MASK
            z = seed
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
            self.state.append(z ^ (z >> 31))

    def next(self):
        def rotl(x, k):
            return ((x << k) | (x >> (64 - k))) & MASK

        s = self.state
        result = (rotl((s[1] * 5) & MASK, 7) * 9) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
        return result

    def uniform(self):
        return (self.next() >> 11) * 2.0**-53


def random_logits(seed):
    """Bell-shaped, of a spread between 0.5 and 8: from nearly flat to nearly certain."""
    rng = Rng(seed)
    spread = 0.5 + 7.5 * rng.uniform()
    return [float(np.float32((rng.uniform() + rng.uniform() + rng.uniform() - 1.5) * spread)) for _ in range(VOCABULARY)]


FILTERS = [
    {"temperature": 0.7},
    {"temperature": 1.6},
    {"top_k": 1},
    {"top_k": 20},
    {"top_p": 0.3},
    {"top_p": 0.95},
    {"min_p": 0.05},
    {"min_p": 0.4},
    {"typical_p": 0.2},
    {"typical_p": 0.9},
    {"temperature": 0.8, "top_k": 50, "top_p": 0.9},
    {"temperature": 1.3, "top_p": 0.8, "min_p": 0.02},
    {"top_k": 40, "typical_p": 0.8},
    {"temperature": 0.9, "top_k": 60, "top_p": 0.97, "min_p": 0.01, "typical_p": 0.95},
    {"top_k": 1, "keep": 3},
    {"top_p": 0.1, "keep": 3},
    {"min_p": 0.9, "keep": 4},
    {"typical_p": 0.1, "keep": 3},
]


def warpers(options):
    keep = {"min_tokens_to_keep": options.get("keep", 1)}
    chain = []
    if "temperature" in options:
        chain.append(lp.TemperatureLogitsWarper(options["temperature"]))
    if "top_k" in options:
        chain.append(lp.TopKLogitsWarper(options["top_k"], **keep))
    if "top_p" in options:
        chain.append(lp.TopPLogitsWarper(options["top_p"], **keep))
    if "min_p" in options:
        chain.append(lp.MinPLogitsWarper(options["min_p"], **keep))
    if "typical_p" in options:
        chain.append(lp.TypicalLogitsWarper(options["typical_p"], **keep))
    return chain


def margin(warper, scores):
    """How far the closest token of each row is from the border of the filter, in float64."""
    x = scores.double()
    p = torch.softmax(x, -1)
    if isinstance(warper, lp.TopPLogitsWarper):
        sums = torch.sort(p)[0].cumsum(-1)
        return (sums - (1 - warper.top_p)).abs().min(-1)[0]
    if isinstance(warper, lp.MinPLogitsWarper):
        return (p / (warper.min_p * p.amax(-1, keepdim=True)) - 1).abs().min(-1)[0]
    if isinstance(warper, lp.TypicalLogitsWarper):
        info = -torch.log_softmax(x, -1)
        entropy = torch.where(p > 0, p * info, 0.0).sum(-1, keepdim=True)
        far, order = torch.sort((info - entropy).abs())
        sums = p.gather(-1, order).cumsum(-1)
        # Sums near the mass, and neighbours in distance that float32 might swap or make equal.
        steps = (far[:, 1:] - far[:, :-1]).nan_to_num(nan=1.0, posinf=1.0).min(-1)[0]
        return torch.minimum((sums - warper.mass).abs().min(-1)[0], steps)
    return torch.full((x.shape[0],), 1.0, dtype=torch.float64)


def filter_goldens():
    seeds = list(range(1, VECTORS + 1))
    logits = torch.tensor([random_logits(seed) for seed in seeds], dtype=torch.float32)
    # A checksum of the probabilities: each id with a weight of its own.
    weights = torch.tensor([((i * 7919) % 1009) / 1009 for i in range(VOCABULARY)], dtype=torch.float64)
    cases = []
    for options in FILTERS:
        scores = logits
        least = torch.full((VECTORS,), 1.0, dtype=torch.float64)
        for warper in warpers(options):
            least = torch.minimum(least, margin(warper, scores))
            scores = warper(None, scores)
        probabilities = torch.softmax(scores, -1).double()
        sums = (probabilities * weights).sum(-1)
        kept, checksums = [], []
        for row in range(VECTORS):
            if least[row] < MIN_MARGIN:  # rounding decides: not compared
                kept.append("-")
                checksums.append(0)
                continue
            ids = torch.nonzero(scores[row] > -torch.inf).flatten().tolist()
            kept.append(fnv(ids))
            checksums.append(round(float(sums[row]) * 1e6))
        close = kept.count("-")
        print(f"{options}: {close} close calls")
        if close > VECTORS - COMPARED:
            raise SystemExit("too many close calls")
        cases.append({"options": options, "kept": " ".join(kept), "checksums": checksums})
    return {"vectors": VECTORS, "vocabulary": VOCABULARY, "cases": cases}


def fnv(ids):
    """32-bit FNV-1a of the ids as 16-bit little-endian numbers, in hexadecimal."""
    value = 0x811C9DC5
    for i in ids:
        for byte in (i & 255, i >> 8):
            value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return f"{value:08x}"


def main():
    here = pathlib.Path(__file__).parent
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=pathlib.Path, default=here / "models")
    parser.add_argument("--out", type=pathlib.Path, default=here / "generation")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(exist_ok=True)
    filters = filter_goldens()
    (args.out / "filters.json").write_text(json.dumps(filters, separators=(",", ":")) + "\n")
    answers = [model_goldens(args.models / name, range(24)) for name in ("llama-smol", "phi3-plain")]
    lines = []
    for golden in answers:
        cases = ",\n".join(json.dumps(case, separators=(",", ":")) for case in golden.pop("cases"))
        lines.append(json.dumps(golden, separators=(",", ":"))[:-1] + f',"cases":[\n{cases}\n]}}')
    (args.out / "answers.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
