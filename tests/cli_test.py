"""The promise of the command line, driven as scripts drive it: names, flags, JSON keys, streams and
exit codes, on the golden checkpoints. Standard library only.

usage: cli_test.py --phial PROGRAM --models tests/golden/models [unittest arguments]
"""
import array
import ast
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import test_program

PHIAL = ""
MODELS = ""
TIMEOUT = 300

STATS_KEYS = {"load_ms", "prompt_tokens", "new_tokens", "ttft_ms", "prefill_tps", "decode_tps",
              "peak_rss_bytes", "drafted_tokens", "accepted_tokens"}
ERROR_KEYS = {"code", "message", "where", "hint"}


def model(name):
    return os.path.join(MODELS, name)


def golden(name):
    with open(model(name + "/golden.json"), encoding="utf-8") as file:
        return json.load(file)


def read_npy(path):
    """Shape and values of a float32 .npy file."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:6] == b"\x93NUMPY", data[:6]
    (length,) = struct.unpack("<H", data[8:10])
    header = ast.literal_eval(data[10:10 + length].decode())
    assert header["descr"] == "<f4" and not header["fortran_order"], header
    assert (10 + length) % 64 == 0
    return header["shape"], array.array("f", data[10 + length:])


def vocabulary_of(path):
    """The bytes of a GGUF without its tensors: what is before their table, for none of them."""
    with open(path, "rb") as file:
        data = file.read()
    end = data.index(struct.pack("<Q", len(b"token_embd.weight")) + b"token_embd.weight")
    first = min(end, *(data.index(struct.pack("<Q", len(name)) + name)
                       for name in (b"blk.0.attn_norm.weight", b"output_norm.weight")))
    return data[:8] + struct.pack("<Q", 0) + data[16:first]


class Case(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="phial_cli_")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def file(self, name, content):
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        if isinstance(content, str):
            content = content.encode()
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def run_phial(self, *arguments, stdin=b"", env=None, **options):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PHIAL_")}
        environment.update(env or {})
        return subprocess.run([PHIAL, *arguments], input=stdin, capture_output=True,
                              env=environment, timeout=TIMEOUT, check=False, **options)

    def good(self, *arguments, **options):
        result = self.run_phial(*arguments, **options)
        self.assertEqual(result.returncode, 0, (arguments, result.stderr))
        return result

    def good_json(self, *arguments, **options):
        result = self.good(*arguments, "--json", **options)
        text = result.stdout.decode()
        self.assertTrue(text.endswith("\n"), text[-80:])
        self.assertEqual(text.count("\n"), 1, "one object on one line")
        value = json.loads(text)
        self.assertIsInstance(value, dict)
        return value

    def bad(self, code, *arguments, says="", name=None, **options):
        """The command fails with exit code `code`, in both forms; returns the error object."""
        plain = self.run_phial(*arguments, **options)
        self.assertEqual(plain.returncode, code, (arguments, plain.stderr, plain.stdout))
        self.assertEqual(plain.stdout, b"", arguments)
        lines = plain.stderr.decode().splitlines()
        self.assertTrue(lines and lines[-1].startswith("phial: "), plain.stderr)
        self.assertLessEqual(len(lines[-1]), 600)
        self.assertTrue(lines[-1].isprintable(), lines[-1])
        self.assertIn(says, lines[-1])
        at = arguments.index("--") if "--" in arguments else len(arguments)
        told = self.run_phial(*arguments[:at], "--json", *arguments[at:], **options)
        self.assertEqual(told.returncode, code, (arguments, told.stderr, told.stdout))
        error = json.loads(told.stdout)
        self.assertEqual(set(error), {"error"})
        self.assertEqual(set(error["error"]), ERROR_KEYS)
        if name:
            self.assertEqual(error["error"]["code"], name, error)
        return error["error"]


class Help(Case):
    def test_version(self):
        result = self.good("--version")
        self.assertRegex(result.stdout.decode(), r"^phial \d+\.\d+\.\d+\n$")
        self.assertEqual(result.stderr, b"")

    def test_without_arguments(self):
        result = self.run_phial()
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stdout, b"")
        self.assertIn(b"phial run", result.stderr)

    def test_help_begins_with_examples(self):
        for arguments in (("help",), ("--help",), ("-h",)):
            self.assertIn("Examples\n  phial run", self.good(*arguments).stdout.decode())
        for name in ("run", "chat", "info", "tokenize", "template", "logits", "perplexity", "compare",
                     "bench", "doctor"):
            text = self.good(name, "--help").stdout.decode()
            self.assertLess(text.index("Examples"), text.index("Usage"), name)
            self.assertEqual(text, self.good("help", name).stdout.decode())
            for flag in ("--json", "--quiet", "--threads"):
                self.assertIn(flag, text)

    def test_help_errors(self):
        listed = self.good_json("help", "errors")["errors"]
        by_code = {entry["code"]: entry["exit_code"] for entry in listed}
        expected = {"failed": 1, "io_error": 1, "template_error": 1, "internal": 1, "usage": 2,
                    "not_found": 3, "damaged": 3, "invalid_input": 3, "unsupported": 4,
                    "unavailable": 4, "out_of_memory": 5, "over_limit": 5, "context_full": 6,
                    "cancelled": 130}
        self.assertEqual({k: by_code.get(k) for k in expected}, expected)
        text = self.good("help", "errors").stdout.decode()
        for code in by_code:
            self.assertIn(code, text)

    def test_suggestions(self):
        self.bad(2, "rnu", says="did you mean run")
        self.bad(2, "tokenise", says="did you mean tokenize")
        self.bad(2, "run", "m", "hi", "--temprature", "1", says="did you mean --temperature")
        self.bad(2, "run", "m", "hi", "--max-tokens", "1", says="unknown option --max-tokens")
        self.bad(2, "frobnicate", says="phial help")
        self.bad(2, "--verison", says="did you mean --version")
        self.bad(2, "run", "no such model", says="'no such model', which comes first, is no file")
        self.assertNotIn("quotes", self.bad(2, "doctor", "extra", says="too many")["hint"])
        self.assertIn("quotes", self.bad(2, "run", "m", "a", "b", says="too many")["hint"])

    def test_help_names_what_a_command_uses(self):
        for command, has_isa, computes in (("run", True, True), ("compare", True, True),
                                           ("doctor", True, False), ("info", False, False),
                                           ("tokenize", False, False)):
            text = self.good(command, "--help").stdout
            self.assertIn(b"--threads", text)
            self.assertEqual(b"--isa" in text, has_isa, command)
            self.assertEqual(b"--max-memory" in text, computes, command)
        text = " ".join(self.good("compare", "--help").stdout.decode().split())
        self.assertEqual(text.count("(default: as A)"), 2)
        self.good("info", model("llama-smol"), "--max-memory", "1G", "--isa", "reference")

    def test_promised_but_not_there_yet(self):
        for command in ("serve",):
            self.bad(4, command, says=command, name="unsupported")
        self.bad(4, "run", model("llama-smol"), "hi", "--adapter", "2", says="--adapter",
                 name="unsupported")


class Numbers(Case):
    """Numbers outside what makes sense state the range; nothing is clamped in silence."""

    def test_ranges(self):
        run = ("run", model("llama-smol"), "hi")
        for flag, value, says in (
                ("--context", "0", "1 or more"), ("--context", "-5", "1 or more"),
                ("--threads", "0", "1..1024"), ("--threads", "1025", "1..1024"),
                ("--threads", "two", "1..1024"), ("--temperature", "nan", "above 0"),
                ("--temperature", "inf", "above 0"),
                ("--temperature", "-1", "above 0"), ("--top-p", "7", "above 0, up to 1"),
                ("--top-p", "0", "above 0, up to 1"), ("--top-p", "nan", "above 0, up to 1"),
                ("--top-k", "-1", "0.."), ("--top-k", "1.5", "0.."),
                ("--top-k", "99999999999", "0.."), ("--max-new-tokens", "-1", "0 or more"),
                ("--max-new-tokens", "", "0 or more"), ("--seed", "x", "64-bit"),
                ("--seed", "18446744073709551616", "64-bit"), ("--repetition-penalty", "1e-60", "above 0"),
                ("--temperature", "1e60", "above 0")):
            self.bad(2, *run, flag, value, says=says, name="usage")
            self.bad(2, *run, f"{flag}={value}", says=says, name="usage")

    def test_temperature_zero_is_greedy(self):
        run = ("run", model("llama-smol"), "x", "--max-new-tokens", "8")
        greedy = self.good(*run, "--greedy").stdout
        for flags in (("--temperature", "0"), ("--temperature", "0", "--top-k", "5", "--seed", "9"),
                      ("--greedy", "--temperature", "0")):
            self.assertEqual(self.good(*run, *flags).stdout, greedy, flags)

    def test_sizes(self):
        run = ("run", model("llama-smol"), "x", "--max-new-tokens", "1", "--max-memory")
        for size in ("4G", "4GB", "4GiB", "4gb", "1.5G", "0.25T", "1073741824"):
            self.good(*run, size)
        for size in ("", "G", "1.5", "4X", "4GX", "-1G", "1e9", "nan", "0", "0.0001K", "99999999T",
                     "1..5G"):
            self.bad(2, *run, size, says="K, M, G or T", name="usage")
        self.bad(5, *run, "1.5K", says="--max-memory", name="over_limit")
        self.bad(5, *run, "8M", "--context", "512000", says="--context", name="over_limit")
        # The copies of weights that fp32 does without are not what lacks room.
        error = self.bad(5, "run", model("llama-smol-q4_1.gguf"), "x", "--max-memory", "1K",
                         says="packed weights take", name="over_limit")
        self.assertEqual(error["hint"], "allow more memory")

    def test_contexts_that_memory_has_room_for(self):
        limits = ("--max-memory", "2000K", "--threads", "1")
        run = ("run", model("llama-smol"), "hi", "--ignore-eos", *limits)
        error = self.bad(5, *run, "--context", "512", says="--context", name="over_limit")
        fits = int(re.fullmatch(r"a context of (\d+) fits", error["hint"])[1])
        self.assertLess(fits, 512)
        result = self.good(*run, "--json")
        self.assertIn(f"the context is {fits} tokens of the model's 512".encode(), result.stderr)
        value = json.loads(result.stdout)
        prompt = len(value["prompt_ids"])
        self.assertEqual(prompt + value["stats"]["new_tokens"], fits)
        # What the work takes is known: no more is asked for.
        for new in (0, 1, fits - prompt):
            result = self.good(*run, "--max-new-tokens", str(new))
            self.assertEqual(result.stderr, b"")
        self.bad(5, *run, "--max-new-tokens", str(fits), says=f"a context of {fits} fits",
                 name="over_limit")
        self.bad(5, *run, "--max-new-tokens", str(2 ** 63 - 1), says="512 tokens", name="over_limit")
        ids = self.file("ids.json", [1, 2, 3])
        self.good("logits", model("llama-smol"), "--ids", ids, "--out", self.path("o.npy"), *limits)
        # Beams and answers share what there is.
        for several in (("--num-beams", "3"), ("--num-return-sequences", "3", "--temperature", "1")):
            shared = self.good(*run, *several)
            context = int(re.search(rb"the context is (\d+) tokens", shared.stderr)[1])
            self.assertLess(context, fits)

    def test_missing_and_repeated_values(self):
        self.bad(2, "run", model("llama-smol"), "hi", "--top-k", says="--top-k", name="usage")
        self.bad(2, "run", model("llama-smol"), "hi", "--seed", "1", "--seed", "2", says="once")
        result = self.run_phial("run", "m", "hi", "--quiet=yes")
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"takes no value", result.stderr)

    def test_fine_ones(self):
        run = ("run", model("llama-smol"), "hi", "--max-new-tokens", "2", "--quiet")
        for seed in ("0", "18446744073709551615", "-9223372036854775808", "-1"):
            self.good(*run, "--top-k", "0", "--seed", seed)
        self.good(*run, "--threads", "1", "--context", "512")

    def test_names(self):
        run = ("run", model("llama-smol"), "hi", "--max-new-tokens", "1")
        self.good(*run, "--kv", "f32", "--compute", "fp32", "--device", "cpu", "--isa", "reference")
        for kv in ("f16", "bf16", "int8", "int4"):
            self.good(*run, "--kv", kv)
        self.bad(2, *run, "--kv", "int3", says="int3", name="usage")
        for flag, same in (("--compute", "f32"), ("--kv", "fp32"), ("--kv", "fp16")):
            self.good(*run, flag, same)
        for flag, other, similar in (("--compute", "fp16", "bf16"), ("--kv", "q8_0", "int8"),
                                     ("--kv", "q4_0", "int4")):
            self.bad(2, *run, flag, other, says=f"did you mean {similar}", name="usage")
        for compute in ("bf16", "int8"):
            self.good(*run, "--compute", compute)
        self.bad(4, *run, "--device", "cuda", says="cuda")
        for flag, unknown in (("--compute", "fp8"), ("--device", "abacus")):
            self.bad(2, *run, flag, unknown, says=unknown, name="usage")
        self.bad(2, *run, "--isa", "sse9", name="usage")


class Doctor(Case):
    def test_report(self):
        report = self.good_json("doctor")
        self.assertLessEqual({"version", "cpu", "isa", "memory", "threads", "backends"},
                             set(report))
        self.assertIn("cpu", report["backends"])
        self.assertIn(report["isa"]["chosen"], report["isa"]["available"])
        text = self.good("doctor").stdout.decode()
        self.assertIn(report["isa"]["chosen"], text)

    def test_instruction_set(self):
        chosen = self.good_json("doctor", env={"PHIAL_ISA": "reference"})["isa"]["chosen"]
        self.assertEqual(chosen, "reference")
        best = self.good_json("doctor")["isa"]["chosen"]
        told = self.good_json("doctor", "--isa", best, env={"PHIAL_ISA": "reference"})
        self.assertEqual(told["isa"]["chosen"], best)
        self.bad(2, "doctor", env={"PHIAL_ISA": "sse9"}, says="PHIAL_ISA")
        self.bad(2, "doctor", "--isa", "sse9", says="--isa")
        missing = {"avx2", "avx512"} - set(self.good_json("doctor")["isa"]["available"])
        for isa in missing:
            self.bad(4, "doctor", "--isa", isa, name="unavailable")

    def test_threads(self):
        self.assertEqual(self.good_json("doctor", "--threads", "3")["threads"], 3)


class Bench(Case):
    def test_tokenizer(self):
        report = self.good_json("bench", model("llama-smol"), "--tokenizer", "--text", "-", "--rounds", "1",
                                stdin=b"Some words. And more.\n")
        self.assertLessEqual({"machine", "probes", "rows"}, set(report))
        self.assertEqual(report["text"]["bytes"], 22)
        rows = {row["name"]: row for row in report["rows"]}
        for name in ("tokenizer_mbps", "detokenizer_mbps", "tokenizer_worst_spaces_mbps"):
            self.assertEqual(rows[name]["unit"], "MB/s")
            self.assertGreater(rows[name]["value"], 0)
            self.assertGreater(rows[name]["percent_of_probe"], 0)
        text = self.good("bench", model("llama-smol"), "--tokenizer", "--text", "-", "--rounds", "1",
                         stdin=b"Some words.").stdout.decode()
        self.assertIn("tokenizer_mbps", text)

    def test_usage(self):
        self.bad(2, "bench", "--tokenizer", says="MODEL")
        self.bad(2, "bench", model("llama-smol"), "--tokenizer", "--rounds", "0", says="--rounds")
        self.bad(2, "bench", model("llama-smol"), "--tokenizer", "--text", "-", stdin=b"", says="--text")
        self.bad(3, "bench", model("llama-smol"), "--tokenizer", "--text", "-", stdin=b"\xff",
                 says="byte 0")
        self.bad(3, "bench", model("llama-smol"), "--tokenizer", "--text", "/nonexistent")
        self.bad(2, "bench", model("llama-smol"), "--tokenizer", "--depth", "0", says="--depth")


class Info(Case):
    def test_keys(self):
        info = self.good_json("info", model("llama-smol-q4_1.gguf"))
        self.assertLessEqual({"format", "architecture", "parameters", "context_length",
                              "quantization", "bytes"}, set(info))
        self.assertNotIn("tensors", info)
        self.assertEqual(info["format"], "gguf")
        self.assertEqual(info["quantization"], "q4_1")
        self.assertEqual(info["context_length"], 512)
        self.assertEqual(info["bytes"], os.path.getsize(model("llama-smol-q4_1.gguf")))

    def test_tensors(self):
        info = self.good_json("info", "--tensors", model("llama-smol"))
        self.assertEqual(info["format"], "safetensors")
        self.assertEqual(info["architecture"], "LlamaForCausalLM")
        total = 0
        for tensor in info["tensors"]:
            self.assertEqual(set(tensor), {"name", "dtype", "shape", "bytes"})
            elements = 1
            for extent in tensor["shape"]:
                elements *= extent
            self.assertEqual(tensor["bytes"], 4 * elements)
            total += elements
        self.assertEqual(info["parameters"], total)
        text = self.good("info", "--tensors", model("llama-smol")).stdout.decode()
        for tensor in info["tensors"]:
            self.assertIn(tensor["name"], text)

    def test_short_names(self):
        env = {"PHIAL_MODELS": MODELS}
        self.assertEqual(self.good_json("info", "phi2-f32", env=env)["format"], "gguf")
        data = self.path("data")
        os.makedirs(data + "/phial")
        os.symlink(MODELS, data + "/phial/models")
        self.assertEqual(
            self.good_json("info", "llama-smol", env={"XDG_DATA_HOME": data})["format"],
            "safetensors")
        error = self.bad(3, "info", "phi22", env=env, name="not_found")
        self.assertIn("phi2", error["message"] + error["hint"])

    def test_files_that_are_no_models(self):
        self.bad(3, "info", self.path("nothing"), name="not_found")
        self.bad(4, "info", self.file("notes.txt", "hello"))
        os.mkdir(self.path("empty"))
        self.bad(4, "info", self.path("empty"))
        self.bad(4, "info", "/dev/null")
        os.mkfifo(self.path("pipe.gguf"))
        self.assertIn(self.run_phial("info", self.path("pipe.gguf")).returncode, (3, 4))
        for cut in (0, 3, 4, 100, 5000):
            with open(model("llama-smol-q8_0.gguf"), "rb") as file:
                part = self.file("cut.gguf", file.read(cut))
            self.assertIn(self.run_phial("info", part).returncode, (3, 4), cut)

    def test_control_characters_are_escaped(self):
        self.bad(3, "info", self.path("a\x1b[31m\nb"), says="\\x1b[31m\\nb")

    def test_missing_model(self):
        self.bad(2, "info", says="MODEL is missing", name="usage")
        self.bad(2, "info", "a", "b", says="one argument too many", name="usage")


class Tokenize(Case):
    def test_golden_texts(self):
        for name in ("llama-smol", "llama-tiny-sharded", "phi2", "phi3-plain"):
            items = golden(name)["tokenizer"]
            lines = "".join(json.dumps(item["text"]) + "\n" for item in items).encode()
            for flags, key in (((), "ids"), (("--no-special-tokens",), "ids_without_special")):
                out = self.good("tokenize", "--jsonl", *flags, model(name), stdin=lines).stdout
                self.assertNotIn(b"\r", out)
                rows = [json.loads(line) for line in out.decode().split("\n")[:-1]]
                self.assertEqual([row["ids"] for row in rows], [item[key] for item in items])
                if not flags:
                    # The golden shows what a special token matched: its piece and white space
                    # that it takes to its side.
                    self.assertEqual([row["tokens"] for row in rows],
                                     [[t.strip(" ") if "<|" in t else t for t in i["tokens"]]
                                      for i in items])
                    self.assertTrue(all(set(row) == {"ids", "tokens"} for row in rows))
            lines = "".join(json.dumps(item["ids"]) + "\n" for item in items).encode()
            for flags, key in (((), "decoded"),
                               (("--skip-special-tokens",), "decoded_skip_special")):
                out = self.good("tokenize", "--jsonl", "--decode", *flags, model(name),
                                stdin=lines).stdout
                self.assertEqual([json.loads(line) for line in out.decode().split("\n")[:-1]],
                                 [item[key] for item in items])

    def test_one_text(self):
        item = next(i for i in golden("llama-smol")["tokenizer"] if len(i["text"]) > 20)
        value = self.good_json("tokenize", model("llama-smol"), item["text"])
        self.assertEqual(set(value), {"ids", "tokens"})
        self.assertEqual(value["ids"], item["ids"])
        piped = self.good_json("tokenize", model("llama-smol"), "-", stdin=item["text"].encode())
        self.assertEqual(piped, value)
        left_out = self.good_json("tokenize", model("llama-smol"), stdin=item["text"].encode())
        self.assertEqual(left_out, value)
        decoded = self.good("tokenize", "--decode", model("llama-smol"), json.dumps(value["ids"]))
        self.assertEqual(decoded.stdout.decode(), item["decoded"])
        told = self.good_json("tokenize", "--decode", model("llama-smol"), "-",
                              stdin=json.dumps(value["ids"]).encode())
        self.assertEqual(told["text"], item["decoded"])
        self.assertEqual(told["tokens"], value["tokens"])

    def test_final_newline_of_stdin_stays(self):
        with_newline = self.good_json("tokenize", model("llama-smol"), "-", stdin=b"a\n")["ids"]
        without = self.good_json("tokenize", model("llama-smol"), "-", stdin=b"a")["ids"]
        self.assertNotEqual(with_newline, without)

    def test_readable_form(self):
        ids = self.good_json("tokenize", model("llama-smol"), "The capital")["ids"]
        lines = self.good("tokenize", model("llama-smol"), "The capital").stdout.decode()
        self.assertEqual([int(line.split()[0]) for line in lines.splitlines()], ids)

    def test_awkward_texts(self):
        self.assertEqual(self.good_json("tokenize", model("llama-smol"), "")["ids"], [])
        for text in ("++", "--", "-x", "--json", "[1,2]", "%%", "-"):
            value = self.run_phial("tokenize", model("llama-smol"), "--json", "--", text,
                                   stdin=b"-")
            decoded = self.good("tokenize", "--decode", model("llama-smol"),
                                json.dumps(json.loads(value.stdout)["ids"]))
            self.assertEqual(decoded.stdout.decode(), text)

    def test_without_weights(self):
        for source in ("llama-smol/tokenizer.json",):
            alone = self.path("tokenizer.json")
            shutil.copy(model(source), alone)
            expected = self.good_json("tokenize", model("llama-smol"), "some text")
            self.assertEqual(self.good_json("tokenize", alone, "some text"), expected)
            self.assertEqual(self.good_json("tokenize", self.folder, "some text"), expected)

    def test_invalid_utf8_names_the_offset(self):
        self.bad(3, "tokenize", model("llama-smol"), "-", stdin=b"abc\xff", says="byte 3",
                 name="invalid_input")
        self.bad(3, "tokenize", model("llama-smol"), b"ab\xed\xa0\x80".decode(
            errors="surrogateescape"), says="byte 2")

    def test_bytes_that_are_no_text_decode_to_replacement(self):
        ids = self.good_json("tokenize", model("llama-smol"), "ß")["ids"]
        self.assertEqual(self.good("tokenize", "--decode", model("llama-smol"),
                                   json.dumps(ids[:1])).stdout.decode(), "\ufffd")

    def test_damaged_input(self):
        decode = ("tokenize", "--decode", model("llama-smol"))
        for text in ("[1,", "{}", "[1.5]", "[\"a\"]", "[99999999999]", "[-1]", "[416]", "nonsense",
                     "[true]", "[[1]]"):
            self.bad(3, *decode, text, name="invalid_input")
        self.bad(3, *decode, "-", stdin=b"[" * 300000 + b"]" * 300000, says="element 0",
                 name="invalid_input")
        lines = ("tokenize", "--jsonl", model("llama-smol"))
        for text in (b"[1]\n", b"\"a\n", b"\n", b"\"\\ud800\"\n"):
            self.bad(3, *lines, stdin=text, says="line 1", name="invalid_input")
        result = self.run_phial(*lines, stdin=b"\"a\"\nbad\n")
        self.assertEqual(result.returncode, 3)
        self.assertEqual(result.stdout.count(b"\n"), 1, "lines before the bad one are there")

    def test_last_line_needs_no_newline(self):
        out = self.good("tokenize", "--jsonl", model("llama-smol"), stdin=b"\"a\"\n\"b\"").stdout
        self.assertEqual(out.count(b"\n"), 2)
        self.assertEqual(self.good("tokenize", "--jsonl", model("llama-smol")).stdout, b"")

    def test_flags_that_do_not_go_together(self):
        self.bad(2, "tokenize", model("llama-smol"), "a", "--skip-special-tokens", name="usage")
        self.bad(2, "tokenize", model("llama-smol"), "[]", "--decode", "--no-special-tokens")


class Template(Case):
    def test_golden_prompts(self):
        for name in ("llama-smol", "llama-tiny-sharded", "phi3-plain", "llama-smol-f32.gguf"):
            for item in golden(name.replace("-f32.gguf", ""))["templates"]:
                flags = [] if item["add_generation_prompt"] else ["--no-generation-prompt"]
                messages = self.file("messages.json", item["messages"])
                out = self.good("template", model(name), "--messages", messages, *flags).stdout
                self.assertEqual(out, item["prompt"].encode(), name)
                told = self.good_json("template", model(name), "--messages", messages, *flags)
                self.assertEqual(told, {"prompt": item["prompt"]})

    def test_without_a_model(self):
        source = self.file("t.jinja", "{{ bos_token }}{{ messages|length }}{{ tools is none }}"
                                      "{{ documents is none }}{{ add_generation_prompt }}")
        render = ("template", "--template", source, "--messages", "-")
        self.assertEqual(self.good(*render, stdin=b"[]").stdout, b"0TrueTrueTrue")
        variables = self.file("vars.json", {"bos_token": "<s>", "tools": [1]})
        out = self.good(*render, "--vars", variables, "--no-generation-prompt", stdin=b"[{}]")
        self.assertEqual(out.stdout, b"<s>1FalseTrueFalse")
        tools = self.file("tools.json", [{"type": "function"}])
        out = self.good(*render, "--tools", tools, stdin=b"[]")
        self.assertEqual(out.stdout, b"0FalseTrueTrue")

    def test_special_tokens_come_from_the_model(self):
        source = self.file("t.jinja", "{{ bos_token }}|{{ eos_token }}")
        messages = self.file("m.json", [])
        render = ("template", model("llama-smol"), "--template", source, "--messages", messages)
        self.assertEqual(self.good(*render).stdout, b"<|im_start|>|<|im_end|>")
        variables = self.file("vars.json", {"bos_token": "B"})
        self.assertEqual(self.good(*render, "--vars", variables).stdout, b"B|<|im_end|>")

    def test_templates_by_name(self):
        folder = self.path("named")
        os.makedirs(os.path.join(folder, "additional_chat_templates"))
        for name, text in (("chat_template.jinja", "plain"),
                           ("additional_chat_templates/tool_use.jinja", "{{ tools|length }} tools"),
                           ("additional_chat_templates/rag.jinja", "rag")):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        messages = self.file("m.json", [])
        tools = ("--tools", self.file("tools.json", [{"type": "function"}]))
        render = ("template", folder, "--messages", messages)
        for flags, expected in (((), b"plain"), (tools, b"1 tools"), (("--name", "rag"), b"rag"),
                                ((*tools, "--name", "default"), b"plain")):
            self.assertEqual(self.good(*render, *flags).stdout, expected, flags)
        self.bad(3, *render, "--name", "ragg", name="not_found", says="default, rag, tool_use")
        source = self.file("t.jinja", "x")
        self.bad(2, *render, "--name", "rag", "--template", source, name="usage", says="--name")
        os.remove(os.path.join(folder, "chat_template.jinja"))
        self.bad(3, *render, name="not_found", says="rag, tool_use")

    def test_messages_are_prepared_as_transformers_does(self):
        source = self.file("t.jinja", "{{ messages|tojson }}")
        messages = self.file("m.json", [{"role": "assistant", "content": None, "reasoning": "r"}])
        out = self.good("template", "--template", source, "--messages", messages).stdout
        self.assertEqual(json.loads(out), [{"thinking": "r", "role": "assistant", "reasoning": "r",
                                            "reasoning_content": "r"}])
        self.bad(3, "template", "--template", source, "--messages", self.file("b.json", [{}, "x"]),
                 name="invalid_input", says="[1]")

    def test_errors(self):
        messages = self.file("m.json", [{"role": "user", "content": "x"}])

        def render(code, text, **more):
            return self.bad(code, "template", "--template", self.file("t.jinja", text),
                            "--messages", messages, **more)
        render(1, "{{ raise_exception('not so') }}", name="template_error", says="not so")
        render(1, "{{ 1 // 0 }}", name="template_error")
        render(1, "{{ 'a' + 1 }}", name="template_error")
        render(3, "{% if %}", name="damaged", says="t.jinja")
        render(3, b"\xff", says="byte 0")
        render(5, "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
                  "{% endfor %}", name="over_limit")
        empty = self.file("e.jinja", "x")
        self.assertEqual(self.good("template", "--template", empty, "--messages", messages).stdout,
                         b"x")
        for damaged in ("[", "{}", "", "[{\"a\":1,\"a\":2}]", "[] []"):
            path = self.file("bad.json", damaged)
            self.bad(3, "template", "--template", empty, "--messages", path, says="bad.json",
                     name="invalid_input")
        for flag, damaged in (("--tools", "{}"), ("--tools", ""), ("--vars", "[]"),
                              ("--vars", "{")):
            path = self.file("bad.json", damaged)
            self.bad(3, "template", "--template", empty, "--messages", messages, flag, path,
                     name="invalid_input")
        self.bad(3, "template", "--template", empty, "--messages", self.path("none"),
                 name="not_found")
        self.bad(3, "template", "--template", empty, "--messages", self.folder, says="folder")
        self.bad(2, "template", "--messages", messages, says="MODEL", name="usage")
        self.bad(2, "template", model("llama-smol"), says="--messages", name="usage")
        self.bad(3, "template", model("phi2"), "--messages", messages, name="not_found")


class Run(Case):
    GREEDY = ("--greedy", "--ignore-eos", "--max-new-tokens")
    EXACT = ("--compute", "fp32")

    def test_golden_tokens(self):
        for name in ("llama-smol", "llama-smol-q4_1", "phi3-plain", "phi2", "llama-tiny-sharded"):
            expected = golden(name)
            path = name if os.path.exists(model(name + "/config.json")) else name + ".gguf"
            ids = self.file("ids.json", expected["prompt_ids"])
            value = self.good_json("run", model(path), "--prompt-ids", ids, *self.GREEDY, "32",
                                   *self.EXACT)
            self.assertEqual(set(value), {"prompt_ids", "outputs", "stats"})
            self.assertEqual(value["prompt_ids"], expected["prompt_ids"])
            self.assertEqual(len(value["outputs"]), 1)
            output = value["outputs"][0]
            self.assertLessEqual({"ids", "text", "finish_reason"}, set(output))
            self.assertEqual(output["ids"], expected["greedy_ids"], name)
            self.assertEqual(output["finish_reason"], "length")
            self.assertEqual(set(value["stats"]), STATS_KEYS)
            self.assertEqual(value["stats"]["prompt_tokens"], 64)
            self.assertEqual(value["stats"]["new_tokens"], 32)
            for key in STATS_KEYS - {"drafted_tokens", "accepted_tokens"}:
                self.assertGreater(value["stats"][key], 0, key)
            text = self.good("tokenize", "--decode", "--skip-special-tokens", model(path),
                             json.dumps(output["ids"])).stdout.decode()
            self.assertEqual(output["text"], text)

    def test_streamed_text_is_the_text(self):
        run = ("run", model("llama-smol"), "Who?", *self.GREEDY, "40")
        output = self.good_json(*run)["outputs"][0]
        result = self.good(*run)
        self.assertEqual(result.stdout.decode(), output["text"], "and no newline is added")
        self.assertEqual(result.stderr, b"", "no statistics unless at a terminal")

    def test_prompt_goes_through_the_template(self):
        item = next(i for i in golden("llama-smol")["templates"]
                    if len(i["messages"]) == 1 and i["add_generation_prompt"])
        content = item["messages"][0]["content"]
        run = ("run", model("llama-smol"), "--max-new-tokens", "1")
        self.assertEqual(self.good_json(*run, content)["prompt_ids"], item["ids"])
        self.assertEqual(self.good_json(*run, "-", stdin=content.encode())["prompt_ids"],
                         item["ids"])
        self.assertEqual(self.good_json(*run, stdin=content.encode())["prompt_ids"], item["ids"])
        messages = self.file("m.json", item["messages"])
        self.assertEqual(self.good_json(*run, "--messages", messages)["prompt_ids"], item["ids"])

    def test_raw_adds_the_tokenizers_own_tokens(self):
        text = "The capital"
        for name in ("llama-smol", "llama-tiny-sharded"):
            ids = self.good_json("tokenize", model(name), text)["ids"]
            value = self.good_json("run", "--raw", model(name), text, "--max-new-tokens", "1")
            self.assertEqual(value["prompt_ids"], ids)

    def test_model_without_a_template(self):
        run = ("run", model("phi2"), "The capital", "--max-new-tokens", "1")
        ids = self.good_json("tokenize", model("phi2"), "The capital")["ids"]
        self.assertEqual(self.good_json(*run)["prompt_ids"], ids)
        self.assertIn(b"no chat template", self.good(*run).stderr)
        self.assertEqual(self.good(*run, "--quiet").stderr, b"")
        self.assertEqual(self.good(*run, "--raw").stderr, b"")
        messages = self.file("m.json", [{"role": "user", "content": "x"}])
        self.bad(3, "run", model("phi2"), "--messages", messages, name="not_found")
        self.bad(3, "run", model("phi2"), "x", "--system", "y", name="not_found")

    def test_system(self):
        run = ("run", model("llama-smol"), "--max-new-tokens", "1")
        talk = [{"role": "system", "content": "Be \"brief\"."}, {"role": "user", "content": "Hi"}]
        whole = self.good_json(*run, "--messages", self.file("m.json", talk))["prompt_ids"]
        self.assertEqual(self.good_json(*run, "Hi", "--system", talk[0]["content"])["prompt_ids"],
                         whole)
        rest = self.file("rest.json", "  \n" + json.dumps(talk[1:]))
        put_before = self.good_json(*run, "--messages", rest, "--system", talk[0]["content"])
        self.assertEqual(put_before["prompt_ids"], whole)
        self.bad(2, *run, "--messages", self.file("m.json", talk), "--system", "x", name="usage")
        self.bad(3, *run, "--messages", self.file("bad.json", "[{"), "--system", "x",
                 name="invalid_input")
        deep = '[{"role":' + "[" * 300000 + "]" * 300000 + "}]"
        self.bad(5, *run, "--messages", self.file("deep.json", deep), "--system", "x",
                 name="over_limit")

    def test_exactly_one_prompt(self):
        messages = self.file("m.json", [{"role": "user", "content": "x"}])
        ids = self.file("ids.json", [1, 2])
        run = ("run", model("llama-smol"))
        self.bad(2, *run, "x", "--messages", messages, name="usage")
        self.bad(2, *run, "x", "--prompt-ids", ids, name="usage")
        self.bad(2, *run, "--messages", messages, "--prompt-ids", ids, name="usage")
        self.bad(2, *run, "--messages", messages, "--raw", name="usage")
        self.bad(2, *run, "--prompt-ids", ids, "--raw", name="usage")
        self.bad(2, *run, "x", "--raw", "--system", "y", name="usage")
        self.bad(2, *run, name="usage")
        self.bad(2, *run, "-", name="usage")
        self.bad(2, "run", says="MODEL", name="usage")
        for text in ("", "-"):
            closed = subprocess.run(["sh", "-c", 'exec "$0" run "$1" $2 <&-', PHIAL,
                                     model("llama-smol"), text], capture_output=True, check=False,
                                    timeout=TIMEOUT)
            self.assertEqual(closed.returncode, 2, closed.stderr)

    def test_empty_prompt_is_allowed(self):
        run = ("run", model("llama-smol"), "", "--max-new-tokens", "2")
        self.assertTrue(self.good_json(*run)["prompt_ids"])
        bos = self.good_json(*run, "--raw")["prompt_ids"]
        self.assertEqual(len(bos), 1)

    def test_options_end_at_two_dashes(self):
        run = ("run", model("llama-smol"), "--max-new-tokens", "1", "--raw")
        value = self.run_phial(*run, "--json", "--", "-x and --json")
        self.assertEqual(json.loads(value.stdout)["prompt_ids"],
                         self.good_json("tokenize", model("llama-smol"), stdin=b"-x and --json")
                         ["ids"])
        self.bad(2, *run, "-x and", says="behind --")

    def test_damaged_input(self):
        run = ("run", model("llama-smol"))
        for text in ("[", "[1.5]", "{}", "[]", "[416]", "[-1]"):
            self.bad(3, *run, "--prompt-ids", self.file("ids.json", text), name="invalid_input")
        self.bad(3, *run, "--prompt-ids", self.path("none"), name="not_found")
        self.bad(3, *run, "--messages", self.file("m.json", "{"), says="m.json",
                 name="invalid_input")
        self.bad(3, *run, "-", stdin=b"ok \xc3", says="byte 3", name="invalid_input")
        self.bad(3, *run, "x", "--system", b"\xff".decode(errors="surrogateescape"), says="byte 0")
        self.bad(3, "run", self.path("no.gguf"), "x", name="not_found")

    def test_no_tokens(self):
        output = self.good_json("run", model("llama-smol"), "x", "--max-new-tokens", "0")
        self.assertEqual(output["outputs"][0]["ids"], [])
        self.assertEqual(output["outputs"][0]["finish_reason"], "length")
        self.assertEqual(output["stats"]["new_tokens"], 0)

    def test_context(self):
        ids = self.file("ids.json", golden("llama-smol")["prompt_ids"])
        run = ("run", model("llama-smol"), "--prompt-ids", ids, "--greedy", "--ignore-eos")
        self.bad(6, *run, "--context", "10", name="context_full")
        self.bad(5, *run, "--context", "513", says="512", name="over_limit")
        self.bad(5, *run, "--context", "9223372036854775807", name="over_limit")
        value = self.good_json(*run, "--context", "70")
        self.assertEqual(value["outputs"][0]["finish_reason"], "length")
        self.assertEqual(len(value["outputs"][0]["ids"]), 6)

    def test_end_tokens(self):
        # An end token is found by asking for what is likely to hold one, many times over.
        run = ("run", model("llama-smol"), "x", "--temperature", "1.5", "--max-new-tokens", "400")
        for seed in range(40):
            output = self.good_json(*run, "--seed", str(seed))["outputs"][0]
            if output["finish_reason"] == "stop":
                self.assertIn(output["ids"][-1], (0, 2), "generation_config.json's end ids")
                self.assertFalse({0, 2} & set(output["ids"][:-1]))
                longer = self.good_json(*run, "--seed", str(seed), "--ignore-eos")["outputs"][0]
                self.assertEqual(longer["ids"][:len(output["ids"])], output["ids"])
                self.assertEqual(len(longer["ids"]), 400)
                return
        self.fail("no end token in 16,000")

    def test_seeds(self):
        run = ("run", model("llama-smol"), "x", "--temperature", "2", "--max-new-tokens", "24")
        first = self.good_json(*run, "--seed", "7")["outputs"][0]["ids"]
        self.assertEqual(self.good_json(*run, "--seed", "7")["outputs"][0]["ids"], first)
        self.assertNotEqual(self.good_json(*run, "--seed", "8")["outputs"][0]["ids"], first)

    def test_sampling_flags(self):
        run = ("run", model("llama-smol"), "x", "--ignore-eos", "--max-new-tokens", "16")
        greedy = self.good_json(*run, "--greedy")["outputs"][0]["ids"]
        self.assertEqual(self.good_json(*run)["outputs"][0]["ids"], greedy, "the default")
        self.assertEqual(self.good_json(*run, "--top-k", "1")["outputs"][0]["ids"], greedy)
        self.assertEqual(self.good_json(*run, "--top-p", "1e-9")["outputs"][0]["ids"], greedy)
        self.assertNotEqual(
            self.good_json(*run, "--top-k", "0", "--temperature", "5", "--seed", "1")
            ["outputs"][0]["ids"], greedy)
        self.bad(2, *run, "--greedy", "--temperature", "1", name="usage")

    def test_threads_and_instruction_sets_agree(self):
        ids = self.file("ids.json", golden("llama-smol")["prompt_ids"])
        run = ("run", model("llama-smol"), "--prompt-ids", ids, *self.GREEDY, "32")
        for isa in self.good_json("doctor")["isa"]["available"]:
            for threads in ("1", "3"):
                value = self.good_json(*run, "--isa", isa, "--threads", threads)
                self.assertEqual(value["outputs"][0]["ids"], golden("llama-smol")["greedy_ids"])


class Logits(Case):
    def write(self, *flags, name="llama-smol", ids=None):
        ids = self.file("ids.json", golden("llama-smol")["prompt_ids"] if ids is None else ids)
        out = self.path("out.npy")
        told = self.good_json("logits", model(name), "--ids", ids, "--out", out, *flags)
        self.assertEqual(set(told), {"positions", "vocab"})
        shape, values = read_npy(out)
        self.assertEqual(shape, (told["positions"], told["vocab"]))
        self.assertEqual(len(values), shape[0] * shape[1])
        self.assertEqual(sorted(os.listdir(self.folder)), ["ids.json", "out.npy"])
        return shape, values

    def assert_golden(self, values, first):
        shape, expected = read_npy(model("llama-smol/logits.npy"))
        tolerance = 2e-4 * golden("llama-smol")["logit_range"]
        expected = expected[first * shape[1]:first * shape[1] + len(values)]
        self.assertLessEqual(max(abs(a - b) for a, b in zip(values, expected)), tolerance)

    def test_golden(self):
        shape, values = self.write()
        self.assertEqual(shape, (64, 416))
        self.assert_golden(values, 0)

    def test_chunks(self):
        for chunks in ("17,1,1,40", "1", "64", "63,1"):
            shape, values = self.write("--chunks", chunks)
            self.assertEqual(shape, (64, 416))
            self.assert_golden(values, 0)

    def test_last(self):
        for flags in ((), ("--chunks", "5,7")):
            shape, values = self.write("--last", *flags)
            self.assertEqual(shape, (1, 416))
            self.assert_golden(values, 63)

    def test_padding_rows_are_there(self):
        shape, _ = self.write(name="phi2", ids=[1, 2, 3])
        with open(model("phi2/config.json"), encoding="utf-8") as file:
            self.assertEqual(shape, (3, json.load(file)["vocab_size"]))

    def test_errors(self):
        ids = self.file("ids.json", [1, 2, 3])
        out = self.path("out.npy")
        logits = ("logits", model("llama-smol"))
        self.bad(2, *logits, "--out", out, says="--ids", name="usage")
        self.bad(2, *logits, "--ids", ids, says="--out", name="usage")
        for chunks in ("0", "2,2", "", "1,,1", "-1", "x"):
            self.bad(2, *logits, "--ids", ids, "--out", out, "--chunks", chunks, name="usage")
        for text in ("[416]", "[-1]", "[]", "[", "7"):
            self.bad(3, *logits, "--ids", self.file("bad.json", text), "--out", out,
                     name="invalid_input")
        self.bad(6, *logits, "--ids", ids, "--out", out, "--context", "2", name="context_full")
        self.bad(1, *logits, "--ids", ids, "--out", self.path("no/such/out.npy"), name="io_error")
        self.bad(1, *logits, "--ids", ids, "--out", self.folder, name="io_error")
        self.bad(1, *logits, "--ids", ids, "--out", "/dev/full", name="io_error")
        self.assertEqual(sorted(os.listdir(self.folder)), ["bad.json", "ids.json"],
                         "a failed run leaves nothing")

    def test_output_behind_a_link(self):
        ids = self.file("ids.json", [1, 2])
        os.mkdir(self.path("far"))
        os.symlink("far/out.npy", self.path("link.npy"))
        os.symlink("circle.npy", self.path("circle.npy"))
        for _ in range(2):  # once there is nothing there yet
            self.good("logits", model("llama-smol"), "--ids", ids, "--out", self.path("link.npy"))
            self.assertTrue(os.path.islink(self.path("link.npy")))
            self.assertEqual(os.listdir(self.path("far")), ["out.npy"])
        self.bad(1, "logits", model("llama-smol"), "--ids", ids, "--out", self.path("circle.npy"),
                 says="circle", name="io_error")

    def test_output_that_is_a_source(self):
        source = self.path("copy.gguf")
        shutil.copy(model("llama-smol-f32.gguf"), source)
        link = self.path("link.npy")
        os.symlink(source, link)
        ids = self.file("ids.json", [1, 2])
        for out in (source, link, self.folder + "/./copy.gguf"):
            self.bad(2, "logits", source, "--ids", ids, "--out", out, name="usage")
        self.bad(2, "logits", source, "--ids", ids, "--out", ids, name="usage")
        with open(source, "rb") as left, open(model("llama-smol-f32.gguf"), "rb") as right:
            self.assertEqual(left.read(), right.read(), "nothing touched")


class Streams(Case):
    def long_model(self):
        """llama-smol with room for a generation that takes long enough to be stopped."""
        folder = self.path("long")
        shutil.copytree(model("llama-smol"), folder)
        with open(folder + "/config.json", encoding="utf-8") as file:
            config = json.load(file)
        config["max_position_embeddings"] = 1 << 20
        with open(folder + "/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        return folder

    def start(self, *arguments, **options):
        return subprocess.Popen([PHIAL, "run", self.long_model(), "x", "--ignore-eos",
                                 "--threads", "1", *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                                **options)

    def test_interrupt_keeps_the_partial_text(self):
        process = self.start()
        first = process.stdout.read(1)
        self.assertEqual(len(first), 1, "text comes while it is made")
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        self.assertLess(time.monotonic() - sent, 5)
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(err, b"")
        (first + out).decode()  # whole characters only

    def test_interrupt_with_json(self):
        for wait in (1, 4, 16):  # longer when it came before the generation began
            process = self.start("--json")
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=TIMEOUT)
            self.assertEqual(process.returncode, 130, err)
            shutil.rmtree(self.path("long"))
            if out:
                output = json.loads(out)["outputs"][0]
                self.assertEqual(output["finish_reason"], "cancelled")
                self.assertTrue(output["ids"])
                return
        self.fail("interrupted before the generation began")

    def test_second_interrupt_kills(self):
        process = self.start()
        process.stdout.read(1)
        # Nobody reads now: the program comes to rest in a full pipe, where one interrupt is not
        # enough.
        fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, 4096)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        self.assertIn(process.wait(timeout=TIMEOUT), (130, -signal.SIGINT))
        process.stdout.close()
        process.stderr.close()

    def test_reader_that_goes_away(self):
        process = self.start()
        process.stdout.read(1)
        process.stdout.close()
        self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.wait(timeout=TIMEOUT), 0)
        process.stderr.close()

    def test_output_that_cannot_be_written(self):
        for arguments in (("run", model("llama-smol"), "x", "--max-new-tokens", "4"),
                          ("run", model("llama-smol"), "x", "--max-new-tokens", "4", "--json"),
                          ("doctor",), ("info", model("llama-smol"), "--json"), ("help",),
                          ("tokenize", model("llama-smol"), "x")):
            with open("/dev/full", "wb") as full:
                result = subprocess.run([PHIAL, *arguments], stdout=full, stderr=subprocess.PIPE,
                                        timeout=TIMEOUT, check=False)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertIn(b"stdout", result.stderr)
            self.assertEqual(result.stderr.count(b"\n"), 1)

    def test_closed_stdout(self):
        out = self.path("out.npy")
        ids = self.file("ids.json", [1, 2])
        for command in (f"run {model('llama-smol')} x --max-new-tokens 4", "doctor"):
            closed = subprocess.run(["sh", "-c", f"exec {PHIAL} {command} >&-"],
                                    capture_output=True, timeout=TIMEOUT, check=False)
            self.assertEqual(closed.returncode, 1, closed.stderr)
            self.assertIn(b"stdout", closed.stderr)
        # A file that is opened must not become the standard output that others write to.
        result = subprocess.run(
            ["sh", "-c", f"exec {PHIAL} logits {model('llama-smol')} --ids {ids} --out {out} "
                         "<&- >&- 2>&-"], capture_output=True, timeout=TIMEOUT, check=False)
        self.assertEqual(result.returncode, 0)
        self.assertEqual(read_npy(out)[0], (2, 416))

    def test_at_a_terminal(self):
        parent, child = pty.openpty()
        run = [PHIAL, "run", model("llama-smol"), "x", "--greedy", "--max-new-tokens", "4"]
        for flags in ((), ("--quiet",)):
            process = subprocess.Popen([*run, *flags], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=child)
            out, _ = process.communicate(timeout=TIMEOUT)
            self.assertEqual(process.returncode, 0)
            self.assertFalse(out.endswith(b"\n\n"))
            if not flags:
                self.assertIn(b"tok/s", os.read(parent, 4096))
        # With --quiet nothing was written: what is read next is what we write ourselves.
        os.write(child, b"end")
        self.assertEqual(os.read(parent, 4096), b"end")
        text = subprocess.run(run, stdin=subprocess.DEVNULL, capture_output=True, check=True,
                              timeout=TIMEOUT).stdout
        process = subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=child,
                                   stderr=subprocess.PIPE)
        process.communicate(timeout=TIMEOUT)
        seen = os.read(parent, 65536).replace(b"\r\n", b"\n")
        self.assertTrue(seen.endswith(b"\n"))
        self.assertEqual(seen[:-1].replace(b"\r", b""), text.replace(b"\r", b""))
        os.close(parent)
        os.close(child)

    def test_tokens_are_coloured_on_a_terminal(self):
        command = [PHIAL, "tokenize", model("llama-smol"), "The capital\x1b[0m"]
        plain = subprocess.run(command, capture_output=True, check=True, timeout=TIMEOUT).stdout
        self.assertNotIn(b"\x1b", plain)

        def shown(*flags, **variables):
            parent, child = pty.openpty()
            environment = {**os.environ, "TERM": "xterm", **variables}
            environment = {key: value for key, value in environment.items() if value is not None}
            subprocess.run([*command, *flags], stdin=subprocess.DEVNULL, stdout=child, check=True,
                           stderr=subprocess.PIPE, timeout=TIMEOUT, env=environment)
            seen = os.read(parent, 65536).replace(b"\r\n", b"\n")
            os.close(parent)
            os.close(child)
            return seen
        coloured = shown(NO_COLOR=None)
        bare = re.sub(rb"\x1b\[(30;4[2356]|0)m", b"", coloured)
        self.assertNotIn(b"\x1b", bare)
        pieces = [line.split(b"  ", 1)[1] for line in plain.lstrip().split(b"\n")[:-1]
                  for line in [line.lstrip()]]
        self.assertEqual(bare, b"".join(pieces) + b"\n\n" + plain)
        colours = re.findall(rb"30;(4\d)m", coloured)
        self.assertEqual(len(colours), 2 * len(pieces))
        self.assertTrue(all(a != b for a, b in zip(colours, colours[1:len(pieces)])))
        for flags, variables in ((("--quiet",), {"NO_COLOR": None}), ((), {"NO_COLOR": "1"}),
                                 ((), {"NO_COLOR": None, "TERM": "dumb"})):
            self.assertEqual(shown(*flags, **variables), plain, flags)

    def test_a_vocabulary_is_no_model(self):
        vocabulary = self.file("v.gguf", vocabulary_of(model("llama-smol-f32.gguf")))
        self.assertEqual(self.good_json("tokenize", vocabulary, "The capital"),
                         self.good_json("tokenize", model("llama-smol-f32.gguf"), "The capital"))
        self.bad(4, "run", vocabulary, "x", name="unsupported", says="holds only a vocabulary")

    def test_no_prompt_at_a_terminal_does_not_wait(self):
        parent, child = pty.openpty()
        result = subprocess.run([PHIAL, "run", model("llama-smol")], stdin=child,
                                capture_output=True, timeout=TIMEOUT, check=False)
        self.assertEqual(result.returncode, 2)
        os.close(parent)
        os.close(child)

    def test_pipes_as_files(self):
        """Process substitution: --messages <(...)."""
        reader, writer = os.pipe()
        os.write(writer, b'[{"role":"user","content":"x"}]')
        os.close(writer)
        result = self.run_phial("template", model("llama-smol"), "--messages",
                                f"/dev/fd/{reader}", pass_fds=(reader,))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(b"x<|im_end|>", result.stdout)
        os.close(reader)

    def test_a_named_pipe_nobody_writes_to_does_not_block(self):
        os.mkfifo(self.path("pipe"))
        self.bad(3, "run", model("llama-smol"), "--messages", self.path("pipe"))


def main():
    global PHIAL, MODELS
    PHIAL, MODELS = test_program.paths("phial", "models")
    return test_program.run()


if __name__ == "__main__":
    sys.exit(main())
