#!/usr/bin/env python3
"""Each rule of check_layers.py against this tree with one wrong line added, and without it."""

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
ROOT = SCRIPTS.parent
TOPS = ("src", "include", "apps", "bindings", "compat", "examples")

# (file, what it holds, what the script must say of which line)
WRONG = {
    "a higher room": ("src/base/wrong.h", '#pragma once\n#include "text/tokenizer.h"\n', 2,
                      "base includes text/tokenizer.h: base (0) may include base; text is (2)"),
    "a higher room, in angles": ("src/sys/wrong.cc", "#include <capi/handles.h>\n", 1,
                                 "sys includes capi/handles.h: sys (1) may include sys, base"),
    "a higher room, by a relative path": (
        "src/base/wrong.cc", '#include "../text/tokenizer.h"\n', 1,
        "base includes text/tokenizer.h: base (0) may include base"),
    "the neighbour": ("src/text/wrong.cc", "\n\n#include \"tensor/grid.h\"\n", 3,
                      "text includes tensor/grid.h: text (2) may include text, base, sys"),
    "a room that comes later": ("src/engine/wrong.cc", '#include "quantize/scheme.h"\n', 1,
                                "engine includes quantize/scheme.h: engine (6) may include"),
    "the public header below capi": ("src/eval/wrong.cc", '#include "phial/phial.h"\n', 1,
                                     "only capi may include the public headers"),
    "outside of src, from src": ("src/engine/wrong.cc", '#include "../../tests/wrong_helper.h"\n', 1,
                                 "engine includes tests/wrong_helper.h"),
    "after a comment": ("src/base/wrong.cc", '/* a\n b */ #include "sys/cpu.h"\n', 2,
                        "base includes sys/cpu.h"),
    "test code": ("src/engine/wrong.cc", '#include "engine/for_tests.h"\n', 1,
                  "includes src/engine/for_tests.h, which is test code"),
    "a file of no room": ("src/helpers/wrong.cc", "int x;\n", 1, "not in a room"),
    "a file beside the rooms": ("src/wrong.cc", "int x;\n", 1, "not in a room"),
    "a quoted stranger": ("src/text/wrong.cc", '#include "onig.h"\n', 1,
                          'includes "onig.h", which is not in the tree'),
    "a macro": ("src/kernels/wrong.cc", "#define BODY <a.h>\n#include BODY\n", 2,
                "a macro hides what is included"),
    "the source from an app": ("apps/wrong/main.cc", '#include "base/status.h"\n', 1,
                               "apps/wrong includes src/base/status.h"),
    "the source from an app, by path": ("apps/wrong/main.cc",
                                        '#include "../../src/base/status.h"\n', 1,
                                        "apps/wrong includes src/base/status.h"),
    "the source from a binding": ("bindings/python/wrong.cc", "#include <base/status.h>\n", 1,
                                  "bindings/python includes src/base/status.h"),
    "the source from an example": ("examples/wrong/main.c", '#include "base/json.h"\n', 1,
                                   "examples/wrong includes src/base/json.h"),
    "the source from compat": ("compat/wrong/main.cc", '#include "base/json.h"\n', 1,
                               "compat/wrong includes src/base/json.h"),
    "another app": ("apps/wrong/main.cc", '#include "../other_app/wrong_helper.h"\n', 1,
                    "apps/wrong includes apps/other_app/wrong_helper.h"),
    "the source from a public header": ("include/phial/wrong.h", '#include "base/status.h"\n', 1,
                                        "include/ includes src/base/status.h"),
    "#ifdef in a plain room": ("src/text/wrong.cc", "int a;\n#ifdef __linux__\n#endif\n", 2,
                               "#ifdef outside of kernels"),
    "#if in a guarded header": (
        "src/text/wrong.h", "#ifndef WRONG_H\n#define WRONG_H\n#if 1\n#endif\n#endif\n", 3,
        "#if outside of kernels"),
    "#ifndef that guards nothing": ("src/model/wrong.cc", "#ifndef NDEBUG\nint a;\n#endif\n", 1,
                                    "#ifndef outside of kernels"),
    "std::cout": ("src/eval/wrong.cc", "void f() { std::cout << 1; }\n", 1, "prints (`std::cout`)"),
    "std::cerr": ("src/eval/wrong.cc", "void f() { std::cerr << 1; }\n", 1, "prints (`std::cerr`)"),
    "printf": ("src/sys/wrong.cc", "void f() { printf(\"x\"); }\n", 1, "prints (`printf(`)"),
    "std::fprintf": ("src/sys/wrong.cc", "void f() { std::fprintf(stderr, \"x\"); }\n", 1,
                     "prints (`std::fprintf(`)"),
    "fmt::print": ("src/sys/wrong.cc", "void f() { fmt::print(\"x\"); }\n", 1,
                   "prints (`fmt::print(`)"),
    "abort": ("src/base/wrong.cc", "void f() { abort(); }\n", 1, "aborts (`abort(`)"),
    "std::abort": ("src/base/wrong.cc", "void f() {\n  std::abort();\n}\n", 2,
                   "aborts (`std::abort(`)"),
    "exit": ("src/capi/wrong.cc", "void f() { exit (1); }\n", 1, "exits (`exit (`)"),
    "_exit": ("src/capi/wrong.cc", "void f() { ::_exit(1); }\n", 1, "exits (`::_exit(`)"),
    "throw": ("src/model/wrong.cc", "void f() { throw 1; }\n", 1, "throws (`throw`)"),
}

