"""Lines by which a comparison tells run.py what it found. Standard library only."""

import json
import os
import subprocess
import sys
from pathlib import Path


class Report:
    """Prints one PASS or FAIL line a check; run.py counts them."""

    def __init__(self):
        self.failed = 0

    def check(self, passed, name, detail=""):
        self.failed += not passed
        print(f"{'PASS' if passed else 'FAIL'} {name}{': ' if detail else ''}{detail}", flush=True)

    def exit(self):
        sys.exit(1 if self.failed else 0)


class PhialError(Exception):
    """phial ended with an exit code other than 0."""


class Phial:
    """The command under test. Files that it reads and writes go to `scratch`."""

    def __init__(self, command, scratch, threads=None):
        self.command = Path(command).resolve()
        self.scratch = Path(scratch)
        self.threads = threads or os.cpu_count()

    def _run(self, *arguments, text=None):
        command = [str(self.command), *map(str, arguments), "--threads", str(self.threads)]
        done = subprocess.run(command, input=text, capture_output=True, check=False, timeout=1800,
                              encoding="utf-8")
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip()
            raise PhialError(f"exit code {done.returncode} of {' '.join(command)}: {said[-600:]}")
        return done.stdout

    def command_json(self, *arguments):
        """The object that a command prints with --json."""
        return json.loads(self._run(*arguments, "--json"))

    def _ids_file(self, ids):
        path = self.scratch / "ids.json"
        path.write_text(json.dumps(ids), encoding="utf-8")
        return path

    def generate(self, model, prompt_ids, new_tokens):
        """The object that `phial run --json` prints for a greedy continuation that no end id stops."""
        out = self._run("run", model, "--prompt-ids", self._ids_file(prompt_ids), "--greedy",
                        "--compute", "fp32", "--ignore-eos", "--max-new-tokens", new_tokens, "--json")
        return json.loads(out)

    def logits_file(self, model, ids, last=False):
        """Path of a float32 .npy, [positions, vocab]."""
        path = self.scratch / "logits.npy"
        path.unlink(missing_ok=True)
        self._run("logits", model, "--ids", self._ids_file(ids), "--out", path,
                  *(["--last"] if last else []), "--json")
        return path

    def tokenize_lines(self, model, texts):
        """One list of ids a text, special tokens added as the model has it."""
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        out = self._run("tokenize", model, "--jsonl", text=lines)
        return [json.loads(line)["ids"] for line in out.split("\n") if line]

    def quantize(self, model, output, target):
        """Writes `output` in the format and scheme that `target` names."""
        self._run("quantize", model, "-o", output, "--to", target, "--json")
