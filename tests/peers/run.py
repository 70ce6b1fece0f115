#!/usr/bin/env python3
"""Compares phial with other programs: llama.cpp, Hugging Face transformers and tokenizers.

    tests/peers/run.py [--phial build/release/phial] [--model FILE.gguf] [--templates FOLDER]
                       [--tokenizers FOLDER] [--only NAME]

Installs the others from PyPI, at the versions pinned in requirements-*.txt, in virtual environments
under build/peers; wheels are kept in build/peers/wheels, so that llama.cpp is compiled once. The
last line is `N passed, N failed`; the exit code is 0 if none failed. Standard library only.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "build" / "peers"
WHEELS = WORK / "wheels"
MODEL = "smollm2-135m-instruct.gguf"  # what scripts/fetch_model.py fetches

# Name to script and environment.
COMPARISONS = {
    "transformers": ("transformers_golden.py", "transformers"),
    "templates": ("template_compare.py", "transformers"),
    "llama_cpp": ("llama_cpp_compare.py", "llama_cpp"),
    "vocabularies": ("llama_cpp_vocabs.py", "llama_cpp"),
    "families": ("llama_cpp_families.py", "llama_cpp"),
    "gguf_out": ("gguf_out.py", "llama_cpp"),
    "quantization": ("quantization.py", "llama_cpp"),
    "mlx": ("mlx_compare.py", "mlx"),
    "tokenizer_speed": ("tokenizer_speed.py", "tokenizer_speed"),
}
NEEDS_PHIAL = {"llama_cpp", "vocabularies", "families", "gguf_out", "quantization", "mlx", "tokenizer_speed"}
NEEDS_MODEL = {"llama_cpp", "quantization", "tokenizer_speed"}


class SetupError(Exception):
    """What is missing, for the user."""


def call(what, command, **options):
    """Runs a step of the setup; its output goes to a log that is shown when it fails."""
    log = WORK / "setup.log"
    with open(log, "w", encoding="utf-8") as sink:
        done = subprocess.run([str(part) for part in command], check=False, stdout=sink,
                              stderr=subprocess.STDOUT, **options)
    if done.returncode != 0:
        tail = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-20:])
        raise SetupError(f"{what} failed (exit code {done.returncode}):\n{tail}")


def pinned(name):
    """The text of a requirements file and of those that it refers to."""
    texts = []
    pending = [HERE / f"requirements-{name}.txt"]
    while pending:
        path = pending.pop()
        texts.append(path.read_text("utf-8"))
        for line in texts[-1].splitlines():
            if line.startswith(("-r ", "-c ")):
                pending.append(path.parent / line[3:].strip())
    return "".join(texts)


def environment(name):
    """The Python of a virtual environment that holds what requirements-NAME.txt lists."""
    folder = WORK / f"venv-{name}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = folder / "installed"
    state = hashlib.sha256((sys.version + pinned(name)).encode()).hexdigest()
    if stamp.exists() and stamp.read_text("utf-8") == state:
        return python
    print(f"==> installing {name} (the first time takes minutes)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    WHEELS.mkdir(parents=True, exist_ok=True)
    try:
        venv.create(folder, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"cannot make a virtual environment ({error}); on Debian it needs the"
                         " package python3-venv") from error
    requirements = HERE / f"requirements-{name}.txt"
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    jobs = dict(os.environ, CMAKE_BUILD_PARALLEL_LEVEL=str(os.cpu_count()))
    call("pip wheel", [*pip, "wheel", "--find-links", WHEELS, "-w", WHEELS, "-r", requirements],
         env=jobs)
    call("pip install", [*pip, "install", "--no-index", "--find-links", WHEELS, "-r", requirements])
    stamp.write_text(state, encoding="utf-8")
    return python


def find_model(python):
    """SmolLM2's GGUF: where ./quickstart puts it, else a copy of our own."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    users = Path(os.environ.get("PHIAL_MODELS") or Path(data) / "phial" / "models")
    for folder in (users, WORK / "models"):
        if (folder / MODEL).is_file():
            return folder / MODEL
    print("==> fetching SmolLM2-135M-Instruct (98 MB)", flush=True)
    call("the download", [python, ROOT / "scripts" / "fetch_model.py", WORK / "models"])
    return WORK / "models" / MODEL


def compare(name, options):
    """Runs one comparison and shows what it prints; returns how many checks passed and failed."""
    script, needs = COMPARISONS[name]
    python = environment(needs)
    scratch = WORK / name
    scratch.mkdir(parents=True, exist_ok=True)
    command = [python, HERE / script, "--scratch", scratch]
    if name in NEEDS_PHIAL:
        command += ["--phial", options.phial]
    if name in NEEDS_MODEL:
        command += ["--model", options.model or find_model(python)]
    if name == "quantization":
        command += ["--torch", environment("transformers"), "--mlx", environment("mlx")]
    if name == "templates":
        command += ["--text-test", options.phial.parent / "text_test"]
        command += ["--templates", options.templates] if options.templates else []
    if name in ("gguf_out", "mlx"):
        command += ["--tokenizers", options.tokenizers] if options.tokenizers else []
    print(f"==> {name}", flush=True)
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True,
                          encoding="utf-8") as process:
        passed = failed = 0
        for line in process.stdout:
            print(line, end="", flush=True)
            passed += line.startswith("PASS ")
            failed += line.startswith("FAIL ")
    if process.returncode != 0 and failed == 0:
        print(f"FAIL {name}: ended with exit code {process.returncode}")
        failed = 1
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phial", type=Path, default=ROOT / "build" / "release" / "phial")
    parser.add_argument("--model", type=Path, help="SmolLM2's GGUF; found or fetched if left out")
    parser.add_argument("--templates", type=Path, help="folder of chat templates (*.jinja) to compare as well")
    parser.add_argument("--tokenizers", type=Path, help="folder of real tokenizers to convert as well; see gguf_out.py")
    parser.add_argument("--only", choices=COMPARISONS, action="append", help="repeatable")
    options = parser.parse_args()

    WORK.mkdir(parents=True, exist_ok=True)
    totals = {}
    for name in options.only or COMPARISONS:
        try:
            if name != "transformers" and not options.phial.is_file():
                raise SetupError(f"{options.phial} is not there; build it first, or name it by --phial")
            totals[name] = compare(name, options)
        except SetupError as error:
            print(f"FAIL {name}: {error}")
            totals[name] = (0, 1)
    print(f"\n{'comparison':16} {'passed':>6} {'failed':>6}")
    for name, (passed, failed) in totals.items():
        print(f"{name:16} {passed:6} {failed:6}")
    passed, failed = (sum(column) for column in zip(*totals.values()))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