# Files that look wrong at a glance and are right.
RIGHT = {
    "comments": ("src/base/fine.h", '// #include "text/tokenizer.h"\n/* abort(); #if\n'
                                    '#include "capi/x.h"\n#ifdef A\n*/\n'),
    "strings": ("src/base/fine.cc", 'const char* a = "printf(\\"x\\") // std::cout abort()";\n'
                                    'const char* b = R"x(\n#if 1\nexit(1)")x";\nint c = 1\'000;\n'),
    "snprintf": ("src/sys/fine.cc", "void f(char* p) { std::snprintf(p, 1, \"x\"); }\n"),
    "members and longer names": ("src/sys/fine.cc",
                                 "void f() { w.abort(); w->exit(1); on_exit_(1); reprintf(2); }\n"),
    "a guard": ("src/text/fine.h", "// A header.\n#ifndef FINE_H\n#define FINE_H\n#endif\n"),
    "#if in kernels": ("src/kernels/fine.cc", "#if defined(__AVX2__)\n#endif\n"),
    "#ifdef in platform code": ("src/sys/fine.cc", "#ifdef __linux__\n#endif\n"),
    "rooms below": ("src/text/fine.cc", '#include "base/status.h"\n#include "sys/files.h"\n'
                                        "#include <utf8proc.h>\n"),
    "a system header of a room's name": ("src/sys/fine.cc", "#include <sys/stat.h>\n"),
    "the same from an app": ("apps/fine/main.cc", "#include <sys/stat.h>\n"),
    "the public header in capi": ("src/capi/fine.cc", '#include "phial/phial.h"\n'),
    "an app": ("apps/fine/main.cc", '#include "own.h"\n#include <phial/phial.h>\n'
                                    "#include <CLI/CLI.hpp>\n"),
    "tests are exempt": ("src/base/fine_test.cc", '#include "capi/x.h"\nvoid f() { abort(); }\n'),
    "and what only they include": ("src/base/fine.h", "#include <gtest/gtest.h>\nvoid f() { throw 1; }\n"),
}


class CheckLayers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for top in TOPS:
            if (ROOT / top).is_dir():
                shutil.copytree(ROOT / top, self.root / top)
        # Things for the cases to include, whatever the tree has or lacks.
        for path in ("tests/wrong_helper.h", "apps/other_app/wrong_helper.h", "apps/fine/own.h"):
            self.put(path, "#pragma once\n")
        self.put("src/capi/handles.h", "#pragma once\n")
        self.put("src/engine/for_tests.h", "#include <gtest/gtest.h>\n")

    def put(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def check(self):
        done = subprocess.run([sys.executable, SCRIPTS / "check_layers.py", self.root],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def put_each(self, cases):
        """Writes every case's file under a name of its own; returns the paths."""
        paths = []
        for index, (path, text, *_) in enumerate(cases.values()):
            stem, dot, suffix = path.rpartition(".")
            test = "_test" if stem.endswith("_test") else ""
            paths.append(f"{stem.removesuffix('_test')}_{index}{test}{dot}{suffix}")
            self.put(paths[-1], text)
        return paths

    def test_the_tree_as_it_is_passes(self):
        code, output = self.check()
        self.assertEqual(code, 0, output)

    def test_one_wrong_include_fails_until_it_is_gone(self):
        self.put("src/base/wrong.h", '#include "text/tokenizer.h"\n')
        code, output = self.check()
        self.assertEqual(code, 1, output)
        self.assertIn("src/base/wrong.h:1: base includes text/tokenizer.h", output)
        (self.root / "src/base/wrong.h").unlink()
        code, output = self.check()
        self.assertEqual(code, 0, output)

    def test_each_wrong_line_is_named_and_no_other(self):
        paths = self.put_each(WRONG)
        code, output = self.check()
        self.assertEqual(code, 1, output)
        found = {}
        for path, line, message in re.findall(r"^([^:\n]+):(\d+): (.*)$", output, re.MULTILINE):
            found.setdefault(path, []).append((int(line), message))
        self.assertEqual(set(found), set(paths), output)
        for path, (name, (_, _, line, message)) in zip(paths, WRONG.items()):
            with self.subTest(name):
                self.assertEqual([n for n, _ in found[path]], [line], output)
                self.assertIn(message, found[path][0][1])

    def test_what_only_looks_wrong_passes(self):
        self.put_each(RIGHT)
        code, output = self.check()
        self.assertEqual(code, 0, output)

    def test_a_folder_without_source_is_an_error(self):
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run([sys.executable, SCRIPTS / "check_layers.py", empty],
                                  capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no src/", done.stderr)


if __name__ == "__main__":
    unittest.main()
