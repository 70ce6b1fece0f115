#!/usr/bin/env python3
"""A collection of hostile files, each with the exit code that it must give, through the command:

    tests/hostile_files.py build/release/phial

GGUF, safetensors, shards and their index, configuration, tokenizer, template, side files and JSON
input. Every case also asserts: no signal, no exit code of 128 or more, under 10 s, memory of at most
300 MB plus twice the files, and on failure one line of at most 600 characters that names the file
and holds no control character. The cases are made by tests/hostile_cases.py. Standard library only.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import hostile_cases  # noqa: E402

MAX_MESSAGE = 600
MAX_SECONDS = 10
BASE_BYTES = 300 << 20
REPORTS = ("info", "tokenize")  # commands whose output shows names from the file
# What a terminal obeys: C0 (but for the newline at the end), DEL, C1, line separators, and the marks
# and overrides of writing direction.
OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Outcome(collections.namedtuple("Outcome", "status seconds peak_bytes stdout stderr")):
    @property
    def code(self):
        return os.waitstatus_to_exitcode(self.status)


def run(command, folder, stdin=b"", max_seconds=MAX_SECONDS):
    """Runs `command` with `folder` for its models; the memory is the child's alone (wait4)."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, \
            tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        begin = time.monotonic()
        streams = [(os.POSIX_SPAWN_DUP2, file.fileno(), number)
                   for number, file in enumerate((given, out, err))]
        child = os.posix_spawn(command[0], command, dict(os.environ, PHIAL_MODELS=str(folder)),
                               file_actions=streams)
        # A child that hangs is ended after the limit and counts as slow.
        pid = 0
        while pid == 0:
            pid, status, usage = os.wait4(child, os.WNOHANG)
            if pid == 0:
                time.sleep(0.002)
                if time.monotonic() - begin > max_seconds + 1:
                    os.kill(child, 9)
                    pid, status, usage = os.wait4(child, 0)
        seconds = time.monotonic() - begin
        out.seek(0)
        err.seek(0)
        return Outcome(status, seconds, usage.ru_maxrss * 1024, out.read(), err.read())


def json_error(stdout):
    """The message of an error report; None when it is none."""
    try:
        error = json.loads(stdout)["error"]
        return f"{error['where']}: {error['message']}"
    except (ValueError, TypeError, KeyError):
        return None


def complaints(outcome, file_bytes, name=None, reports=False, max_seconds=MAX_SECONDS):
    """What is wrong whatever the file holds; `name` must be in the message. `reports` when what is
    on stdout is for people to read."""
    code = outcome.code
    if code < 0:
        yield f"ended by signal {-code}"
        return
    if code >= 128 and code != 130:
        yield f"exit code {code}"
    if outcome.seconds > max_seconds:
        yield f"took {outcome.seconds:.1f} s"
    if outcome.peak_bytes > BASE_BYTES + 2 * file_bytes:
        yield f"took {outcome.peak_bytes >> 20} MB for files of {file_bytes >> 10} KB"
    if reports and OBEYED.search(outcome.stdout.decode(errors="replace").replace("\n", "")):
        yield "control characters in the report"
    if code == 0:
        return
    text = outcome.stderr.decode(errors="replace")
    if not text:  # --json: the error is on stdout
        error = json_error(outcome.stdout)
        if error is None:
            yield "failed without a message"
            return
        text = error + "\n"
    # Remarks before the error, which --quiet leaves out.
    text = re.sub(r"^(phial: note: [^\n]*\n)+", "", text)
    lines = text.splitlines()
    if len(lines) != 1 or not text.endswith("\n"):
        yield f"{len(lines)} lines on stderr"
        return
    if len(text) > MAX_MESSAGE + 1:
        yield f"a message of {len(text)} characters"
    if OBEYED.search(text[:-1]) or "\ufffd" in text:
        yield "control characters in the message"
    if name and not re.search(name, text):
        yield f"the message does not name {name}"


class Runner:
    def __init__(self, phial, only):
        self.phial, self.only = phial, only

    def __call__(self, case):
        with tempfile.TemporaryDirectory(prefix="phial-hostile-") as folder:
            os.makedirs(os.path.join(folder, "m"))
            size = hostile_cases.write_files(folder, case.files)
            arguments = [argument.replace("@", folder + "/m") for argument in case.arguments]
            outcome = run([self.phial, *arguments], folder)
        problems = list(complaints(outcome, size, case.names, case.arguments[0] in REPORTS))
        if outcome.code not in case.codes:
            problems.append(f"exit code {outcome.code}, expected {sorted(case.codes)}")
        return case, outcome, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phial")
    parser.add_argument("--only", help="cases whose name matches this expression")
    parser.add_argument("--verbose", action="store_true", help="every case with its message")
    options = parser.parse_args()
    cases = [case for case in hostile_cases.all_cases()
             if not options.only or re.search(options.only, case.name)]
    names = collections.Counter(case.name for case in cases)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        print(f"cases of one name: {twice[:5]}", file=sys.stderr)
        return 1
    failed, slowest, largest = 0, 0.0, 0
    kinds = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for case, outcome, problems in pool.map(Runner(options.phial, options.only), cases):
            slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.peak_bytes)
            kinds[case.name.split("/")[0], outcome.code] += 1
            if problems:
                failed += 1
            if problems or options.verbose:
                message = outcome.stderr.decode(errors="backslashreplace").strip()
                print(f"{case.name}: {'; '.join(problems) or 'ok'}\n    {message[:700]}")
    for (kind, code), count in sorted(kinds.items()):
        print(f"    {kind:14} exit {code}: {count}")
    print(f"slowest {slowest:.2f} s, largest {largest >> 20} MB")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed or (not options.only and len(cases) < 500) else 0


if __name__ == "__main__":
    sys.exit(main())
