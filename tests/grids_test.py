#!/usr/bin/env python3
"""phial logits on a model in each popular GGUF type, against the logits of its dequantized weights.

    grids_test.py PHIAL FOLDER    FOLDER: tests/golden/grid_models

On every instruction set that this machine has; those it lacks are reported as not executed. NaN in the scale of one
block is exit code 3 and names the tensor.
"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile

VOCABULARY, IDS = 32, 40  # of make_grid_models.py
TOLERANCE = 2e-4  # of the logit range, as for all golden models


def run(phial, *arguments):
    return subprocess.run([phial, *map(str, arguments)], capture_output=True, text=True, check=False)


def read_npy(path):
    data = path.read_bytes()
    (header,) = struct.unpack_from("<H", data, 8)
    return struct.unpack_from(f"<{IDS * VOCABULARY}f", data, 10 + header)


def check_model(phial, model, isa, folder):
    out = folder / "out.npy"
    arguments = ["--ids", folder / "ids.json", "--out", out, "--isa", isa]
    done = run(phial, "logits", model, *arguments)
    if done.returncode != 0:
        return f"exit code {done.returncode}: {done.stderr.strip()}"
    expected = struct.unpack(f"<{IDS * VOCABULARY}f", model.with_suffix(".logits").read_bytes())
    worst = max(abs(a - b) for a, b in zip(read_npy(out), expected))
    bound = TOLERANCE * (max(expected) - min(expected))
    return "" if worst <= bound else f"off by {worst:.3g}, allowed {bound:.3g}"


def tensor_info(data, name):
    """Offset of a tensor in the data of a GGUF file, and where its entry ends."""
    at = data.index(name) + len(name)
    (n_dims,) = struct.unpack_from("<I", data, at)
    at += 4 + 8 * n_dims + 4
    return struct.unpack_from("<Q", data, at)[0], at + 8


def check_nan(phial, model, folder):
    """The scale of the first block of one tensor becomes NaN."""
    data, name = bytearray(model.read_bytes()), b"blk.0.ffn_up.weight"
    data_begin = (tensor_info(data, b"output_norm.weight")[1] + 31) // 32 * 32  # behind the last entry
    at = data_begin + tensor_info(data, name)[0]
    data[at : at + 2] = b"\x00\x7e"
    damaged = folder / "nan.gguf"
    damaged.write_bytes(data)
    done = run(phial, "logits", damaged, "--ids", folder / "ids.json", "--out", folder / "out.npy")
    message = done.stderr.strip()
    named = "NaN" in message and name.decode() in message
    return "" if done.returncode == 3 and named else f"exit code {done.returncode}: {message}"


def main():
    phial, models = sys.argv[1], pathlib.Path(sys.argv[2])
    isas = json.loads(run(phial, "doctor", "--json").stdout)["isa"]
    for isa in set(isas["built"]) - set(isas["available"]):
        print(f"not executed: {isa}, which this processor lacks")
    failures = passed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "ids.json").write_text(json.dumps([i * 7 % VOCABULARY for i in range(IDS)]))
        results = [
            (f"{model.stem} {isa}", check_model(phial, model, isa, folder))
            for model in sorted(models.glob("*.gguf"))
            for isa in isas["available"]
        ]
        results.append(("NaN in a scale", check_nan(phial, models / "q8_0.gguf", folder)))
    for title, problem in results:
        failures += bool(problem)
        passed += not problem
        if problem:
            print(f"{title}: {problem}")
    print(f"{passed} passed, {failures} failed")
    return failures != 0 or passed < 12


if __name__ == "__main__":
    sys.exit(main())
