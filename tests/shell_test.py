"""What is made from the option tables: help, completions, the manual page. Standard library only; zsh, fish and mandoc
are used where they are installed.

usage: shell_test.py --phial PROGRAM --models tests/golden/models [unittest arguments]
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import test_program

PHIAL = ""
MODELS = ""
TIMEOUT = 60
COMMANDS = []  # as `phial help` lists them


def output(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT,
                          stdin=subprocess.DEVNULL, **options).stdout


def flags_in_help(command):
    return re.findall(r"^  (--[a-z0-9-]+)", output(PHIAL, command, "--help"), re.MULTILINE)


class Bash(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="phial_shell_")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.script = os.path.join(cls.folder, "phial")
        with open(cls.script, "w", encoding="utf-8") as file:
            file.write(output(PHIAL, "completion", "bash"))
        models = os.path.join(cls.folder, "models")
        os.mkdir(models)
        for name in ("tiny-one.gguf", "tiny-two.gguf"):
            open(os.path.join(models, name), "w", encoding="utf-8").close()
        for name in ("talk.json", "a file.json"):
            open(os.path.join(cls.folder, name), "w", encoding="utf-8").close()

    def complete(self, *words):
        """What bash offers for the last of `words`."""
        driver = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  '_phial; printf "%s\\n" "${COMPREPLY[@]}"')
        out = output("bash", "--norc", "-c", driver, "bash", self.script, "phial", *words,
                     cwd=self.folder, env={**os.environ, "PHIAL_MODELS": self.folder + "/models"})
        return [line for line in out.split("\n") if line]

    def test_commands(self):
        self.assertEqual(set(self.complete("")) - {"--help", "--version"}, {*COMMANDS, "help"})
        self.assertEqual(self.complete("perp"), ["perplexity"])
        self.assertEqual(self.complete("help", "log"), ["logits"])
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.complete("completion", "--threads", ""), [])

    def test_every_flag(self):
        for command in COMMANDS:
            offered = self.complete(command, "--")
            self.assertEqual(sorted(offered), sorted({*flags_in_help(command), "--help"}), command)
        self.assertEqual(self.complete("run", "m", "--max-n"), ["--max-new-tokens"])

    def test_values(self):
        self.assertEqual(self.complete("chat", "m", "--on-full", ""), ["ask", "slide", "stop"])
        self.assertEqual(self.complete("chat", "m", "--on-full", "=", "s"), ["slide", "stop"])
        self.assertEqual(self.complete("chat", "m", "--on-full", "="), ["ask", "slide", "stop"])
        self.assertEqual(self.complete("chat", "m", "--load", "ta"), ["talk.json"])
        self.assertEqual(self.complete("chat", "m", "--load", "a"), ["a file.json"])
        self.assertEqual(self.complete("run", "m", "--top-k", ""), [])
        self.assertEqual(self.complete("run", "m", "--compute", ""), ["fp32", "bf16", "int8"])

    def test_models(self):
        self.assertEqual(sorted(self.complete("run", "tiny")), ["tiny-one", "tiny-two"])
        self.assertEqual(self.complete("run", "tal"), ["talk.json"])

    def test_in_an_interactive_shell(self):
        """The way people use it: bash itself calls the function on Tab."""
        rc = os.path.join(self.folder, "rc")
        with open(rc, "w", encoding="utf-8") as file:
            file.write(f"source '{self.script}'\nPS1='$ '\nbind 'set enable-bracketed-paste off'\n"
                       "phial() { printf 'called:%s\\n' \"$@\"; }\n")
        result = subprocess.run(["bash", "--rcfile", rc, "-i"], capture_output=True, text=True,
                                input="phial perp\t --stri\t 3\nexit\n", timeout=TIMEOUT,
                                check=False, env={**os.environ, "TERM": "dumb"})
        self.assertIn("called:perplexity\ncalled:--stride\ncalled:3\n", result.stdout)

    def test_valid_for_the_shells(self):
        for shell, check in (("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]),
                             ("fish", ["fish", "-n"])):
            if shutil.which(shell) is None:
                continue
            path = os.path.join(self.folder, "script." + shell)
            with open(path, "w", encoding="utf-8") as file:
                file.write(output(PHIAL, "completion", shell))
            subprocess.run([*check, path], check=True, timeout=TIMEOUT)

    @unittest.skipIf(shutil.which("fish") is None, "fish is not installed")
    def test_fish(self):
        path = os.path.join(self.folder, "phial.fish")
        with open(path, "w", encoding="utf-8") as file:
            file.write(output(PHIAL, "completion", "fish"))
        env = {**os.environ, "HOME": self.folder, "PHIAL_MODELS": self.folder + "/models"}

        def complete(line):
            out = output("fish", "--no-config", "-c", f"source {path}; complete -C '{line}'",
                         env=env, cwd=self.folder)
            return [entry.split("\t")[0] for entry in out.split("\n") if entry]
        self.assertIn("perplexity", complete("phial perp"))
        self.assertIn("--stride", complete("phial perplexity m --str"))
        self.assertEqual(complete("phial chat m --on-full s"), ["slide", "stop"])
        self.assertIn("tiny-one", complete("phial run tiny"))

    def test_unknown_shell(self):
        result = subprocess.run([PHIAL, "completion", "cmd"], capture_output=True, timeout=TIMEOUT,
                                check=False)
        self.assertEqual(result.returncode, 2)


class Manual(unittest.TestCase):
    def test_every_flag_is_in_it(self):
        page = output(PHIAL, "man").replace("\\-", "-")
        for command in COMMANDS:
            begin = page.index(f".SS phial {command} ")
            end = page.find("\n.S", begin)
            everywhere = page[page.index(".SH OPTIONS OF EVERY COMMAND"):]
            for flag in flags_in_help(command):
                self.assertIn(f"\\fB{flag}\\fR", page[begin:end] + everywhere, command)

    def test_no_warnings(self):
        page = output(PHIAL, "man")
        checked = 0
        for check in (["groff", "-man", "-Tutf8", "-ww", "-z"], ["mandoc", "-Tlint", "-Wwarning"]):
            if shutil.which(check[0]) is None:
                continue
            result = subprocess.run(check, input=page, capture_output=True, text=True,
                                    timeout=TIMEOUT, check=False)
            # The page names its version and not a day: the same source makes the same page.
            told = [line for line in (result.stdout + result.stderr).splitlines()
                    if "missing date" not in line]
            self.assertEqual(told, [], check)
            checked += 1
        if not checked:
            self.skipTest("neither groff nor mandoc is installed")

    def test_readable(self):
        if shutil.which("groff") is None:
            self.skipTest("groff is not installed")
        text = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou"], capture_output=True,
                              input=output(PHIAL, "man"), text=True, timeout=TIMEOUT,
                              check=True).stdout
        self.assertIn("--max-new-tokens N", text)
        self.assertIn('phial run smollm2.gguf "Why is the sky blue?"', text)
        self.assertIn("130", text)


class Help(unittest.TestCase):
    def test_every_known_flag_is_in_help(self):
        """A flag that parses is a flag that is told."""
        for command in COMMANDS:
            for flag in flags_in_help(command):
                result = subprocess.run([PHIAL, command, flag + "=" + "x", flag + "=" + "x"],
                                        capture_output=True, text=True, timeout=TIMEOUT,
                                        check=False, stdin=subprocess.DEVNULL)
                self.assertNotIn("unknown option", result.stderr, (command, flag))

    def test_commands_that_people_rely_on(self):
        for command in ("run", "chat", "info", "tokenize", "template", "logits", "perplexity",
                        "doctor", "completion", "man"):
            self.assertIn(command, COMMANDS)


def main():
    global PHIAL, MODELS, COMMANDS
    PHIAL, MODELS = test_program.paths("phial", "models")
    listed = re.search(r"\nCommands\n((?:  \S.*\n)+)", output(PHIAL, "help"))[1]
    COMMANDS = [line.split()[0] for line in listed.splitlines() if line.split()[0] != "help"]
    return test_program.run()


if __name__ == "__main__":
    sys.exit(main())
