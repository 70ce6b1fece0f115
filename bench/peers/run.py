#!/usr/bin/env python3
"""Compares phial's speed with that of other engines on this machine and prints one table in Markdown.

    bench/peers/run.py [--phial build/release] [--engines 'phial;llama.cpp;...'] [--rows 'prefill 512;...']
                       [--rounds 3] [--samples FILE] [--out TABLE.md]

Every engine gets the same model (the sizes of Phi-3-mini, 8 of the 32 layers, float16 weights from a seed) in
its own 4-bit format, the same prompt and the same number of threads. Each runs in a process of its own; all
but the one that is measured are stopped. Rounds go through the engines in turn, with phial's probes of memory
and arithmetic before every sample, so a share is that of what the machine could do at that moment; medians are
printed. --samples FILE adds to the samples of earlier runs, so that a comparison can be made in pieces, at hours
when the machine is quiet.

The engines are installed from PyPI under build/bench_peers, which takes some 8 GB and half an hour (llama.cpp
is compiled); --python NAME=PROGRAM takes an interpreter that has one already (llama.cpp, onnxruntime, openvino,
and tools: numpy, safetensors, tokenizers, gguf). Converting takes up to 8 GB of memory. Standard library only.
"""
import argparse
import datetime
import json
import os
import signal
import statistics
import subprocess
import sys
import venv
from pathlib import Path

import shape

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "build" / "bench_peers"

PACKAGES = {
    "tools": ["numpy", "safetensors", "tokenizers", "gguf"],
    "llama.cpp": ["llama-cpp-python"],
    "onnxruntime": ["onnxruntime-genai", "onnxruntime", "onnx", "onnx_ir", "torch", "transformers"],
    "openvino": ["openvino-genai", "optimum-intel[openvino]", "nncf"],
}

# Bits per weight of the blocks' matrices and of the lm_head as each engine's own format stores them, and
# bytes of a key or value as it keeps them by default.
FORMATS = {
    "phial": (4.5, 4.5, None),
    "llama.cpp": (4.5, 4.5, 2.0),        # Q4_0; f16
    "llama.cpp, flash attention": (4.5, 4.5, 2.0),
    "onnxruntime": (5.0, 5.0, 4.0),      # MatMulNBits of 32 with float32 scales; f32
    "openvino": (4.125, 8.0, 1.0),       # groups of 128 with float16 scales, lm_head in 8 bits; u8
}
PHIAL_KV_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "int8": 1.0 + 2 / shape.HEAD_DIM,
                  "int4": 0.5 + 2 / shape.HEAD_DIM}
ROWS = [("prefill", 512), ("prefill", 4096), ("decode", 0), ("decode", 4096)]
DECODE_TOKENS = 32


class SetupError(Exception):
    """What is missing, for the user."""


