#!/usr/bin/env python3
"""phial's tokenizer against Hugging Face `tokenizers`, on the same text and one core.

The vocabulary is SmolLM2's, from its GGUF, under three pre-tokenizers: its own, that of Llama 3 and that
of Qwen2. The text is English from this machine's documentation, repeated where there is little of it. Fails
where phial is not at least 15 times as fast as the fastest way to call `tokenizers`, or where one id differs.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

# pylint: disable=wrong-import-position
import gguf
from report import Report
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

LEAST = 15.0
TEXT_BYTES = 4_000_000
ROUNDS = 3
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def by_pattern(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def steps():
    """The pre-tokenizers by name."""
    own = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                   pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    return {"SmolLM2": own, "Llama 3": by_pattern(PATTERN % "{1,3}"), "Qwen2": by_pattern(PATTERN % "")}


def read_vocabulary(path):
    """Pieces and merges of a GGUF file."""
    fields = gguf.GGUFReader(path).fields

    def strings(key):
        field = fields[key]
        return [bytes(field.parts[i]).decode("utf-8") for i in field.data]

    pieces = {piece: i for i, piece in enumerate(strings("tokenizer.ggml.tokens"))}
    return pieces, [tuple(merge.split(" ")) for merge in strings("tokenizer.ggml.merges")]


def english():
    """Prose that Debian machines have: what is mostly letters of the licences and documentation."""
    parts, size = [], 0
    for path in sorted(Path("/usr/share/common-licenses").glob("*")) + sorted(
            Path("/usr/share/doc").glob("*/*")) + sorted(Path("/usr/share/perl").rglob("*.pod")):
        if size >= TEXT_BYTES:
            break
        if not path.is_file() or path.is_symlink() or path.suffix == ".gz":
            continue
        try:
            text = path.read_text("utf-8")[:300_000]
        except (OSError, UnicodeDecodeError):
            continue
        letters = sum(c.isalpha() or c == " " for c in text[:4000])
        if len(text) < 500 or letters < 0.78 * min(len(text), 4000):
            continue
        parts.append(text)
        size += len(text)
    text = "\n\n".join(parts)
    return (text * (TEXT_BYTES // len(text) + 1))[:TEXT_BYTES]


def rate(size, call):
    """Median MB per second of processor time."""
    seconds = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        call()
        seconds.append(time.process_time() - begin)
    return size * 1e-6 / statistics.median(seconds)


def their_rates(tokenizer, text):
    lines = text.split("\n")
    size = len(text.encode("utf-8"))
    return {
        "one text": rate(size, lambda: tokenizer.encode(text, add_special_tokens=False)),
        "lines": rate(size, lambda: [tokenizer.encode(line, add_special_tokens=False) for line in lines]),
        "batch": rate(size, lambda: tokenizer.encode_batch(lines, add_special_tokens=False)),
        "fast batch": rate(size, lambda: tokenizer.encode_batch_fast(lines, add_special_tokens=False)),
    }


def phial_json(command, *arguments, text=None):
    done = subprocess.run([str(command), *map(str, arguments), "--json"], input=text, check=True,
                          capture_output=True, timeout=600)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phial", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    report = Report()
    text = english()
    text_path = options.scratch / "english.txt"
    text_path.write_text(text, encoding="utf-8", newline="")
    pieces, merges = read_vocabulary(options.model)
    print(f"{'pre-tokenizer':14} {'one text':>9} {'lines':>9} {'batch':>9} {'fast batch':>10}"
          f" {'phial':>9} {'factor':>7}   (MB/s)")
    for name, pre_tokenizer in steps().items():
        tokenizer = Tokenizer(models.BPE(vocab=pieces, merges=merges))
        tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.decoder = decoders.ByteLevel()
        path = options.scratch / "tokenizer.json"
        tokenizer.save(str(path))
        theirs = their_rates(tokenizer, text)
        rows = phial_json(options.phial, "bench", path, "--tokenizer", "--text", text_path)["rows"]
        ours = next(row["value"] for row in rows if row["name"] == "tokenizer_mbps")
        factor = ours / max(theirs.values())
        print(f"{name:14} {theirs['one text']:9.2f} {theirs['lines']:9.2f} {theirs['batch']:9.2f}"
              f" {theirs['fast batch']:10.2f} {ours:9.1f} {factor:7.1f}")
        report.check(factor >= LEAST, f"speed of {name}", f"{factor:.1f} times, at least {LEAST:.0f}")
        ids = phial_json(options.phial, "tokenize", path, "-", text=text.encode("utf-8"))["ids"]
        same = ids == tokenizer.encode(text, add_special_tokens=False).ids
        report.check(same, f"ids of {name}", f"{len(ids)} tokens")
    report.exit()


if __name__ == "__main__":
    main()
