"""phial beside llama.cpp on the tiny GGUF file of every family (tests/golden/families).

    llama_cpp_families.py --phial COMMAND --scratch FOLDER

Both compute in fp32: llama.cpp reads the files with their weights written out as F32, because it rounds activations to
16 bits beside F16 weights. Where llama.cpp is known to be wrong, that it still is so is a check too: DEVIATIONS. Runs in
an environment with llama-cpp-python, gguf and numpy; run.py makes one.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from dequantized_gguf import write_dequantized
from llama_cpp_compare import LlamaCpp
from report import Phial, Report

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "families"
# Sums of some hundred products in another order, through two layers.
TOLERANCE = 2e-5  # of the range of the logits
# llama.cpp's GELU reads a table of 16-bit floats: 2^-12 of each activation is lost.
GELU_TOLERANCE = 1e-3
WRONG = 1e-2  # what a deviation comes to, at least
LIMIT = 40  # original context of the LongRoPE models
WINDOW = 20

# Why llama.cpp differs from transformers, and at which positions and lengths.
NO_WINDOW = "does not apply the sliding window of this architecture"
LONG_ALWAYS = "takes the long factors by the context that is allocated, whatever the length of the sequence"
DEVIATIONS = {
    "phi3-4k": NO_WINDOW,
    "mistral": NO_WINDOW,
    "phi3-128k": LONG_ALWAYS,
    "phi3.5-mini": LONG_ALWAYS,
    "phi3-medium-128k": LONG_ALWAYS,
    "phi4-mini": LONG_ALWAYS,
}


def compare(report, phial, entry, source, full):
    """phial's run of `source` against llama.cpp's of the F32 file `full`."""
    name = entry["name"]
    ids = json.loads((GOLDEN / f"{entry['golden']}.golden.json").read_text("utf-8"))["ids"]
    llama = LlamaCpp(full, threads=1, context=256)
    why = DEVIATIONS.get(name)
    for length in (LIMIT, len(ids)):
        theirs = llama.logits(ids[:length])
        ours = np.load(phial.logits_file(source, ids[:length]))
        apart = np.abs(ours - theirs).max(axis=1) / (theirs.max() - theirs.min())
        if why == NO_WINDOW:
            inside, beyond = float(apart[:WINDOW].max()), float(apart[WINDOW:].max())
            report.check(inside < TOLERANCE, f"{name}, up to the window", f"{inside:.1e} of the range")
            report.check(beyond > WRONG, f"{name}, {length} tokens: llama.cpp {why}", f"{beyond:.1e}")
        elif why == LONG_ALWAYS and length <= LIMIT:
            worst = float(apart.max())
            report.check(worst > WRONG, f"{name}, {length} tokens: llama.cpp {why}", f"{worst:.1e}")
        else:
            worst = float(apart.max())
            limit = GELU_TOLERANCE if name.startswith("gemma") else TOLERANCE
            report.check(worst < limit, f"{name}, {length} tokens", f"{worst:.1e} of the range")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phial", required=True, help="the built command")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for files of this run")
    options = parser.parse_args()

    report = Report()
    phial = Phial(options.phial, options.scratch, threads=1)
    index = json.loads((GOLDEN / "index.json").read_text("utf-8"))
    for entry in index:
        if "gguf" in entry:
            source = GOLDEN / entry["gguf"]
            full = options.scratch / f"{source.stem}.f32.gguf"
            write_dequantized(source, full)
            compare(report, phial, entry, source, full)
    report.exit()


if __name__ == "__main__":
    main()