def call(what, command, **options):
    """Runs a step of the setup; the end of its output is shown when it fails."""
    done = subprocess.run([str(part) for part in command], check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise SetupError(f"{what} failed (exit code {done.returncode}):\n{tail}")
    return done.stdout


def python_for(name, given):
    """An interpreter with the packages of `name`, installed on first use."""
    if name in given:
        return given[name]
    folder = WORK / ("v-" + name.replace(".", "_"))
    program = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"installing {name}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        call(f"installing {name}", [program, "-m", "pip", "install", *PACKAGES[name]])
        (folder / "complete").touch()
    return program


def made(path, what, commands, **options):
    """`path`, made by `commands` under another name first, so that what is there is whole."""
    if not path.exists():
        print(f"making {what}", file=sys.stderr)
        partial = path.with_name("partial-" + path.name)
        for command in commands(partial):
            call(what, command, **options)
        partial.rename(path)
    return path


def hf_folder(given):
    tools = python_for("tools", given)
    return made(WORK / "hf", "the model", lambda out: [[tools, HERE / "make_hf.py", out]])


def engine_commands(options, given):
    """What starts each engine."""
    threads = str(options.threads)
    tools = python_for("tools", given)
    folder = hf_folder(given)
    commands = {}
    if any(name.startswith(("phial", "llama.cpp")) for name in options.engines):
        gguf = made(WORK / "q4_0.gguf", "Q4_0 for phial and llama.cpp",
                    lambda out: [[tools, HERE / "make_gguf.py", out]])
    for name in options.engines:
        if name == "phial":
            library = Path(options.phial) / "libphial.so"
            commands[name] = [tools, HERE / "peer_phial.py", library.resolve(), gguf, threads,
                              options.compute, options.kv]
        elif name.startswith("llama.cpp"):
            flash = "1" if "flash" in name else "0"
            commands[name] = [python_for("llama.cpp", given), HERE / "peer_llama_cpp.py", gguf,
                              threads, flash]
        elif name == "onnxruntime":
            python = python_for(name, given)
            model = made(WORK / "onnx", "MatMulNBits of 32 for ONNX Runtime", lambda out: [
                [python, "-m", "onnxruntime_genai.models.builder", "-i", folder, "-o", out, "-p",
                 "int4", "-e", "cpu", "-c", WORK / "cache", "--extra_options",
                 "int4_block_size=32", "int4_accuracy_level=4"]])
            commands[name] = [python, HERE / "peer_onnxruntime.py", model, threads]
        elif name == "openvino":
            python = python_for(name, given)
            model = made(WORK / "openvino", "groups of 128 for OpenVINO", lambda out: [
                [Path(python).parent / "optimum-cli", "export", "openvino", "-m", folder, "--task",
                 "text-generation-with-past", "--weight-format", "int4", "--group-size", "128",
                 "--sym", "--ratio", "1.0", out]])
            commands[name] = [python, HERE / "peer_openvino.py", model, threads]
        else:
            raise SetupError(f"no engine is called {name}; there are {', '.join(FORMATS)}")
    return commands


class Engine:
    """A process that obeys orders (peer.py), stopped while it has none."""

    def __init__(self, name, command):
        self.name = name
        self.log = open(WORK / (name.split(",")[0] + ".log"), "a", encoding="utf-8")
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.load = self.ask(do="load")["seconds"]

    def ask(self, **order):
        self.process.send_signal(signal.SIGCONT)
        print(json.dumps(order), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SetupError(f"{self.name} ended; its last words are in {self.log.name}")
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(answer)

    def end(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait(60)


def take_probes(options):
    """GB/s and GOPS of this moment, as phial's kernels could have them."""
    report = json.loads(call("a probe", [
        Path(options.phial) / "phial", "bench", "--synthetic", "tiny:q4_0", "--prompt", "none",
        "--depth", "none", "--batch", "none", "--rounds", "1", "--threads", options.threads,
        "--json"]))
    return report


def share(engine, row, seconds, count, probes, options):
    """Percent of what the probes allow, as docs/performance.md counts it."""
    kind, length = row
    if kind == "prefill":
        return 2e-9 * shape.LAYER_PARAMETERS * length / seconds / probes["int8_gops"] * 100
    layer_bits, head_bits, value_bytes = FORMATS[engine]
    value_bytes = value_bytes or PHIAL_KV_BYTES[options.kv]
    weights = (shape.LAYER_PARAMETERS * layer_bits + shape.HEAD_PARAMETERS * head_bits) / 8
    values = shape.KV_VALUES * value_bytes * (length + count / 2)
    return (weights + values) * count / seconds / (probes["dram_gbps"] * 1e9) * 100


def measure(engines, options, samples):
    """Adds to `samples`: by engine and row [value, share], "load" and "memory"; "probes", "machine"."""
    of = {engine.name: samples.setdefault(engine.name, {}) for engine in engines}
    for round_number in range(options.rounds):
        for row in options.rows:
            kind, length = row
            if kind == "prefill" and length > 512 and round_number >= options.long_rounds:
                continue
            for engine in engines:
                print(f"round {round_number + 1}: {kind} {length}, {engine.name}", file=sys.stderr)
                if kind == "decode" and length:  # fills the cache, in front of the probe
                    engine.ask(do="decode", depth=length, tokens=1)
                report = take_probes(options)
                samples["machine"] = report["machine"]
                samples.setdefault("probes", []).append(report["probes"])
                count = length if kind == "prefill" else DECODE_TOKENS
                order = {"tokens": count} if kind == "prefill" else {"depth": length, "tokens": count}
                seconds = engine.ask(do=kind, **order)["seconds"]
                of[engine.name].setdefault(f"{kind} {length}", []).append(
                    [count / seconds,
                     share(engine.name, row, seconds, count, report["probes"], options)])
    for engine in engines:
        of[engine.name].setdefault("load", []).append(engine.load)
        told = engine.ask(do="memory")
        before = of[engine.name].get("memory", {"resident": 0, "anonymous": 0})
        of[engine.name]["memory"] = {key: max(told[key], before[key]) for key in told}


def versions(options, given):
    found = []
    packages = {"llama.cpp": "llama-cpp-python", "onnxruntime": "onnxruntime-genai",
                "openvino": "openvino-genai"}
    for name, package in packages.items():
        if any(engine.startswith(name) for engine in options.engines):
            version = call("a version", [python_for(name, given), "-c",
                                         "import importlib.metadata, sys;"
                                         "print(importlib.metadata.version(sys.argv[1]))", package])
            found.append(f"{package} {version.strip()}")
    return found


def table(samples, options, given):
    def middle(name):
        return statistics.median(p[name] for p in samples["probes"])
    machine = samples["machine"]
    names = [f"{kind} {length}" for kind, length in ROWS]
    lines = [
        f"{machine['cpu']['brand']}, {options.threads} threads, phial on {machine['isa']['chosen']} "
        f"(compute {options.compute}, kv {options.kv}), {datetime.date.today().isoformat()}; "
        f"{', '.join(versions(options, given))}.",
        f"Probes, medians of {len(samples['probes'])}: {middle('dram_gbps'):.1f} GB/s read from "
        f"memory, {middle('int8_gops'):.0f} GOPS ({samples['probes'][0]['int8_method']}).",
        "",
        "| engine | " + " | ".join(names) + " | load | peak memory (anonymous) |",
        "|---" * (len(names) + 3) + "|",
    ]
    for engine, measured in samples.items():
        if engine in ("machine", "probes"):
            continue
        cells = [engine]
        for name in names:
            pairs = measured.get(name)
            cells.append("–" if not pairs else
                         f"{statistics.median(value for value, _ in pairs):.1f} tok/s, "
                         f"{statistics.median(percent for _, percent in pairs):.0f} %")
        memory = measured["memory"]
        cells.append(f"{statistics.median(measured['load']):.2f} s")
        cells.append(f"{memory['resident'] / 1e9:.2f} GB ({memory['anonymous'] / 1e9:.2f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phial", default=ROOT / "build" / "release",
                        help="the folder with phial and libphial.so")
    parser.add_argument("--engines", default=";".join(FORMATS), help="separated by ';'")
    parser.add_argument("--rows", default=";".join(f"{kind} {length}" for kind, length in ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", help="a JSON file of samples, added to")
    parser.add_argument("--long-rounds", type=int, default=1, help="of prompts of 4096 tokens")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--compute", default="int8")
    parser.add_argument("--kv", default="int8")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--out", help="a file for the table, beside stdout")
    options = parser.parse_args()
    options.engines = options.engines.split(";")
    options.rows = [(row.split()[0], int(row.split()[1])) for row in options.rows.split(";")]
    given = dict(entry.split("=", 1) for entry in options.python)
    WORK.mkdir(parents=True, exist_ok=True)
    engines = []
    try:
        for name, command in engine_commands(options, given).items():
            engines.append(Engine(name, command))
        samples = {}
        if options.samples and os.path.exists(options.samples):
            samples = json.loads(Path(options.samples).read_text("utf-8"))
        measure(engines, options, samples)
        if options.samples:
            Path(options.samples).write_text(json.dumps(samples), encoding="utf-8")
        text = table(samples, options, given)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        for engine in engines:
            engine.process.send_signal(signal.SIGCONT)
            engine.process.kill()
            engine.process.wait()
    print(text, end="")
    if options.out:
        Path(options.out).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
