#!/usr/bin/env python3
"""Makes the golden files of every model family and variant.

    python make_families.py --out families [--only phi3-128k]

Checkpoints of two tiny layers, so small that every family, rope scaling and window has one: configurations as
published models have them, random weights (shared where the shapes are), GGUF twins, and the logits and greedy tokens
of transformers. README.md says what each file holds. The same versions write the same bytes again.
"""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from golden_gguf import write_bare_gguf
from golden_outputs import MIN_GAP
from make_models import random_tensor, write_json

VOCABULARY = 40
LIMIT = 40  # original_max_position_embeddings
CONTEXT = 160
WINDOW = 20
TOKENS = 96  # of the sequence whose logits are kept
WINDOWED_TOKENS = 150  # two of the engine's pages of 64 positions lie behind the window at its end

NEW_TOKENS = 12
PROMPT_LENGTHS = (3, 17, LIMIT - 5, LIMIT, LIMIT + 1, 70)
TURNS = ((12, 10), (12, 10), (30, 10))  # tokens of the user, then of the model

BASE = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 24,
    "intermediate_size": 32,
    "max_position_embeddings": CONTEXT,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "vocab_size": VOCABULARY,
}
LLAMA = {**BASE, "model_type": "llama", "architectures": ["LlamaForCausalLM"]}
PHI3 = {
    **BASE,
    "model_type": "phi3",
    "architectures": ["Phi3ForCausalLM"],
    "num_key_value_heads": 3,
    "original_max_position_embeddings": LIMIT,
    "pad_token_id": 0,
    "rope_scaling": None,
    "sliding_window": 262144,
}
PHI3_MEDIUM = {**PHI3, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
LONG_4 = [1.05, 2.5, 11.25, 32.0]
SHORT_4 = [1.0, 1.02, 1.1, 1.75]
QWEN2 = {
    **BASE,
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "max_window_layers": 2,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
}
GEMMA2 = {
    **BASE,
    "model_type": "gemma2",
    "architectures": ["Gemma2ForCausalLM"],
    "attn_logit_softcapping": 4.0,
    "final_logit_softcapping": 6.0,
    "head_dim": 16,
    "hidden_activation": "gelu_pytorch_tanh",
    "num_attention_heads": 2,
    "query_pre_attn_scalar": 16,
    "rms_norm_eps": 1e-6,
    "sliding_window": WINDOW,
    "tie_word_embeddings": True,
}
del GEMMA2["hidden_act"]


@dataclasses.dataclass(frozen=True)
class Variant:
    name: str
    weights: str  # variants with the same weights name the same
    config: dict
    arch: str = ""  # of the GGUF twin; none where the format cannot say it
    new_style: bool = False  # config.json as transformers 5 saves it
    golden: str = ""  # of another variant that computes the same
    tokens: int = TOKENS

    @property
    def rope(self):
        scaling = self.config.get("rope_scaling") or {}
        return scaling.get("rope_type", scaling.get("type", "default"))


def longrope(kind, short, long):
    return {"long_factor": long, "short_factor": short, "type": kind}


VARIANTS = [
    Variant("phi3-4k", "phi3-mini", {**PHI3, "sliding_window": WINDOW}, "phi3", tokens=WINDOWED_TOKENS),
    Variant("phi3-128k", "phi3-mini", {**PHI3, "rope_scaling": longrope("longrope", SHORT_4, LONG_4)}, "phi3"),
    # The first revision's word for it, which transformers 5.23 does not load.
    Variant(
        "phi3-128k-su", "phi3-mini", {**PHI3, "rope_scaling": longrope("su", SHORT_4, LONG_4)}, golden="phi3-128k"
    ),
    Variant(
        "phi3.5-mini",
        "phi3-mini",
        {**PHI3, "rope_scaling": longrope("longrope", [1.0, 1.2, 1.9, 2.8], [1.08, 3.2, 20.0, 64.0])},
        "phi3",
        new_style=True,
    ),
    Variant(
        "phi3-medium-128k",
        "phi3-medium",
        {**PHI3_MEDIUM, "rope_scaling": longrope("longrope", [1.0, 1.0, 1.05, 1.5], [1.0, 1.25, 9.25, 65.0])},
        "phi3",
    ),
    Variant("phi4", "phi3-medium", {**PHI3_MEDIUM, "rope_theta": 250000.0, "sliding_window": None}, "phi3"),
    Variant(
        "phi4-mini",
        "phi4-mini",
        {
            **PHI3_MEDIUM,
            "partial_rotary_factor": 0.75,
            "rope_scaling": longrope("longrope", [1.0, 1.0, 1.0], [1.0, 4.27, 32.0]),
            "tie_word_embeddings": True,
        },
        "phi3",
    ),
    Variant(
        "llama3.1",
        "llama",
        {
            **LLAMA,
            "rope_scaling": {
                "factor": 8.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 64,
                "rope_type": "llama3",
            },
            "rope_theta": 1000.0,
        },
        "llama",
    ),
    Variant("llama-linear", "llama", {**LLAMA, "rope_scaling": {"factor": 2.5, "type": "linear"}}, "llama"),
    Variant(
        "llama-yarn",
        "llama",
        {**LLAMA, "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 64, "rope_type": "yarn"}},
        "llama",
        new_style=True,
    ),
    Variant(
        "llama-dynamic",
        "llama",
        {**LLAMA, "max_position_embeddings": LIMIT, "rope_scaling": {"factor": 4.0, "type": "dynamic"}},
    ),
    Variant(
        "mistral",
        "llama",
        {**LLAMA, "model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": WINDOW},
        "llama",
        tokens=WINDOWED_TOKENS,
    ),
    Variant(
        "granite",
        "llama",
        {
            **LLAMA,
            "model_type": "granite",
            "architectures": ["GraniteForCausalLM"],
            "attention_multiplier": 0.25,
            "embedding_multiplier": 3.0,
            "logits_scaling": 2.5,
            "residual_multiplier": 0.7,
        },
        "granite",
    ),
    Variant("qwen2.5", "qwen2", QWEN2, "qwen2"),
    Variant(
        "qwen2-window",
        "qwen2",
        {**QWEN2, "max_window_layers": 1, "sliding_window": WINDOW, "use_sliding_window": True},
        tokens=WINDOWED_TOKENS,
    ),
    Variant(
        "qwen3",
        "qwen3",
        {
            **BASE,
            "model_type": "qwen3",
            "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": False,
            "head_dim": 12,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "tie_word_embeddings": True,
        },
        "qwen3",
    ),
    Variant("gemma2", "gemma2", GEMMA2, "gemma2", tokens=WINDOWED_TOKENS),
    Variant(
        "gemma2-new",
        "gemma2",
        {**GEMMA2, "query_pre_attn_scalar": 24, "attn_logit_softcapping": None},
        new_style=True,
        tokens=WINDOWED_TOKENS,
    ),
    Variant(
        "smollm3",
        "smollm3",
        {
            **BASE,
            "model_type": "smollm3",
            "architectures": ["SmolLM3ForCausalLM"],
            "hidden_size": 16,
            "num_attention_heads": 2,
            "num_hidden_layers": 4,
            "pad_token_id": 0,
            "tie_word_embeddings": True,
        },
        "smollm3",
    ),
]

# Of each set of weights: the first that decides every greedy step of every variant clearly. After a change the next
# ones are tried.
SEEDS = {
    "gemma2": 1,
    "llama": 37,
    "phi3-medium": 6,
    "phi3-mini": 7,
    "phi4-mini": 2,
    "qwen2": 2,
    "qwen3": 2,
    "smollm3": 5,
}


class Undecided(Exception):
    """Two logits of a greedy step lie too close; another seed is needed."""


def random_weights(variant, seed):
    """Hugging Face names to float16 tensors."""
    config = AutoConfig.for_model(**variant.config)
    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in AutoModelForCausalLM.from_config(config).named_parameters()}
    weights = {}
    for name, shape in shapes.items():
        values = random_tensor(seed, name, shape)
        if variant.config["model_type"] == "gemma2" and name.endswith("norm.weight"):
            values -= 1
        weights[name] = torch.from_numpy(values).half()
    return weights


def load(variant, weights):
    config = AutoConfig.for_model(**variant.config)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    missing, unexpected = model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    tied = {"lm_head.weight"} if variant.config["tie_word_embeddings"] else set()
    if set(missing) - tied or unexpected:
        raise ValueError(f"{variant.name}: {missing} {unexpected}")
    model.tie_weights()
    return model


def full_logits(model, ids):
    """One forward pass without a cache: what every way of computing has to come to."""
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0]


