"""phial as others get it: installs the built tree to a temporary folder, moves it, builds the examples against it with
CMake and with pkg-config, from C and from C++, shared and static, and runs them. Standard library only.

usage: install_test.py --build BUILD_FOLDER --source SOURCE_FOLDER
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import test_program

BUILD = ""
SOURCE = ""
TIMEOUT = 300


def run(*command, ok=True, **options):
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False,
                            stdin=subprocess.DEVNULL, **options)
    if ok and result.returncode != 0:
        raise AssertionError(f"{command} gave {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="phial_install_")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        first = os.path.join(cls.folder, "first")
        run("cmake", "--install", BUILD, "--prefix", first)
        # Nothing in it may depend on where it was put.
        cls.prefix = os.path.join(cls.folder, "moved here")
        os.rename(first, cls.prefix)
        cls.libraries = os.path.dirname(cls.find("libphial.a"))
        cls.model = os.path.join(SOURCE, "tests/golden/models/llama-smol")

    @classmethod
    def find(cls, name):
        for folder, _, files in os.walk(cls.prefix):
            if name in files:
                return os.path.join(folder, name)
        raise AssertionError(name + " is not installed")

    def env(self, **more):
        return {**os.environ, "LD_LIBRARY_PATH": self.libraries, **more}

    def check_examples(self, program):
        """`program` gives the path of an example's program."""
        phial = os.path.join(self.prefix, "bin", "phial")
        ask = ("--greedy", "--max-new-tokens", "64", self.model)
        for language in ("c", "cc"):
            answer = run(phial, "run", *ask, "Why is the sky blue?")
            self.assertEqual(run(program("hello", language), self.model, env=self.env()),
                             answer + "\n")
            text = "Two bottles."
            out = run(program("tokens", language), self.model, text, env=self.env())
            ids = json.loads(run(phial, "tokenize", "--json", self.model, text))["ids"]
            self.assertEqual([int(line.split()[0]) for line in out.split("\n")[:-2]], ids)
            self.assertEqual(out.split("\n")[-2], text)
            out = run(program("steps", language), self.model, env=self.env())
            self.assertTrue(out.startswith("Once upon a time"))
            # What is wrong is said, and decides the exit code.
            bad = subprocess.run([program("hello", language), self.folder + "/none"], env=self.env(),
                                 capture_output=True, timeout=TIMEOUT, check=False)
            self.assertEqual(bad.returncode, 3)
            self.assertIn(b"none", bad.stderr)
        out = run(program("steps", "cc"), self.model, env=self.env())
        greedy = run(phial, "run", "--raw", "--greedy", "--ignore-eos", "--max-new-tokens", "16",
                     "--json", self.model, "Once upon a time")
        without = out.split("\n---\n")[1]
        self.assertNotIn("e", without[len("Once upon a time"):])
        ids = json.loads(greedy)["outputs"][0]["ids"]
        continued = run(phial, "tokenize", "--decode", self.model, json.dumps(ids))
        self.assertEqual(out.split("\n---\n")[0], "Once upon a time" + continued)

    def test_cmake(self):
        for static in ("OFF", "ON"):
            build = os.path.join(self.folder, "cmake" + static)
            run("cmake", "-S", os.path.join(SOURCE, "examples"), "-B", build,
                "-DCMAKE_PREFIX_PATH=" + self.prefix, "-DEXAMPLES_STATIC=" + static)
            run("cmake", "--build", build)
            self.check_examples(lambda name, kind, build=build: f"{build}/{name}_{kind}")

    def test_cmake_asks_for_the_version(self):
        folder = os.path.join(self.folder, "version")
        os.mkdir(folder)
        with open(folder + "/CMakeLists.txt", "w", encoding="utf-8") as file:
            file.write("cmake_minimum_required(VERSION 3.20)\nproject(x C)\n"
                       "find_package(phial ${WANTED})\nmessage(STATUS \"found=${phial_FOUND}\")\n")
        version = re.search(r"\d+\.\d+\.\d+", run(self.prefix + "/bin/phial", "--version"))[0]
        for wanted, found in ((version, "1"), ("99", "0"), ("0.999", "0")):
            out = run("cmake", "-S", folder, "-B", folder + "/" + wanted, "-DWANTED=" + wanted,
                      "-DCMAKE_PREFIX_PATH=" + self.prefix)
            self.assertIn("found=" + found, out)

    def test_pkg_config(self):
        for package in ("phial", "phial-static"):
            flags = run("pkg-config", "--cflags", "--libs", package,
                        env=self.env(PKG_CONFIG_PATH=self.libraries + "/pkgconfig"))
            # pkg-config puts a backslash in front of a space, as a shell wants it.
            build = os.path.join(self.folder, package)
            os.mkdir(build)
            for name in ("hello", "steps", "tokens"):
                for kind, compiler in (("c", "cc -std=c99 -pedantic -Wall -Wextra -Werror"),
                                       ("cc", "c++ -std=c++17 -Wall -Wextra -Werror")):
                    run("sh", "-c", f"{compiler} {SOURCE}/examples/{name}.{kind} "
                        f"-o {build}/{name}_{kind} {flags}")
            self.check_examples(lambda name, kind, build=build: f"{build}/{name}_{kind}")

    def test_examples_are_short(self):
        folder = os.path.join(SOURCE, "examples")
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                self.assertLess(len(file.readlines()), 100, name)

    def test_shell_files(self):
        phial = os.path.join(self.prefix, "bin", "phial")
        for file, command in (("share/bash-completion/completions/phial", ("completion", "bash")),
                              ("share/zsh/site-functions/_phial", ("completion", "zsh")),
                              ("share/fish/vendor_completions.d/phial.fish",
                               ("completion", "fish")),
                              ("share/man/man1/phial.1", ("man",))):
            with open(os.path.join(self.prefix, file), encoding="utf-8") as installed:
                self.assertEqual(installed.read(), run(phial, *command), file)

    def test_nothing_else_is_installed(self):
        folders = sorted(os.listdir(self.prefix))
        self.assertEqual(folders, ["bin", "include", "lib", "share"])
        self.assertEqual(sorted(os.listdir(self.prefix + "/include/phial")),
                         ["phial.h", "phial.hpp"])


def main():
    global BUILD, SOURCE
    BUILD, SOURCE = test_program.paths("build", "source")
    return test_program.run()


if __name__ == "__main__":
    sys.exit(main())
