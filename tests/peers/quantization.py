"""phial's quantizers beside llama.cpp's and mlx-lm's: codes, errors, engines on each other's files,
and quality at equal bits.

    quantization.py --phial COMMAND --model SMOLLM2.gguf --scratch FOLDER [--torch PYTHON]
                    [--mlx PYTHON] [--tokens N] [--layers N] [--threads N] [--part NAME]
                    [--table OUT.md]

Runs in an environment with llama-cpp-python, gguf and numpy; run.py makes one. PYTHON is that of an
environment with transformers (for the importance matrix) or mlx-lm; what needs one that is not
given is left out and said so. All tools start from the files of scripts/make_quality_reference.py.

- codes: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 at effort fast are llama.cpp's, bit for bit, the grid of every
  tensor included, with and without its fallbacks;
- errors: K-quants and IQ4 at either effort lose no more than llama.cpp's, summed over the model;
- engines: phial's files in llama.cpp and llama.cpp's in phial agree with the other engine in its
  most exact way;
- numerics: on SmolLM2 itself and held-out text, --compute int8 and every --kv against fp32 and f32;
- quality: on held-out text, KL to the reference against that of the peers at the same bits, and a
  table of size, time, memory and quality;
- size: time and memory on some layers of Phi-3-mini's shape (quantization_full_size.py). Takes 5 GB of
  disk for 8 layers, 17 GB for all 32.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from dequantized_gguf import write_dequantized
from llama_cpp_compare import LlamaCpp
from quantization_full_size import measure_full_size
from quantization_models import (Measured, llama_quantize, squared_error, tensors_of,
                                 write_random_model)
from report import Phial, PhialError, Report

ROOT = Path(__file__).resolve().parent.parent.parent
MOST_KL = 0.002   # of two engines on the same file
DECIDED_GAP = 0.25
MOST_NOISE = 1.1  # times llama.cpp's own: the two exact runs differ in the order of sums alone
ENGINE_TOKENS = 256
CALIBRATION_TOKENS = 8192
WINDOWS = ("--context", "512", "--stride", "512", "--continuations", "0")

CODE_TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
ERROR_TYPES = ("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K",
               "IQ4_NL", "IQ4_XS")

# Rows of the table: name, how it is made, and for ours the peer's row with the most that our KL may
# be of its KL. Ours without a scheme is the mix of grids of as many bits as the peer's file has;
# those with one have the peer's grids tensor by tensor.
OURS, LLAMA, MLX = "phial", "llama.cpp", "mlx-lm"
ROWS = {
    "llama.cpp Q4_0": (LLAMA, "Q4_0", False, None),
    "phial Q4_0": (OURS, "gguf:q4_0", False, ("llama.cpp Q4_0", 0.80)),
    "phial, as many bits as Q4_0": (OURS, "gguf", False, ("llama.cpp Q4_0", 0.40)),
    "llama.cpp IQ4_NL": (LLAMA, "IQ4_NL", False, None),
    "phial IQ4_NL": (OURS, "gguf:iq4_nl", False, ("llama.cpp IQ4_NL", 0.80)),
    "mlx-lm 4 bits g64": (MLX, "4", False, None),
    "phial MLX 4 bits g64": (OURS, "mlx:4", False, ("mlx-lm 4 bits g64", 0.80)),
    "phial MLX, as many bits": (OURS, "mlx", False, ("mlx-lm 4 bits g64", 0.80)),
    "llama.cpp Q4_0, imatrix": (LLAMA, "Q4_0", True, None),
    "phial Q4_0, imatrix": (OURS, "gguf:q4_0", True, ("llama.cpp Q4_0, imatrix", 0.75)),
    "llama.cpp IQ4_NL, imatrix": (LLAMA, "IQ4_NL", True, None),
    # The search of either goes by the same weights: on the same grids little is left to gain.
    "phial IQ4_NL, imatrix": (OURS, "gguf:iq4_nl", True, ("llama.cpp IQ4_NL, imatrix", 0.92)),
    "phial, as many bits as IQ4_NL, imatrix": (OURS, "gguf", True,
                                               ("llama.cpp IQ4_NL, imatrix", 0.80)),
    "phial MLX 4 bits g64, imatrix": (OURS, "mlx:4", True, ("mlx-lm 4 bits g64", 0.40)),
    "llama.cpp Q4_K_M": (LLAMA, "Q4_K_M", False, None),
    "phial Q4_K_M": (OURS, "gguf:q4_k_m", False, None),
    "phial, as many bits as Q4_K_M": (OURS, "gguf", False, ("llama.cpp Q4_K_M", 0.80)),
    "phial Q8_0": (OURS, "gguf:q8_0", False, None),
}


class Bench:
    """The files that all tools start from, made once, and those made of them."""

    def __init__(self, options):
        self.options = options
        self.scratch = options.scratch
        self.phial = Phial(options.phial, options.scratch, options.threads)
        self.reference = options.scratch / "reference"
        self.random = options.scratch / "random"
        self.imatrix = options.scratch / "imatrix.gguf"
        if not (self.reference / "model.safetensors").exists():
            subprocess.run([sys.executable, ROOT / "scripts" / "make_quality_reference.py",
                            "--model", options.model, options.scratch], check=True)
        if not (self.random / "model.safetensors").exists():
            write_random_model(self.random, self.reference)
        for folder in (self.reference, self.random):
            if not self.gguf(folder).exists():
                self.phial.command_json("convert", folder, "-o", self.gguf(folder), "--to",
                                        "gguf:bf16")

    def gguf(self, folder):
        """The source as a GGUF file, the same numbers."""
        return self.scratch / f"{folder.name}-bf16.gguf"

    def has_imatrix(self):
        if not self.imatrix.exists() and self.options.torch:
            subprocess.run([self.options.torch, Path(__file__).parent / "quantization_imatrix.py",
                            self.reference, self.scratch / "calibration.txt", self.imatrix,
                            str(CALIBRATION_TOKENS)], check=True)
        return self.imatrix.exists()

    def ours(self, folder, target, effort, imatrix=False, bits=None):
        """The output and the report."""
        name = "-".join([target.replace(":", "-"), *(["imatrix"] if imatrix else []),
                         *([f"{bits:.4f}"] if bits else [])])
        out = self.scratch / f"{folder.name}-phial-{name}-{effort}"
        out = out.with_name(out.name + ".gguf") if target.startswith("gguf") else out
        told = Path(f"{out}.json")
        if not (out.exists() and told.exists()):
            report = self.phial.command_json(
                "quantize", folder, "-o", out, "--to", target, "--effort", effort,
                *(["--imatrix", self.imatrix] if imatrix else []),
                *(["--bits-per-weight", repr(bits)] if bits else []))
            told.write_text(json.dumps(report), encoding="utf-8")
        return out, json.loads(told.read_text("utf-8"))

    def theirs(self, folder, file_type, imatrix=False):
        """The output of llama.cpp's quantizer and what it took."""
        name = file_type.lower() + ("-imatrix" if imatrix else "")
        out = self.scratch / f"{folder.name}-llama-{name}.gguf"
        told = Path(f"{out}.json")
        if not (out.exists() and told.exists()):
            took = llama_quantize(self.gguf(folder), out, file_type, self.imatrix if imatrix else None)
            told.write_text(json.dumps({"seconds": took.seconds,
                                        "peak_anonymous_bytes": took.peak_anonymous}))
        return out, json.loads(told.read_text("utf-8"))

    def mlx(self, folder, bits):
        out = self.scratch / f"{folder.name}-mlx-{bits}"
        told = Path(f"{out}.json")
        if not (out.exists() and told.exists()):
            took = Measured([self.options.mlx, "-m", "mlx_lm", "convert", "--hf-path", folder,
                             "--mlx-path", out, "-q", "--q-bits", bits, "--q-group-size", "64"])
            told.write_text(json.dumps({"seconds": took.seconds,
                                        "peak_anonymous_bytes": took.peak_anonymous}))
        return out, json.loads(told.read_text("utf-8"))


