#!/usr/bin/env python3
"""Proves who may include whom (docs/DESIGN.md, "Rooms") and a few rules that need no compiler.

    scripts/check_layers.py [ROOT]

- A room (a folder of src/) includes itself and rooms of a smaller number: never a higher one, nor
  its neighbour with the same number. Only capi sees include/phial.
- apps/, bindings/, compat/ and examples/ include include/phial, their own files and third-party
  headers; include/ includes nothing of src/.
- #if and its kin stay in kernels, backends and platform code. A guard round a whole header is fine.
- Nothing under src/ prints, exits, aborts or throws.

Test code is exempt: *_test.cc, and headers that include gtest, which only tests may include. Prints
one line per violation as file:line: message; the exit code is 1 when there is one, and 2 when ROOT
holds no src/.
"""

import os
import re
import sys
from pathlib import Path

ROOM_NUMBERS = {
    "base": 0,
    "sys": 1,
    "tensor": 2,
    "text": 2,
    "formats": 3,
    "kernels": 3,
    "model": 4,
    "graphs": 5,
    "engine": 6,
    "generate": 7,
    "quantize": 7,
    "eval": 8,
    "capi": 9,
}

# Folders under src/ that may ask the preprocessor which compiler, machine or system this is.
CONDITIONALS_ALLOWED = ("src/kernels/", "src/sys/", "src/engine/cpu/", "src/engine/cuda/",
                        "src/engine/onnxruntime/", "src/engine/openvino/")

# Programs and bindings: each folder below these sees include/phial and itself.
OUTER = ("apps", "bindings", "compat", "examples")

SUFFIXES = (".h", ".hpp", ".hh", ".inc", ".inl", ".c", ".cc", ".cpp", ".cxx", ".cu", ".cuh")

INCLUDE = re.compile(r'\s*#\s*(?:include|include_next|import)\s*(?:"([^"]*)"|<([^>]*)>|(\S.*))')
CONDITIONAL = re.compile(r"\s*#\s*(if|ifdef|ifndef|elif|elifdef|elifndef)\b\s*(\w*)")
TEST_FRAMEWORK = re.compile(r"\s*#\s*include\s*<g(?:test|mock)/", re.MULTILINE)
DEFINE = re.compile(r"\s*#\s*define\s+(\w+)\s*$")

# What has to be seen as a whole before looking for anything in a line.
LEXEME = re.compile(
    r'''(?P<include>\#\s*(?:include|include_next|import)\s*(?:"[^"\n]*"|<[^>\n]*>))
      | //[^\n]*
      | /\*[\s\S]*?(?:\*/|\Z)
      | (?<!\w)(?:u8|[uUL])?R"(?P<end>[^()\\\s]{0,16})\([\s\S]*?(?:\)(?P=end)"|\Z)
      | "(?:\\[\s\S]|[^"\\\n])*"
      | (?<![0-9a-fA-F])'(?:\\[\s\S]|[^'\\\n])*'  # not the ' of 1'000
    ''', re.VERBOSE)

# Calls by name, not members of something else (`file.abort()` is fine).
CALL = r"(?<![\w.>:])(?:::|std::)?"
FORBIDDEN = (
    (re.compile(r"\bstd::(?:cout|cerr|clog)\b|(?<![\w:])(?:cout|cerr)\s*<<"), "prints"),
    (re.compile(CALL + r"(?:v?f?printf|v?dprintf|f?puts|f?putc|putchar|perror|psignal)\s*\("),
     "prints"),
    (re.compile(r"\bfmt::print(?:ln)?\s*\("), "prints"),
    (re.compile(CALL + r"(?:_?_?exit|_Exit|quick_exit)\s*\("), "exits"),
    (re.compile(CALL + r"(?:abort|terminate)\s*\(|\b__builtin_trap\s*\("), "aborts"),
    (re.compile(r"(?<!\w)throw\b(?!\s*\()"), "throws"),
)


def read(path):
    return path.read_text(encoding="utf-8", errors="replace")


def strip_comments(text):
    """`text`, line for line, without comments and with literals emptied; included names stay."""

    def keep_lines(match):
        if match.group("include"):
            return match.group(0)
        literal = match.group(0)[-1] if match.group(0)[0] != "/" else ""
        return literal * 2 + "\n" * match.group(0).count("\n")

    return LEXEME.sub(keep_lines, text)


def rooms_below(room):
    number = ROOM_NUMBERS[room]
    below = [name for name, other in ROOM_NUMBERS.items() if other < number]
    return ", ".join([room] + below)


