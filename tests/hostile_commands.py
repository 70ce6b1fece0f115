#!/usr/bin/env python3
"""Commands, flags, values and files at random: whatever is asked of it, the command answers.

    tests/hostile_commands.py build/release/phial --count 3000 --seed 1

The files are those of tests/hostile_cases.py. Of every command it asserts: no signal, an exit code
of the documented list, under 10 s, at most 300 MB plus twice the files, and on failure one line of at
most 600 characters, without control characters, that says where ("phial: WHERE: what"). The same
seed gives the same commands. Standard library only.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import random
import shlex
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import hostile_cases  # noqa: E402
import hostile_files  # noqa: E402

CODES = {0, 1, 2, 3, 4, 5, 6}
VALUES = ["", "0", "1", "-1", "2", "7", "64", "65", "1024", "1025", "2147483648", "9223372036854775807",
          "9223372036854775808", "18446744073709551615", "1e9", "1e-60", "nan", "inf", "-inf", "0x10",
          "1.5", "true", "x", " ", "-", "--", "--json", "\x1b[2J", "\u202e", "a\nb", "1,2,3", "1,,2", "4G",
          "1K", "100K", "3M", "0K", "99999999999T", "avx2", "avx512", "reference", "fp32", "int8", "f32",
          "cpu", "cuda", "x" * 5000, "\udcff"]
TEXTS = ["", "hello world", "\u00e9\u4e2d\U0001f600", "<|im_start|>user", "x" * 20000, "\x1b[2J", "\udcff", "-",
         "--", "[1,2,3]", "[99999]", "[-1]", "[[[", "{}", "a\u0000b".replace("\0", ""), "\u202e"]
FLAGS = {"info": ["--tensors"],
         "tokenize": ["--no-special-tokens", "--decode", "--skip-special-tokens", "--jsonl"],
         "template": ["--messages=", "--template=", "--tools=", "--vars=", "--no-generation-prompt"],
         "run": ["--raw", "--system=", "--messages=", "--prompt-ids=", "--max-new-tokens=", "--greedy",
                 "--temperature=", "--top-k=", "--top-p=", "--seed=", "--ignore-eos", "--stop=",
                 "--logprobs=", "--num-beams="],
         "logits": ["--ids=", "--out=", "--chunks=", "--last"],
         "doctor": [], "help": [], "nonsense": []}
ENGINE = ["--context=", "--compute=", "--kv=", "--device=", "--adapter="]
COMMON = ["--json", "--json", "--quiet", "--threads=", "--isa=", "--max-memory=", "--help", "--nonsense"]
FILE_FLAGS = ("--messages=", "--template=", "--tools=", "--vars=", "--prompt-ids=", "--ids=")


# Values that make sense, so that not every command ends as wrong usage.
SENSIBLE = {"--threads=": ["1", "2"], "--isa=": ["avx2", "reference"], "--max-memory=": ["4G", "1K", "3M"],
            "--context=": ["1", "20", "64", "65"], "--compute=": ["fp32"], "--kv=": ["f32"],
            "--device=": ["cpu"], "--max-new-tokens=": ["0", "1", "5", "1000000"],
            "--temperature=": ["0.1", "100"], "--top-k=": ["0", "1", "99999"], "--top-p=": ["0.01", "1"],
            "--seed=": ["-1", "18446744073709551615"], "--system=": ["Be terse.", "\x1b[2J"],
            "--chunks=": ["1", "2,3", "1,1,1,1,1", "6"], "--stop=": ["e", ""], "--logprobs=": ["0", "5"],
            "--num-beams=": ["1", "3"]}


class Pool:
    """All hostile files on disk, every case in a folder of its own."""

    def __init__(self, folder):
        self.models, self.files, self.sizes = [], [], {}
        for number, case in enumerate(hostile_cases.all_cases()):
            place = os.path.join(folder, str(number))
            os.makedirs(os.path.join(place, "m"))
            size = hostile_cases.write_files(place, case.files)
            model = next((a for a in case.arguments if a.startswith("@")), "@")
            self.models.append(model.replace("@", place + "/m"))
            # A pipe given as a side input is read to its end on purpose; it would never come.
            self.files += [f"{place}/m/{name}" for name, content in case.files.items()
                           if isinstance(content, bytes)]
            self.sizes[place] = size

    def bytes_of(self, arguments):
        return sum(size for place, size in self.sizes.items()
                   if any(place + "/" in argument for argument in arguments))


def random_command(rng, pool, scratch):
    command = rng.choice(["info", "tokenize", "template", "run", "run", "logits", "logits", "tokenize",
                          "info", "info", "run", "template", "doctor", "help"])
    if rng.random() < 0.02:
        command = "nonsense"
    arguments = [command]
    if command not in ("doctor", "help") and rng.random() < 0.97:
        arguments.append(rng.choice(pool.models if rng.random() < 0.9 else VALUES + ["/dev/zero", "/"]))
    if command in ("run", "tokenize") and rng.random() < 0.8:
        arguments.append(rng.choice(TEXTS))
    if command == "logits" and rng.random() < 0.9:
        ids = os.path.join(scratch, "ids.json")
        arguments += ["--ids", ids, "--out", os.path.join(scratch, f"out{rng.randrange(4)}.npy")]
    if command == "template" and rng.random() < 0.7:
        arguments += ["--messages", os.path.join(scratch, "messages.json")]
    if command == "run" and rng.random() < 0.7:
        arguments += ["--max-new-tokens", rng.choice(["0", "1", "3"])]
    flags = FLAGS[command] + COMMON + (ENGINE if command in ("run", "logits") else [])
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 3])):
        flag = rng.choice(flags)
        if not flag.endswith("="):
            arguments.append(flag)
            continue
        value = rng.choice(pool.files) if flag in FILE_FLAGS and rng.random() < 0.8 else rng.choice(
            VALUES if rng.random() < 0.3 else SENSIBLE.get(flag, VALUES))
        if flag == "--out=":
            value = os.path.join(scratch, rng.choice(["", "a/b/c", "out.npy", "x" * 300]))
        arguments += [flag[:-1], value] if rng.random() < 0.5 else [flag + value]
    if rng.random() < 0.04:
        rng.shuffle(arguments)
    stdin = rng.choice([b"", b"hello", b"[1,2]", b'"hello"\n"x"\n', b"\xff\xfe", b"{" * 1000, bytes(1000)])
    return arguments, stdin


def judge(phial, pool, number, seed, folder):
    scratch = os.path.join(folder, f"scratch{number}")
    os.makedirs(scratch)
    pathlib.Path(scratch, "ids.json").write_text("[1,2,3,4,5]")
    pathlib.Path(scratch, "messages.json").write_text('[{"role":"user","content":"Hi"}]')
    arguments, stdin = random_command(random.Random(f"{seed}/{number}"), pool, scratch)
    outcome = hostile_files.run([phial, *arguments], folder, stdin)
    problems = list(hostile_files.complaints(outcome, pool.bytes_of(arguments)))
    if outcome.code not in CODES:
        problems.append(f"undocumented exit code {outcome.code}")
    if outcome.code not in (0, 2) and outcome.stderr and outcome.stderr.count(b": ") < 2:
        problems.append("the message does not say where")
    return arguments, outcome, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phial")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    failed, slowest, largest = 0, 0.0, 0
    exits = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="phial-hostile-") as folder:
        pool = Pool(folder)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
            for arguments, outcome, problems in workers.map(
                    lambda number: judge(options.phial, pool, number, options.seed, folder),
                    range(options.count)):
                exits[outcome.code] += 1
                slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.peak_bytes)
                if problems:
                    failed += 1
                    message = (outcome.stderr or outcome.stdout).decode(errors="backslashreplace")
                    shown = " ".join(shlex.quote(argument[:200]) for argument in arguments)
                    print(f"{'; '.join(problems)}\n    phial {shown!a}\n    {message.strip()[:700]!a}")
    for code, count in sorted(exits.items()):
        print(f"    exit {code}: {count}")
    print(f"seed {options.seed}, slowest {slowest:.2f} s, largest {largest >> 20} MB")
    print(f"{options.count - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