def same_bytes(ours, theirs):
    """Names of tensors that differ in type or bytes, or that only one file has. Bytes count where
    rounding decides them: the mixes put some tensors on K-quants, which are searched for."""
    ours, theirs = tensors_of(ours), tensors_of(theirs)
    return sorted(set(ours) ^ set(theirs)) + [
        name for name in sorted(set(ours) & set(theirs))
        if ours[name].tensor_type != theirs[name].tensor_type
        or (ours[name].tensor_type.name in (*CODE_TYPES, "F32")
            and not np.array_equal(np.asarray(ours[name].data), np.asarray(theirs[name].data)))]


def compare_codes(report, bench):
    for folder in (bench.reference, bench.random):
        for kind in CODE_TYPES:
            ours, _ = bench.ours(folder, f"gguf:{kind.lower()}", "fast")
            theirs, _ = bench.theirs(folder, kind)
            wrong = same_bytes(ours, theirs)
            report.check(not wrong, f"{kind} of the {folder.name} model has llama.cpp's codes",
                         f"{len(wrong)} tensors differ: {wrong[:4]}" if wrong else "")


def compare_errors(report, bench):
    source = tensors_of(bench.gguf(bench.random))
    print(f"\n{'squared error of the random model, K = 512':44} {'llama.cpp':>12} {'fast':>9} {'balanced':>9}")
    for kind in ERROR_TYPES:
        theirs, _ = bench.theirs(bench.random, kind)
        errors = {"llama.cpp": theirs}
        for effort in ("fast", "balanced"):
            errors[effort], _ = bench.ours(bench.random, f"gguf:{kind.lower()}", effort)
        types = {name: {key: t.tensor_type.name for key, t in tensors_of(path).items()}
                 for name, path in errors.items()}
        errors = {name: sum(squared_error(tensor, source[key])
                            for key, tensor in tensors_of(path).items())
                  for name, path in errors.items()}
        theirs = errors["llama.cpp"]
        print(f"{kind:44} {theirs:12.2f} {errors['fast'] / theirs:9.4f} {errors['balanced'] / theirs:9.4f}")
        report.check(types["fast"] == types["llama.cpp"] == types["balanced"],
                     f"{kind} puts every tensor on llama.cpp's grid")
        for effort in ("fast", "balanced"):
            report.check(errors[effort] <= theirs, f"{kind} at effort {effort} loses no more",
                         f"{errors[effort] / theirs:.4f} of llama.cpp's squared error")