class Checker:
    def __init__(self, root):
        self.root = root
        self.violations = []
        self.test_code = {}  # by file

    def run(self):
        for top in ("src", "include") + OUTER:
            for path in sorted((self.root / top).rglob("*")):
                file = path.relative_to(self.root).as_posix()
                if path.suffix in SUFFIXES and path.is_file() and not self.is_test_code(file):
                    self.check_file(file)
        return self.violations

    def is_test_code(self, file):
        if file not in self.test_code:
            path = self.root / file
            self.test_code[file] = path.stem.endswith("_test") or (
                path.suffix.startswith(".h") and bool(TEST_FRAMEWORK.search(read(path))))
        return self.test_code[file]

    def report(self, file, line, message):
        self.violations.append(f"{file}:{line}: {message}")

    def check_file(self, file):
        parts = file.split("/")
        if parts[0] == "src" and (len(parts) < 3 or parts[1] not in ROOM_NUMBERS):
            self.report(file, 1, "not in a room: the rooms of src/ are " + ", ".join(ROOM_NUMBERS))
            return
        lines = strip_comments(read(self.root / file)).split("\n")
        for number, line in enumerate(lines, 1):
            include = INCLUDE.match(line)
            if include:
                self.check_include(file, number, *include.groups())
        if parts[0] == "src":
            self.check_conditionals(file, lines)
            self.check_calls(file, lines)

    # -- includes --

    def resolve(self, file, quoted, angled):
        """The tree's file that an include names, None when it is a third-party one."""
        name = quoted if quoted is not None else angled
        places = ["src", "include"]
        if quoted is not None:
            places.insert(0, os.path.dirname(file))
        for place in places:
            target = os.path.normpath(os.path.join(place, name)).replace(os.sep, "/")
            if (self.root / target).is_file():
                return target
        first = name.split("/")[0]
        # Not there: judged by name. <sys/stat.h> is the system's.
        if quoted is not None and "/" in name and (first in ROOM_NUMBERS or first == "phial"):
            return ("include/" if first == "phial" else "src/") + name
        return None

    def check_include(self, file, line, quoted, angled, macro):
        if macro is not None:
            self.report(file, line, f"#include {macro.strip()}: a macro hides what is included")
            return
        target = self.resolve(file, quoted, angled)
        if target is None:
            if quoted is not None:
                self.report(file, line, f'includes "{quoted}", which is not in the tree: '
                                        "third-party headers are included with <>")
            return
        if target.startswith(("src/", "include/")) and (self.root / target).is_file() and \
                self.is_test_code(target):
            self.report(file, line, f"includes {target}, which is test code")
        elif file.startswith("src/"):
            self.check_room_include(file, line, target)
        elif file.startswith("include/"):
            if not target.startswith("include/"):
                self.report(file, line, f"include/ includes {target}: "
                                        "public headers stand alone")
        else:
            own = "/".join(file.split("/")[:2]) + "/"
            if not target.startswith(("include/", own)):
                self.report(file, line, f"{own[:-1]} includes {target}: {own[:-1]} may include "
                                        "include/phial, its own files and third-party headers")

    def check_room_include(self, file, line, target):
        room = file.split("/")[1]
        number = ROOM_NUMBERS[room]
        if target.startswith("include/"):
            if room != "capi":
                self.report(file, line, f"{room} includes {target}: only capi may include the "
                                        "public headers")
            return
        parts = target.split("/")
        if parts[0] == "src" and len(parts) > 2 and parts[1] in ROOM_NUMBERS:
            other = ROOM_NUMBERS[parts[1]]
            if parts[1] == room or other < number:
                return
            self.report(file, line,
                        f"{room} includes {'/'.join(parts[1:])}: {room} ({number}) may include "
                        f"{rooms_below(room)}; {parts[1]} is ({other})")
            return
        self.report(file, line, f"{room} includes {target}: {room} ({number}) may include "
                                f"{rooms_below(room)}")

    # -- rules about single lines --

    def check_conditionals(self, file, lines):
        if file.startswith(CONDITIONALS_ALLOWED):
            return
        code = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
        guard = None
        if len(code) >= 2:
            first = CONDITIONAL.match(code[0][1])
            define = DEFINE.match(code[1][1])
            if first and first.group(1) == "ifndef" and define and \
                    define.group(1) == first.group(2):
                guard = code[0][0]
        for number, line in code:
            found = CONDITIONAL.match(line)
            if found and number != guard:
                self.report(file, number, f"#{found.group(1)} outside of kernels, backends and "
                                          "platform code (src/sys)")

    def check_calls(self, file, lines):
        for number, line in enumerate(lines, 1):
            for pattern, verb in FORBIDDEN:
                found = pattern.search(line)
                if found:
                    self.report(file, number, f"{verb} (`{found.group(0).strip()}`): code under "
                                              "src/ returns a Status instead")


def main(arguments):
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    if not (root / "src").is_dir():
        print(f"check_layers.py: no src/ in {root}", file=sys.stderr)
        return 2
    violations = Checker(root).run()
    for violation in violations:
        print(violation)
    if violations:
        print(f"{len(violations)} violation(s); see \"Rooms\" in docs/DESIGN.md")
        return 1
    print("layers: every include stays within its room's reach")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