def pick(row, span):
    best = torch.topk(row, 2).values
    if float(best[0] - best[1]) < MIN_GAP * span:
        raise Undecided
    return int(row.argmax())


def greedy(model, prompt, count, span):
    """New ids, each decided by a full forward pass; transformers' cached generation has to agree."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(pick(full_logits(model, ids)[-1], span))
    cached = generate(model, prompt, count)
    if cached != ids[len(prompt) :]:
        raise ValueError("transformers' cached generation differs from its full forward passes")
    return cached


def generate(model, prompt, count):
    model.generation_config = GenerationConfig(eos_token_id=None)
    config = GenerationConfig(
        do_sample=False, use_cache=True, max_new_tokens=count, eos_token_id=None, pad_token_id=0
    )
    out = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), generation_config=config
    )
    return out[0, len(prompt) :].tolist()


def conversation(model, source, span):
    """Three turns of a user's tokens and the model's; each turn decided by full forward passes."""
    history, turns, at = [], [], 0
    for user, answer in TURNS:
        prompt = source[at : at + user]
        at += user
        new = greedy(model, history + prompt, answer, span)
        turns.append({"prompt_ids": prompt, "greedy_ids": new})
        history += prompt + new
    return turns


def cached_steps(model, ids, prompt_tokens):
    """[len(ids), vocabulary]: the prompt in one pass, then token by token through the cache."""
    rows = []
    with torch.no_grad():
        step = model(torch.tensor([ids[:prompt_tokens]]), use_cache=True)
        rows.append(step.logits[0])
        for token in ids[prompt_tokens:]:
            step = model(torch.tensor([[token]]), past_key_values=step.past_key_values, use_cache=True)
            rows.append(step.logits[0])
    return torch.cat(rows)


def random_ids(seed, count):
    return np.random.Generator(np.random.Philox(key=[seed, 77])).integers(0, VOCABULARY, count).tolist()


def dynamic_golden(variant, weights, ids):
    """Dynamic scaling depends on how a sequence was fed: the prompt at once, then token by token."""
    prompt_tokens = LIMIT - 10
    logits = cached_steps(load(variant, weights), ids, prompt_tokens)
    span = float(logits.max() - logits.min())
    prompts = []
    for n in PROMPT_LENGTHS:
        prompt = random_ids(1000 + n, n)
        new = generate(load(variant, weights), prompt, NEW_TOKENS)  # a model remembers its longest length
        rows = cached_steps(load(variant, weights), prompt + new[:-1], n)[n - 1 :]
        if [pick(row, span) for row in rows] != new:
            raise ValueError("generate and the decode steps disagree")
        prompts.append({"prompt_ids": prompt, "greedy_ids": new})
    return logits, {"cached_prompt": prompt_tokens, "prompts": prompts, "turns": []}


def golden(variant, weights):
    """The logits, [rows, vocabulary], and the members of golden.json."""
    ids = random_ids(5, variant.tokens)
    if variant.rope == "dynamic":
        logits, members = dynamic_golden(variant, weights, ids)
    else:
        model = load(variant, weights)
        logits = full_logits(model, ids)
        short_rows = 0
        if variant.rope == "longrope":
            # A sequence of up to LIMIT tokens has the short factors, a longer one the long ones throughout.
            short_rows = LIMIT
            logits = torch.cat([full_logits(model, ids[:LIMIT]), logits])
        span = float(logits.max() - logits.min())
        prompts = []
        for n in PROMPT_LENGTHS:
            prompt = random_ids(1000 + n, n)
            prompts.append({"prompt_ids": prompt, "greedy_ids": greedy(model, prompt, NEW_TOKENS, span)})
        members = {
            "short_rows": short_rows,
            "prompts": prompts,
            "turns": conversation(model, random_ids(2000, 100), span),
        }
    low, high = float(logits.min()), float(logits.max())
    return logits.numpy(), {"ids": ids, "low": low, "high": high, **members}


def write_golden(out, name, logits, members):
    """Logits in 65536 steps of their range: 8e-6 of it at most is lost, of the 2e-4 that an engine may be off."""
    low, high = members["low"], members["high"]
    codes = np.rint((logits.astype(np.float64) - low) / (high - low) * 65535).astype("<u2")
    (out / f"{name}.logits").write_bytes(codes.tobytes())
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in members.items()]
    (out / f"{name}.golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def goldens_of(variants):
    """Weights and the golden of each variant, from the first seed that decides everything."""
    first = SEEDS.get(variants[0].weights, 1)
    for seed in range(first, first + 200):
        weights = random_weights(variants[0], seed)
        try:
            return seed, weights, {v.name: golden(v, weights) for v in variants if not v.golden}
        except Undecided:
            continue
    raise ValueError(f"{variants[0].weights}: no seed decides every step")


def write_config(variant, path):
    if not variant.new_style:
        write_json(path, variant.config)
        return
    folder = path.parent / "scratch"
    AutoConfig.for_model(**variant.config).save_pretrained(folder)
    shutil.move(folder / "config.json", path)
    folder.rmdir()


def make(name, out):
    """Writes one set of weights and its variants; returns their lines of index.json."""
    variants = [v for v in VARIANTS if v.weights == name]
    seed, weights, goldens = goldens_of(variants)
    print(f"{name}: seed {seed}")
    save_file(weights, out / f"{name}.safetensors", {"format": "pt"})
    (out / f"{name}.safetensors").chmod(0o644)
    values = {key: tensor.float().numpy() for key, tensor in weights.items()}
    index = []
    for variant in variants:
        write_config(variant, out / f"{variant.name}.config.json")
        if not variant.golden:
            write_golden(out, variant.name, *goldens[variant.name])
        entry = {"name": variant.name, "weights": name, "golden": variant.golden or variant.name}
        if variant.arch:
            write_bare_gguf(out / f"{variant.name}.gguf", variant.arch, variant.config, values)
            entry["gguf"] = f"{variant.name}.gguf"
        index.append(entry)
    return index


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder that receives the files")
    parser.add_argument("--only", action="append", help="name of a set of weights; index.json is then left alone")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    options.out.mkdir(parents=True, exist_ok=True)
    index = []
    for name in dict.fromkeys(variant.weights for variant in VARIANTS):
        if not options.only or name in options.only:
            index += make(name, options.out)
    if not options.only:
        write_json(options.out / "index.json", index)


if __name__ == "__main__":
    main()
