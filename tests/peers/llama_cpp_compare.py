"""phial beside llama.cpp on a real model: tokens, logits, speed.

    llama_cpp_compare.py --phial COMMAND --model FILE.gguf --scratch FOLDER [--threads N] [--part NAME]

Runs in an environment with llama-cpp-python, gguf and numpy; run.py makes one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import llama_cpp
import numpy as np

from dequantized_gguf import write_dequantized
from report import Phial, PhialError, Report

NEW_TOKENS = 32
PREFILL_TOKENS = 512
DECODE_TOKENS = 64
ROUNDS = 5
CONTEXT = 1024
# Two sound engines that round differently end up this far apart; see excused().
GAP_IN_RMS = 4.0
LOGITS_TOLERANCE = 1e-3  # of the range of the logits
SLOWEST_RATIO = 2.0

CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PROMPTS = [
    CHAT.format("What is the capital of France?"),
    CHAT.format("Write a short poem about a glass bottle."),
    CHAT.format("Explain in two sentences why the sky is blue."),
    CHAT.format("List three fruits that are red."),
    CHAT.format("What is 17 + 25?"),
    CHAT.format("Übersetze ins Deutsche: Good morning, my friend!"),
    "The quick brown fox",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n    ",
    "In 1969, the first humans to land on the Moon were",
    "The three laws of thermodynamics are:\n1.",
    "#include <stdio.h>\n\nint main(void) {\n",
]


class LlamaCpp:
    """llama.cpp with an fp32 KV cache and the logits of every position at hand."""

    def __init__(self, path, threads, context=CONTEXT, logits_all=True):
        self._llama = llama_cpp.Llama(
            str(path), n_ctx=context, n_batch=PREFILL_TOKENS, n_ubatch=PREFILL_TOKENS,
            n_threads=threads, n_threads_batch=threads, logits_all=logits_all, flash_attn=False,
            type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32, verbose=False)

    def tokenize(self, text):
        """Ids of a text; special tokens in it count as such, none are added."""
        return self._llama.tokenize(text.encode(), add_bos=False, special=True)

    def logits(self, ids):
        """[len(ids), vocab]"""
        self._llama.reset()
        self._llama.eval(ids)
        return self._llama.scores[: len(ids)].copy()

    def greedy(self, prompt_ids, new_tokens):
        """New ids, and the logits that decided each."""
        self._llama.reset()
        self._llama.eval(prompt_ids)
        ids, deciding = [], []
        while len(ids) < new_tokens:
            deciding.append(self._llama.scores[self._llama.n_tokens - 1].copy())
            ids.append(int(deciding[-1].argmax()))
            self._llama.eval(ids[-1:])
        return ids, np.array(deciding)

    def time(self, prompt_ids, new_tokens):
        """Tokens per second of one prefill and of single-token steps, sampling included."""
        raw, context = llama_cpp, self._llama._ctx.ctx
        n_vocab = self._llama.n_vocab()

        def decode(tokens):
            array = (raw.llama_token * len(tokens))(*tokens)
            if raw.llama_decode(context, raw.llama_batch_get_one(array, len(tokens))) != 0:
                raise RuntimeError("llama_decode failed")
            logits = np.ctypeslib.as_array(raw.llama_get_logits_ith(context, -1), shape=(n_vocab,))
            return int(logits.argmax())

        start = time.perf_counter()
        token = decode(prompt_ids)
        prefilled = time.perf_counter()
        for _ in range(new_tokens):
            token = decode([token])
        decoded = time.perf_counter()
        return {"prefill_tps": len(prompt_ids) / (prefilled - start),
                "decode_tps": new_tokens / (decoded - prefilled)}


def excused(theirs, ours):
    """Whether a different choice at one position is rounding: llama.cpp quantizes activations, so
    its logits are off by noise; two that lie closer than a few times the noise may swap."""
    second, first = np.sort(theirs)[-2:]
    rms = float(np.sqrt(np.mean((theirs.astype(np.float64) - ours) ** 2)))
    return float(first - second), rms, first - second < GAP_IN_RMS * rms


def compare_tokens(report, phial, model, llama):
    """Greedy continuations. After an excused difference phial goes on from llama.cpp's token, so
    that all 32 positions of a prompt are compared."""
    print(f"\n{'prompt':40} {'same':>5}  differences (position: gap of llama.cpp's best two, rms)")
    for text in PROMPTS:
        prompt_ids = llama.tokenize(text)
        want, deciding = llama.greedy(prompt_ids, NEW_TOKENS)
        done, same, notes, sound = 0, 0, [], True
        while done < NEW_TOKENS:
            history = prompt_ids + want[:done]
            got = phial.generate(model, history, NEW_TOKENS - done)["outputs"][0]["ids"]
            if len(got) != NEW_TOKENS - done:
                notes.append(f"{len(got)} tokens instead of {NEW_TOKENS - done}")
                sound = False
                break
            agree = next((i for i, id in enumerate(got) if id != want[done + i]), len(got))
            same += agree
            done += agree
            if done < NEW_TOKENS:
                ours = np.load(phial.logits_file(model, prompt_ids + want[:done], last=True))[-1]
                gap, rms, fine = excused(deciding[done], ours)
                notes.append(f"{done}: {gap:.3f}, {rms:.3f} {'excused' if fine else 'NOT EXCUSED'}")
                sound = sound and fine
                done += 1
        print(f"{json.dumps(text)[:40]:40} {same:>2}/{NEW_TOKENS}  {'; '.join(notes)}")
        report.check(sound, f"greedy tokens of {json.dumps(text)[:40]}")


def compare_text(report, phial, model, llama):
    got = phial.tokenize_lines(model, PROMPTS)
    wrong = [text for text, ids in zip(PROMPTS, got, strict=True) if ids != llama.tokenize(text)]
    report.check(not wrong, "token ids of the prompts", f"differ: {wrong}" if wrong else "")


def compare_logits(report, phial, model, full_model, threads):
    """On F32 weights only the order of sums differs. phial computes in fp32 from the codes of the
    quantized file too, so that file is held to the same answer."""
    llama = LlamaCpp(full_model, threads)
    print(f"\n{'logits against llama.cpp on F32 weights':60} {'max abs':>10} {'of range':>10}")
    for path, name in ((full_model, "F32 file"), (model, "quantized file")):
        worst = 0.0
        for text in PROMPTS[:3] + PROMPTS[7:8]:
            ids = llama.tokenize(text)
            ids += llama.greedy(ids, NEW_TOKENS)[0]
            theirs = llama.logits(ids)
            ours = np.load(phial.logits_file(path, ids))
            if ours.shape != theirs.shape:
                raise PhialError(f"logits of shape {ours.shape}, expected {theirs.shape}")
            largest = float(np.abs(ours - theirs).max())
            relative = largest / float(theirs.max() - theirs.min())
            worst = max(worst, relative)
            print(f"{name + ', ' + json.dumps(text)[:40]:60} {largest:10.2e} {relative:10.2e}")
        report.check(worst < LOGITS_TOLERANCE, f"logits, {name}",
                     f"{worst:.1e} of the range, limit {LOGITS_TOLERANCE:.0e}")


def compare_speed(report, phial, model, llama, threads):
    """Fresh processes in turns, so that neither has the machine to itself while it is cool. Both
    wait by spinning: on a machine that is busy with other work the ratio says little."""
    if os.getloadavg()[0] > 0.5 * os.cpu_count():
        print(f"\nNOTE: load average {os.getloadavg()[0]:.1f}; run this again on an idle machine")
    text = "It was the best of times, it was the worst of times, and the river ran on to the sea. "
    prompt_ids = llama.tokenize(text * 40)[:PREFILL_TOKENS]
    request = json.dumps({"model": str(model), "threads": threads, "prompt_ids": prompt_ids})
    rounds = {"phial": [], "llama.cpp": []}
    for _ in range(ROUNDS):
        rounds["phial"].append(phial.generate(model, prompt_ids, DECODE_TOKENS)["stats"])
        done = subprocess.run([sys.executable, __file__, "--time-once"], input=request, text=True,
                              capture_output=True, check=True)
        rounds["llama.cpp"].append(json.loads(done.stdout))
    print(f"\n{'tok/s, median of ' + str(ROUNDS):24} {'phial':>10} {'llama.cpp':>10} {'time ratio':>10}"
          f"   ({threads} threads)")
    for key, name in (("prefill_tps", f"prefill {PREFILL_TOKENS}"), ("decode_tps", "decode")):
        ours, theirs = (statistics.median(r[key] for r in rounds[who]) for who in rounds)
        print(f"{name:24} {ours:10.1f} {theirs:10.1f} {theirs / ours:10.2f}")
        report.check(theirs / ours <= SLOWEST_RATIO, f"speed of {name}",
                     f"{theirs / ours:.2f} times llama.cpp's time, limit {SLOWEST_RATIO}")


def time_once():
    """Child of compare_speed: one run of llama.cpp, after a warm-up of a few tokens."""
    request = json.load(sys.stdin)
    llama = LlamaCpp(request["model"], request["threads"], logits_all=False)
    llama.time(request["prompt_ids"][:8], 2)
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(llama._llama._ctx.ctx), True)
    json.dump(llama.time(request["prompt_ids"], DECODE_TOKENS), sys.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phial", required=True, help="the built command")
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file with a ChatML vocabulary")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for files of this run")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--part", choices=("ids", "tokens", "logits", "speed"), action="append",
                        help="repeatable; all if left out")
    options = parser.parse_args()

    report = Report()
    phial = Phial(options.phial, options.scratch, options.threads)
    full_model = options.scratch / f"{options.model.stem}.f32.gguf"
    if not full_model.exists():
        write_dequantized(options.model, full_model)
    llama = LlamaCpp(options.model, options.threads)
    comparisons = {
        "ids": lambda: compare_text(report, phial, options.model, llama),
        "tokens": lambda: compare_tokens(report, phial, options.model, llama),
        "logits": lambda: compare_logits(report, phial, options.model, full_model, options.threads),
        "speed": lambda: compare_speed(report, phial, options.model, llama, options.threads),
    }
    for name in options.part or comparisons:
        try:
            comparisons[name]()
        except (PhialError, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
            report.check(False, name, f"{type(error).__name__}: {error}")
    report.exit()


if __name__ == "__main__":
    if sys.argv[1:] == ["--time-once"]:
        time_once()
    else:
        main()
