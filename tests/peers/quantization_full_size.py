"""Time and memory of quantizers on a model of Phi-3-mini's shape (scripts/make_full_size_model.py): phial's,
llama.cpp's and mlx-lm's on the same weights. Part of quantization.py."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from quantization_models import Measured, llama_quantize

ROOT = Path(__file__).resolve().parent.parent.parent
MOST_ANONYMOUS = 1_000_000_000  # bytes

OURS, LLAMA, MLX = "phial", "llama.cpp", "mlx-lm"
# Name, how it is made, effort.
ROWS = {
    "llama.cpp Q4_0": (LLAMA, "Q4_0", None),
    "phial Q4_0, fast": (OURS, "gguf:q4_0", "fast"),
    "phial Q4_0": (OURS, "gguf:q4_0", "balanced"),
    "llama.cpp Q4_K_M": (LLAMA, "Q4_K_M", None),
    "phial Q4_K_M, fast": (OURS, "gguf:q4_k_m", "fast"),
    "phial Q4_K_M": (OURS, "gguf:q4_k_m", "balanced"),
    "mlx-lm 4 bits g64": (MLX, "4", None),
    "phial MLX 4 bits g64, fast": (OURS, "mlx:4", "fast"),
    "phial MLX 4 bits g64": (OURS, "mlx:4", "balanced"),
}


def warm(path):
    """Reads all of it, so that what is measured starts from the page cache."""
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    for name in files:
        with open(name, "rb") as file:
            while file.read(1 << 24):
                pass


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class FullSize:
    def __init__(self, bench):
        self.bench = bench
        self.folder = bench.scratch / f"full-size-{bench.options.layers}"
        self.gguf = bench.gguf(self.folder)
        self.out = bench.scratch / "full-size-out"
        if not (self.folder / "config.json").exists():
            subprocess.run([sys.executable, ROOT / "scripts" / "make_full_size_model.py", "--layers",
                            str(bench.options.layers), self.folder], check=True)
        if not self.gguf.exists():
            bench.phial.command_json("convert", self.folder, "-o", self.gguf, "--to", "gguf:bf16")

    def drop(self):
        """Gigabytes that are made again faster than they are missed."""
        remove(self.folder)
        remove(self.gguf)

    def run(self, maker, target, effort):
        """Seconds of the conversion, the peak of anonymous memory, bits per weight where phial tells."""
        remove(self.out)
        try:
            if maker == LLAMA:
                warm(self.gguf)
                took = llama_quantize(self.gguf, self.out, target)
                return took.seconds, took.peak_anonymous
            warm(self.folder)
            if maker == MLX:
                took = Measured([self.bench.options.mlx, "-m", "mlx_lm", "convert", "--hf-path", self.folder,
                                 "--mlx-path", self.out, "-q", "--q-bits", target, "--q-group-size", "64"])
                return took.seconds, took.peak_anonymous
            took = Measured([self.bench.phial.command, "quantize", self.folder, "-o", self.out, "--to", target,
                             "--effort", effort, "--threads", self.bench.phial.threads, "--json"])
            return json.loads(took.out)["seconds"], took.peak_anonymous
        finally:
            remove(self.out)


def measure_full_size(report, bench):
    """Prints the table and returns its lines."""
    full = FullSize(bench)
    source = sum(file.stat().st_size for file in full.folder.glob("*.safetensors"))
    lines = [f"| {bench.options.layers} layers of Phi-3-mini, {source / 1e9:.1f} GB in bfloat16 | seconds | memory, MB |",
             "|---|---|---|"]
    for name, (maker, target, effort) in ROWS.items():
        if maker == MLX and not bench.options.mlx:
            print(f"NOTE: {name} is left out: no Python for it was given")
            continue
        seconds, anonymous = full.run(maker, target, effort)
        lines.append(f"| {name} | {seconds:.1f} | {anonymous / 1e6:.0f} |")
        print(lines[-1], flush=True)
        if maker == OURS:
            report.check(anonymous <= MOST_ANONYMOUS, f"memory of {name}", f"{anonymous / 1e6:.0f} MB")
    full.drop()
    return lines
