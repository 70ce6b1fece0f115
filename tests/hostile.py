#!/usr/bin/env python3
"""Damages model files and asserts that the command always answers with a loaded model or a named
error: never a signal, a hang, or silence.

    tests/hostile.py build/release/phial MODEL_FILE...

For each file: cut at every byte of the first 4 KB and at 200 later places, and 1,000 random byte
flips in the header, each through `phial info FILE --json`, some of them through `phial run` as well.
For a .safetensors file the side files of its folder are taken along. What "phial convert --to phial"
makes of the first file is damaged likewise. Python 3 standard library only.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile

DENSE_BYTES = 4096  # cut at every byte up to here
LATER_CUTS = 200
FLIPS = 1000
RUN_SAMPLES = 50  # of all cases, through `phial run` too
MAX_MESSAGE = 600
# Zeros behind the last tensor of a GGUF file fill it up to a multiple of 32: cutting them off
# takes nothing away.
GGUF_PADDING = 31

# CLI.md: 3 damaged, 4 unsupported, 5 over a limit; running may also fail (1) or overflow the
# context (6).
INFO_CODES = {0, 3, 4, 5}
RUN_CODES = {0, 1, 3, 4, 5, 6}

Case = collections.namedtuple("Case", "kind at value run")
Failure = collections.namedtuple("Failure", "file case command why output")


def header_bytes(phial, model):
    """What is neither a tensor nor, but for a few bytes, padding between tensors."""
    command = [str(phial), "info", str(model), "--json", "--tensors"]
    report = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return model.stat().st_size - sum(tensor["bytes"] for tensor in report["tensors"])


def make_cases(model, header, rng, flips):
    last = model.stat().st_size - 1 - (GGUF_PADDING if model.suffix == ".gguf" else 0)
    cuts = set(range(min(DENSE_BYTES, last + 1)))
    if last > DENSE_BYTES:
        later = range(DENSE_BYTES, last)
        cuts |= set(rng.sample(later, min(LATER_CUTS - 1, len(later)))) | {last}
    cases = [("cut", at, 0) for at in cuts]
    for number in range(flips):
        # Half of them where every byte has a meaning of its own.
        end = min(header, DENSE_BYTES) if number % 2 else header
        cases.append(("flip", rng.randrange(end), rng.randrange(1, 256)))
    sampled = set(rng.sample(range(len(cases)), min(RUN_SAMPLES, len(cases))))
    return [Case(*case, index in sampled) for index, case in enumerate(cases)]


class Worker:
    """A copy of the model that is damaged in place, over and over."""

    def __init__(self, phial, model, timeout, codes):
        self.phial, self.model, self.timeout, self.codes = phial, model, timeout, codes
        self.exits = collections.Counter()
        self.failures = []

    def __call__(self, cases):
        with tempfile.TemporaryDirectory(prefix="phial-hostile-") as folder:
            self.copy = pathlib.Path(folder) / self.model.name
            if self.model.suffix == ".safetensors":
                for side in self.model.parent.iterdir():
                    if side.is_file() and side.suffix in (".json", ".jinja"):
                        shutil.copyfile(side, self.copy.parent / side.name)
            shutil.copyfile(self.model, self.copy)
            self.check(Case("whole", 0, 0, True))
            flips = [case for case in cases if case.kind == "flip"]
            cuts = [case for case in cases if case.kind == "cut"]
            with open(self.copy, "r+b", buffering=0) as file:
                for case in flips:
                    self.flip(file, case)
                    self.check(case)
                    self.flip(file, case)
                # From the end towards the beginning, so that one copy serves all cuts.
                for case in sorted(cuts, key=lambda case: -case.at):
                    file.truncate(case.at)
                    self.check(case)
        return self

    @staticmethod
    def flip(file, case):
        file.seek(case.at)
        byte = file.read(1)[0]
        file.seek(case.at)
        file.write(bytes([byte ^ case.value]))

    def check(self, case):
        self.info(case)
        if case.run:
            self.generate(case)

    def start(self, case, *arguments):
        command = [str(self.phial), *arguments]
        environment = dict(os.environ, ASAN_OPTIONS="exitcode=99", UBSAN_OPTIONS="exitcode=99")
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=self.timeout, env=environment)
        except subprocess.TimeoutExpired:
            self.fail(case, command, f"still running after {self.timeout} s", "")
            return None
        output = done.stdout + done.stderr
        if done.returncode < 0:
            self.fail(case, command, f"ended by signal {-done.returncode}", output)
            return None
        if b"Sanitizer" in output or b"runtime error:" in output:
            self.fail(case, command, "sanitizer report", output)
            return None
        self.exits[f"{arguments[0]} {case.kind}", done.returncode] += 1
        return command, done

    def expect(self, case, command, output, **claims):
        for why, holds in claims.items():
            if not holds:
                self.fail(case, command, why.replace("_", " "), output)
                return

    def info(self, case):
        started = self.start(case, "info", str(self.copy), "--json")
        if started is None:
            return
        command, done = started
        try:
            report = json.loads(done.stdout)
        except ValueError:
            self.fail(case, command, "standard output is no JSON", done.stdout + done.stderr)
            return
        error = report.get("error", {})
        text = " ".join(str(error.get(part, "")) for part in ("where", "message", "hint"))
        failed = done.returncode != 0
        self.expect(
            case, command, done.stdout + done.stderr,
            undocumented_exit_code=done.returncode in INFO_CODES,
            the_exit_code_and_the_report_disagree=failed == ("error" in report),
            a_whole_file_was_refused=case.kind != "whole" or not failed,
            a_cut_file_was_accepted=case.kind != "cut" or failed,
            unknown_error_code=not failed or error.get("code") in self.codes,
            the_message_does_not_name_the_file=not failed or self.copy.name in text,
            the_message_holds_control_characters=not re.search(r"[\x00-\x1f\x7f]", text),
            the_message_is_too_long=len(str(error.get("message", ""))) <= MAX_MESSAGE,
        )

    def generate(self, case):
        started = self.start(case, "run", str(self.copy), "hi", "--max-new-tokens", "2", "--quiet")
        if started is None:
            return
        command, done = started
        failed = done.returncode != 0
        lines = done.stderr.decode(errors="replace").splitlines()
        self.expect(
            case, command, done.stdout + done.stderr,
            undocumented_exit_code=done.returncode in RUN_CODES,
            a_whole_file_was_refused=case.kind != "whole" or not failed,
            a_cut_file_was_accepted=case.kind != "cut" or failed,
            not_exactly_one_line_on_stderr=not failed or len(lines) == 1,
            the_message_does_not_name_the_file=not failed or self.copy.name in lines[0],
            # A few words before the message ("phial: error: ").
            the_message_is_too_long=not failed or len(lines[0]) <= MAX_MESSAGE + 40,
        )

    def fail(self, case, command, why, output):
        self.failures.append(Failure(self.model, case, command, why, output))


def documented_error_codes(phial):
    text = subprocess.run([str(phial), "help", "errors"], capture_output=True, check=True).stdout
    return set(re.findall(r"\b[a-z]+(?:_[a-z]+)*\b", text.decode()))


def describe(failure):
    case = failure.case
    place = {"whole": "undamaged", "cut": f"cut to {case.at} bytes",
             "flip": f"byte {case.at} xor {case.value}"}[case.kind]
    output = failure.output[:500] if failure.output else b""
    return (f"{failure.file.name}, {place}: {failure.why}\n"
            f"    {' '.join(failure.command)}\n    {output!r}")


def packed_file(phial, model, folder):
    out = pathlib.Path(folder) / "packed"
    subprocess.run([str(phial), "convert", str(model), "-o", str(out), "--to", "phial", "--quiet"],
                   capture_output=True, check=True)
    return out / "model.safetensors"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("phial", type=pathlib.Path, help="the built command")
    parser.add_argument("models", type=pathlib.Path, nargs="+", help=".gguf and .safetensors files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flips", type=int, default=FLIPS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--timeout", type=float, default=10, help="seconds for each run")
    options = parser.parse_args()

    codes = documented_error_codes(options.phial)
    failures = []
    with (tempfile.TemporaryDirectory(prefix="phial-packed-") as folder,
          concurrent.futures.ThreadPoolExecutor(options.jobs) as pool):
        for model in [*options.models, packed_file(options.phial, options.models[0], folder)]:
            rng = random.Random(options.seed)
            cases = make_cases(model, header_bytes(options.phial, model), rng, options.flips)
            rng.shuffle(cases)
            shares = [cases[start::options.jobs] for start in range(options.jobs)]
            workers = list(pool.map(
                lambda share: Worker(options.phial.resolve(), model, options.timeout, codes)(share),
                shares))
            exits = sum((worker.exits for worker in workers), collections.Counter())
            failures += [failure for worker in workers for failure in worker.failures]
            print(f"{model.name}: {len(cases)} cases, seed {options.seed}")
            for (what, code), count in sorted(exits.items()):
                print(f"    {what:12} exit {code}: {count}")

    # The largest of all children. No damage makes more of a file than there is in it; the second
    # term is the program itself, also when a sanitizer doubles what it takes.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    largest = max(model.stat().st_size for model in options.models)
    bound = 2 * largest + (512 << 20)
    print(f"largest process: {peak >> 20} MB (at most {bound >> 20})")
    for failure in failures[:20]:
        print(describe(failure), file=sys.stderr)
    print(f"{len(failures)} failures")
    return 1 if failures or peak > bound else 0


if __name__ == "__main__":
    sys.exit(main())
