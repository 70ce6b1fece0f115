"""phial compare: its numbers against what plain arithmetic makes of `phial logits`, and what it
refuses, on the golden checkpoints. Standard library only.

usage: compare_test.py --phial PROGRAM --models tests/golden/models [unittest arguments]
"""
import math
import sys

import cli_test
import test_program
from cli_test import Case, model, read_npy

KEYS = {"kl_mean", "kl_median", "kl_p99", "kl_max", "kl_max_at", "top1_agreement", "decided_gap",
        "decided_tokens", "decided_agreement", "widest_gap", "ppl_a", "ppl_b", "nll_a", "nll_b",
        "tokens", "windows", "context", "stride", "vocabulary", "continuations"}
TEXT = "Once upon a time, there was a small house with 17 windows. It's not far from here.\n" * 4


def log_softmax(row):
    most = max(row)
    total = math.log(math.fsum(math.exp(value - most) for value in row))
    return [value - most - total for value in row]


def percentile(values, share):
    values = sorted(values)
    at = share * (len(values) - 1)
    below = int(at)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (at - below)


class Compare(Case):
    def ids(self, name, text):
        return self.good_json("tokenize", model(name), text)["ids"]

    def rows(self, name, ids):
        """The logits of ids read in one piece."""
        out = self.path("logits.npy")
        self.good("logits", model(name), "--ids", self.file("ids.json", ids), "--out", out)
        (positions, vocabulary), values = read_npy(out)
        return [list(values[r * vocabulary:(r + 1) * vocabulary]) for r in range(positions)]

    def expected(self, a, b, ids, context, stride):
        """KL, surprise and best tokens of every scored token, from logits of each window."""
        scored = []
        scored_end = 0
        for begin in range(0, len(ids), stride):
            end = min(begin + context, len(ids))
            window = ids[begin:end]
            rows_a, rows_b = self.rows(a, window), self.rows(b, window)
            for token in range(max(scored_end, begin + 1), end):
                row_a, row_b = rows_a[token - begin - 1], rows_b[token - begin - 1]
                log_a, log_b = log_softmax(row_a), log_softmax(row_b)
                kl = math.fsum(math.exp(x) * (x - y) for x, y in zip(log_a, log_b))
                best, second = sorted(row_a, reverse=True)[:2]
                scored.append((kl, -log_a[ids[token]], -log_b[ids[token]],
                               row_a.index(best) == row_b.index(max(row_b)), best - second, token))
            scored_end = end
            if end == len(ids):
                break
        return scored

    def check(self, a, b, context, stride):
        text = self.file("text.txt", TEXT)
        got = self.good_json("compare", model(a), model(b), "--text", text, "--context",
                             str(context), "--stride", str(stride))
        self.assertLessEqual(KEYS, set(got))
        scored = self.expected(a, b, self.ids(a, TEXT), context, stride)
        kls, nlls_a, nlls_b, same, gaps, tokens = zip(*scored)
        self.assertEqual(got["tokens"], len(scored))
        count = len(scored)
        # `phial logits` reads a window in one piece, compare in pieces of other lengths where a
        # window begins with tokens that are not scored: float32 logits near 10 agree to 1e-5, and
        # KL, a mean of products of probabilities and logits, to no less.
        close = {"delta": 1e-5}
        self.assertAlmostEqual(got["kl_mean"], math.fsum(kls) / count, **close)
        self.assertAlmostEqual(got["kl_median"], percentile(kls, 0.5), **close)
        self.assertAlmostEqual(got["kl_p99"], percentile(kls, 0.99), **close)
        self.assertAlmostEqual(got["kl_max"], max(kls), **close)
        self.assertEqual(got["kl_max_at"], tokens[kls.index(max(kls))])
        self.assertAlmostEqual(got["nll_a"], math.fsum(nlls_a) / count, **close)
        self.assertAlmostEqual(got["nll_b"], math.fsum(nlls_b) / count, **close)
        self.assertAlmostEqual(got["ppl_b"], math.exp(got["nll_b"]), delta=1e-9 * got["ppl_b"])
        self.assertAlmostEqual(got["top1_agreement"], sum(same) / count, delta=1e-12)
        decided = [agree for agree, gap in zip(same, gaps) if gap > got["decided_gap"]]
        self.assertEqual(got["decided_tokens"], len(decided))
        self.assertAlmostEqual(got["decided_agreement"], sum(decided) / len(decided), delta=1e-12)
        widest = max((gap for agree, gap in zip(same, gaps) if not agree), default=0)
        self.assertAlmostEqual(got["widest_gap"], widest, **close)
        return got

    def test_the_numbers(self):
        got = self.check("llama-smol", "llama-smol-q4_1.gguf", 64, 64)
        self.assertGreater(got["kl_mean"], 1e-4)
        self.check("llama-smol-q8_0.gguf", "llama-smol-f32.gguf", 48, 20)

    def test_perplexities_are_those_of_the_command(self):
        text = self.file("text.txt", TEXT)
        windows = ("--text", text, "--context", "64", "--stride", "32")
        got = self.good_json("compare", model("llama-smol"), model("llama-smol-q4_1.gguf"), *windows)
        for key, name in (("nll_a", "llama-smol"), ("nll_b", "llama-smol-q4_1.gguf")):
            alone = self.good_json("perplexity", model(name), *windows)
            # Its probabilities are float32.
            self.assertAlmostEqual(got[key], alone["nll"], delta=1e-5)
            self.assertEqual(got["tokens"], alone["tokens"])

    def test_equal_models_differ_by_nothing(self):
        text = self.file("text.txt", TEXT)
        for b in ("llama-smol", "llama-smol-f32.gguf"):
            got = self.good_json("compare", model("llama-smol"), model(b), "--text", text)
            for key in ("kl_mean", "kl_p99", "kl_max", "widest_gap"):
                self.assertEqual(got[key], 0, (b, key))
            self.assertEqual(got["ppl_a"], got["ppl_b"])
            self.assertEqual((got["top1_agreement"], got["decided_agreement"]), (1, 1))
            self.assertNotIn("first_difference", got)
            self.assertEqual([c["equal_tokens"] for c in got["continuations"]], [32] * 4)

    def test_continuations_are_greedy_answers(self):
        ids = self.ids("llama-smol", TEXT)
        names = ("llama-smol", "llama-smol-q4_1.gguf")
        got = self.good_json("compare", *map(model, names), "--ids", self.file("ids.json", ids),
                             "--continuations", "3", "--new-tokens", "24")
        self.assertEqual(len(got["continuations"]), 3)
        parted = []
        for index, part in enumerate(got["continuations"]):
            prompt = ids[part["begin"]:part["begin"] + part["prompt_tokens"]]
            answers = [self.good_json("run", model(name), "--prompt-ids",
                                      self.file("prompt.json", prompt), "--max-new-tokens", "24",
                                      "--ignore-eos", "--greedy", "--compute", "fp32")["outputs"][0]["ids"]
                       for name in names]
            equal = next((i for i, (x, y) in enumerate(zip(*answers)) if x != y), 24)
            self.assertEqual(part["equal_tokens"], equal)
            if equal < 24:
                self.assertEqual([part["a"], part["b"]], [answer[equal] for answer in answers])
                parted.append((equal, index))
        first = got["first_difference"]
        self.assertEqual((first["equal_tokens"], first["continuation"]), min(parted))
        self.assertIn("text_a", first)

    def test_text_and_ids_are_the_same(self):
        text = self.file("text.txt", TEXT)
        ids = self.file("ids.json", self.ids("llama-smol", TEXT))
        pair = (model("llama-smol"), model("llama-smol-q4_1.gguf"))
        windows = ("--context", "64", "--stride", "32")
        by_text = self.good_json("compare", *pair, "--text", text, *windows)
        by_ids = self.good_json("compare", *pair, "--ids", ids, *windows)
        self.assertEqual(by_text, by_ids)
        piped = self.good_json("compare", *pair, "--text", "-", *windows, stdin=TEXT.encode())
        self.assertEqual(by_text, piped)

    def test_for_people(self):
        text = self.file("text.txt", TEXT)
        said = self.good("compare", model("llama-smol"), model("llama-smol-q4_1.gguf"), "--text",
                         text).stdout.decode()
        for word in ("perplexity", "KL", "p99", "top token", "continuations", "first differs"):
            self.assertIn(word, said)

    def test_refusals(self):
        a, b = model("llama-smol"), model("llama-smol-q4_1.gguf")
        text = self.file("text.txt", TEXT)
        ids = self.file("ids.json", [1, 2, 3])
        self.bad(2, "compare", a, b, says="--text FILE or --ids FILE is missing")
        self.bad(2, "compare", a, b, "--text", text, "--ids", ids, says="both --text and --ids")
        self.bad(2, "compare", a, "--text", text, says="B")
        self.bad(2, "compare", a, b, "--text", text, "--context", "8", "--stride", "9",
                 says="--stride")
        for command in (("compare", a, b), ("perplexity", a)):
            self.bad(2, *command, "--text", text, "--context", "1", says="--context")
            error = self.bad(5, *command, "--text", text, "--context", "513", says="--context",
                             name="over_limit")
            self.assertEqual(error["hint"], "a context of 512 fits")
        self.bad(2, "compare", a, b, "--text", text, "--new-tokens", "0", says="--new-tokens")
        self.bad(2, "compare", a, b, "--text", text, "--compute-b", "fp31", says="--compute-b")
        error = self.bad(3, "compare", a, model("phi2"), "--text", text, says="tokenizers differ")
        for name in (a, model("phi2")):
            self.assertIn(name, error["message"])
        self.bad(3, "compare", a, b, "--ids", self.file("one.json", [1]), says="one.json: the text")
        self.bad(3, "compare", a, b, "--ids", self.file("big.json", [1, 99999]), says="99999")
        self.bad(3, "compare", a, self.path("none"), "--text", text)


def main():
    cli_test.PHIAL, cli_test.MODELS = test_program.paths("phial", "models")
    return test_program.run()


if __name__ == "__main__":
    sys.exit(main())