def log_softmax(logits):
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def agreement(a, b):
    """Mean KL, and where the best tokens differ the widest gap of A's best two."""
    log_a, log_b = log_softmax(a), log_softmax(b)
    kl = (np.exp(log_a) * (log_a - log_b)).sum(axis=1)
    best_two = np.sort(np.partition(a, -2, axis=1)[:, -2:], axis=1)
    differ = a.argmax(axis=1) != b.argmax(axis=1)
    gaps = (best_two[:, 1] - best_two[:, 0])[differ]
    return float(kl.mean()), float(gaps.max(initial=0))


def compare_engines(report, bench):
    """llama.cpp rounds what it multiplies quantized matrices with to 8 bits. Its most exact way is to run the
    same weights written out as F32: there the engines agree. From its run of the file itself phial is no
    further than that is."""
    text = (bench.scratch / "held_out.txt").read_text("utf-8")
    ids = bench.phial.tokenize_lines(bench.reference, [text])[0][:ENGINE_TOKENS]
    exact_file = bench.scratch / "exact.gguf"
    print(f"\n{'the two engines on one file, ' + str(len(ids)) + ' tokens':40} {'mean KL':>9} {'widest gap':>10}"
          f" {'KL to its run of the file':>26} {'of its exact run':>17}")
    for kind in CODE_TYPES + ERROR_TYPES + ("BF16", "F16"):
        files = {"phial": bench.gguf(bench.reference) if kind == "BF16" else
                          bench.ours(bench.reference, f"gguf:{kind.lower()}", "balanced")[0]}
        if kind not in ("BF16", "F16"):
            files["llama.cpp"] = bench.theirs(bench.reference, kind)[0]
        for maker, path in files.items():
            llama = LlamaCpp(path, bench.options.threads)
            same_ids = llama.tokenize(text)[:ENGINE_TOKENS] == ids
            rounded = llama.logits(ids)
            del llama
            write_dequantized(path, exact_file)
            exact = LlamaCpp(exact_file, bench.options.threads).logits(ids)
            ours = np.load(bench.phial.logits_file(path, ids))
            kl, gap = agreement(ours, exact)
            (apart, _), (noise, _) = agreement(ours, rounded), agreement(exact, rounded)
            print(f"{kind + ' by ' + maker:40} {kl:9.6f} {gap:10.4f} {apart:26.6f} {noise:17.6f}")
            report.check(same_ids and kl <= MOST_KL and gap <= DECIDED_GAP,
                         f"phial and llama.cpp agree on {maker}'s {kind}",
                         f"KL {kl:.6f}, best tokens differ up to a gap of {gap:.3f}"
                         + ("" if same_ids else "; the ids of the text differ"))
            report.check(apart <= MOST_NOISE * noise, f"llama.cpp's run of {maker}'s {kind} is its rounding away",
                         f"KL {apart:.6f}, of its exact run {noise:.6f}")
    exact_file.unlink()


