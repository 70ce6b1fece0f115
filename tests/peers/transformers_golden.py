"""Makes the golden checkpoints again and compares them with the committed ones.

    transformers_golden.py --scratch FOLDER

Weights, tokenizers and configs must be the same bytes. Logits may differ in the last bits, because
torch sums in another order on other processors; greedy tokens and ids may not.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from report import Report

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
# Hidden sums of a hundred products and a few layers: some hundred roundings of 6e-8 each, part of
# which cancel. A tenth of what an engine is allowed.
LOGITS_TOLERANCE = 2e-5  # of the range of the logits
MEASURED = ("logit_range", "smallest_gap", "low", "high")  # members of golden.json that follow from the logits


def difference(made, committed):
    """Why two files are not the same; nothing if they are, or near enough."""
    if made.read_bytes() == committed.read_bytes():
        return ""
    if committed.name == "logits.npy":
        ours, theirs = np.load(made), np.load(committed)
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            return f"{ours.dtype} {ours.shape} instead of {theirs.dtype} {theirs.shape}"
        apart = float(np.abs(ours - theirs).max() / (theirs.max() - theirs.min()))
        return "" if apart < LOGITS_TOLERANCE else f"{apart:.1e} of the range apart"
    if committed.suffix == ".logits":
        ours, theirs = (np.frombuffer(path.read_bytes(), "<u2").astype(int) for path in (made, committed))
        if ours.shape != theirs.shape:
            return f"{ours.size} logits instead of {theirs.size}"
        apart = int(np.abs(ours - theirs).max()) / 65535
        return "" if apart < LOGITS_TOLERANCE + 1 / 65535 else f"{apart:.1e} of the range apart"
    if committed.name.endswith("golden.json"):
        ours, theirs = json.loads(made.read_text("utf-8")), json.loads(committed.read_text("utf-8"))
        apart = [key for key in MEASURED if key in theirs and abs(ours.pop(key) / theirs.pop(key) - 1) > 0.05]
        apart += [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
        return f"members {', '.join(apart)} differ" if apart else ""
    return "bytes differ"


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def compare(report, folder, made):
    """The files of one folder beside those that its script makes now."""
    committed, script = GOLDEN / folder, f"make_{folder}.py"
    shutil.rmtree(made, ignore_errors=True)
    done = subprocess.run([sys.executable, GOLDEN / script, "--out", made], check=False, capture_output=True, text=True)
    report.check(done.returncode == 0, script, done.stderr[-600:] if done.returncode else "")
    only = files_of(committed) ^ files_of(made)
    report.check(not only, f"{folder}: the same files", f"only on one side: {sorted(only)}" if only else "")
    for name in sorted(files_of(committed) & files_of(made)):
        why = difference(made / name, committed / name)
        report.check(not why, f"{folder}/{name}", why)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, required=True, help="folder for files of this run")
    options = parser.parse_args()

    report = Report()
    for folder in ("models", "families"):
        compare(report, folder, options.scratch / folder)
    report.exit()


if __name__ == "__main__":
    main()