# Flags of B, and what is promised: the most mean KL, and the gap of the two best tokens beyond which
# the best one is the same.
NUMERICS = {
    ("--compute-b", "int8"): (0.002, DECIDED_GAP),
    ("--kv-b", "f16"): None,
    ("--kv-b", "bf16"): None,
    ("--kv-b", "int8"): (0.001, DECIDED_GAP),
    ("--kv-b", "int4"): None,
    ("--compute-b", "int8", "--kv-b", "int8"): (0.003, None),
}


def held_out_ids(bench):
    """A file of ids, and how many they are."""
    words = (bench.scratch / "held_out.txt").read_text("utf-8")
    ids = bench.phial.tokenize_lines(bench.reference, [words])[0][:bench.options.tokens]
    path = bench.scratch / "held_out_ids.json"
    path.write_text(json.dumps(ids), encoding="utf-8")
    return path, len(ids)


def compare_numerics(report, bench):
    ids_file, count = held_out_ids(bench)
    print(f"\n{'numerics of SmolLM2 against fp32, f32, ' + str(count) + ' tokens':52}"
          f" {'mean KL':>9} {'p99':>9} {'top-1 %':>8} {'widest gap':>10}")
    for flags, promised in NUMERICS.items():
        name = " ".join(flags).replace("-b ", " ")
        try:
            got = bench.phial.command_json("compare", bench.options.model, bench.options.model,
                                           "--ids", ids_file, *WINDOWS, *flags)
        except PhialError as error:
            if "is not available in this version" not in str(error):
                raise
            print(f"NOTE: {name} is left out: not available in this version")
            continue
        print(f"{name:52} {got['kl_mean']:9.6f} {got['kl_p99']:9.6f}"
              f" {100 * got['top1_agreement']:8.2f} {got['widest_gap']:10.4f}", flush=True)
        if promised:
            most, gap = promised
            report.check(got["kl_mean"] <= most and (gap is None or got["widest_gap"] <= gap),
                         f"{name} computes what fp32 computes",
                         f"KL {got['kl_mean']:.6f}, limit {most}; best tokens differ up to a gap of"
                         f" {got['widest_gap']:.3f}, limit {gap or 'none'}")


def bits_per_weight(path, weights):
    """Of all tensors, headers left out where the format tells."""
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if path.is_file():
        return 8 * sum(int(tensor.n_bytes) for tensor in tensors_of(path).values()) / weights
    return 8 * sum(file.stat().st_size for file in files) / weights


def measure_quality(report, bench):
    ids_file, count = held_out_ids(bench)
    weights = sum(int(np.prod(tensor.shape))
                  for tensor in tensors_of(bench.gguf(bench.reference)).values())
    lines = ["| made by | bits/weight | mean KL | p99 | top-1 % | perplexity x | seconds | memory, MB |",
             "|---|---|---|---|---|---|---|---|"]
    kls, bits = {}, {}
    for name, (maker, target, imatrix, limit) in ROWS.items():
        if ((imatrix and not bench.has_imatrix()) or (maker == MLX and not bench.options.mlx)
                or (target == "mlx" and limit[0] not in bits)):
            print(f"NOTE: {name} is left out: no Python for it was given")
            continue
        if maker == OURS:
            path, took = bench.ours(bench.reference, target, "balanced", imatrix,
                                    None if ":" in target else bits[limit[0]])
        elif maker == LLAMA:
            path, took = bench.theirs(bench.reference, target, imatrix)
        else:
            path, took = bench.mlx(bench.reference, target)
        told = Path(f"{path}.quality-{count}.json")
        if not told.exists():
            quality = bench.phial.command_json("compare", bench.reference, path, "--ids", ids_file,
                                               *WINDOWS)
            told.write_text(json.dumps(quality), encoding="utf-8")
        quality = json.loads(told.read_text("utf-8"))
        kls[name] = quality["kl_mean"]
        bits[name] = bits_per_weight(path, weights)
        lines.append(f"| {name} | {bits[name]:.3f} | {quality['kl_mean']:.4f}"
                     f" | {quality['kl_p99']:.3f} | {100 * quality['top1_agreement']:.1f}"
                     f" | {quality['ppl_b'] / quality['ppl_a']:.3f} | {took['seconds']:.1f}"
                     f" | {took['peak_anonymous_bytes'] / 1e6:.0f} |")
        print(lines[-1], flush=True)
        if limit and limit[0] in kls:
            share = kls[name] / kls[limit[0]]
            report.check(share <= limit[1], f"quality of {name}",
                         f"KL {share:.3f} of that of {limit[0]}, limit {limit[1]}")
    return lines


# By name, in the order in which they run; those that make a table return its lines.
PARTS = {"codes": compare_codes, "errors": compare_errors, "engines": compare_engines,
         "numerics": compare_numerics, "quality": measure_quality, "size": measure_full_size}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phial", required=True, help="the built command")
    parser.add_argument("--model", type=Path, required=True, help="SmolLM2's GGUF file")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for files of this run")
    parser.add_argument("--torch", help="Python with transformers and gguf")
    parser.add_argument("--mlx", help="Python with mlx-lm")
    parser.add_argument("--tokens", type=int, default=6144, help="of held-out text, at most")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--layers", type=int, default=8, help="of the model of full size; it has 32")
    parser.add_argument("--table", type=Path, help="the tables of quality and size, as Markdown")
    parser.add_argument("--part", choices=PARTS, action="append", help="repeatable; all if left out")
    options = parser.parse_args()

    report = Report()
    bench = Bench(options)
    tables = []
    for name in options.part or PARTS:
        try:
            tables.append(PARTS[name](report, bench))
        except (PhialError, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
            report.check(False, name, f"{type(error).__name__}: {error}")
    if options.table:
        texts = ["\n".join(lines) + "\n" for lines in tables if lines]
        options.table.write_text("\n".join(texts), encoding="utf-8")
    report.exit()


if __name__ == "__main__":
    main()
