"""phial quantize, convert, llama-quantize and mlx-convert as they are typed: what is chosen, what is told, what is
refused before anything is written. Standard library only.

usage: quantize_cli_test.py --phial PROGRAM --models tests/golden/models [unittest arguments]
"""
import os
import sys

import cli_test
import quantize_safety_test
import test_program
from cli_test import Case, model


class QuantizeCommands(Case):
    def plan(self, command, *arguments):
        report = self.good_json(command, *arguments, "--dry-run")
        return report, {tensor["name"]: tensor for tensor in report["tensors"]}

    def wide_source(self):
        """A model whose rows hold whole blocks of every grid."""
        os.mkdir(self.path("wide"))
        quantize_safety_test.MODELS = cli_test.MODELS
        quantize_safety_test.small_source(self.path("wide"))
        return self.path("wide")

    def same_bytes(self, one, other):
        with open(one, "rb") as a, open(other, "rb") as b:
            self.assertEqual(a.read(), b.read(), (one, other))

    def test_what_fits_without_rounding_is_chosen(self):
        for bits in ("6.9", "12"):
            report, _ = self.plan("quantize", model("llama-smol-q4_1.gguf"), "-o", self.path("o.gguf"),
                                  "--bits-per-weight", bits)
            self.assertEqual(report["scheme"], "q4_1", bits)
        _, tensors = self.plan("quantize", model("llama-smol-f32.gguf"), "-o", self.path("o.gguf"),
                               "--bits-per-weight", "9")
        self.assertEqual(tensors["blk.0.ffn_up.weight"]["grid"], "q8_0")

    def test_codes_survive_mlx(self):
        for name in ("llama-smol-q8_0.gguf", "llama-smol-q4_1.gguf"):
            folder, back = self.path(name + ".mlx"), self.path(name)
            self.good("convert", model(name), "-o", folder, "--to", "mlx")
            self.good("convert", folder, "-o", back)
            first, before = self.plan("convert", model(name), "-o", self.path("a.gguf"))
            second, after = self.plan("convert", back, "-o", self.path("b.gguf"))
            self.assertEqual({name: tensor["grid"] for name, tensor in after.items()},
                             {name: tensor["grid"] for name, tensor in before.items()})
            self.assertEqual(second["weights"], first["weights"])

    def test_memory_is_refused_before_the_start(self):
        out = self.path("o.gguf")
        for more in ((), ("--dry-run",)):
            for command in ("quantize", "convert"):
                error = self.bad(5, command, model("llama-smol"), "-o", out, "--max-memory", "100K",
                                 *more, says="--max-memory", name="over_limit")
                self.assertIn("of the 100 KB of memory allowed", error["message"])
        self.assertEqual(os.listdir(self.folder), [])

    def test_places_that_cannot_be_written(self):
        full = self.path("full")
        os.mkdir(full)
        self.file("full/x", "x")
        for more in ((), ("--dry-run",)):
            self.bad(2, "quantize", model("llama-smol"), "-o", "-", "--to", "gguf", *more, says="file", cwd=self.folder)
            error = self.bad(1, "quantize", model("llama-smol"), "-o", self.path("no/where/o.gguf"), *more)
            self.assertIn("mkdir -p " + self.path("no/where"), error["hint"])
            error = self.bad(1, "convert", model("llama-smol"), "-o", self.path("no/where/o"), "--to", "mlx", *more)
            self.assertIn("mkdir -p " + self.path("no/where"), error["hint"])
            self.bad(1, "convert", model("llama-smol"), "-o", full, "--to", "mlx", *more)
            self.bad(1, "quantize", model("llama-smol"), "-o", full, "--to", "gguf", *more)
        self.good("quantize", model("llama-smol"), "-o", self.path("o.gguf"), "--dry-run")
        self.assertEqual(os.listdir(self.folder), ["full"])

    def test_a_link_leads_to_what_is_written(self):
        target, link = self.file("target.gguf", "old"), self.path("link.gguf")
        os.symlink("target.gguf", link)
        self.good("quantize", model("llama-smol"), "-o", link, "--to", "gguf:q8_0")
        self.assertTrue(os.path.islink(link))
        self.good("info", target)
        self.assertEqual(sorted(os.listdir(self.folder)), ["link.gguf", "target.gguf"])

    def test_a_link_to_what_is_still_to_come(self):
        os.mkdir(self.path("far"))
        for name, to in (("a.gguf", "far/new.gguf"), ("b.gguf", "c.gguf"),
                         ("c.gguf", self.path("far/other.gguf")), ("d", "far/new")):
            os.symlink(to, self.path(name))
        for name, finds in (("a.gguf", "far/new.gguf"), ("b.gguf", "far/other.gguf"),
                            ("d", "far/new/config.json")):
            self.good("convert", model("llama-smol"), "-o", self.path(name), "--to",
                      "gguf" if name.endswith("gguf") else "mlx")
            self.assertTrue(os.path.islink(self.path(name)))
            self.assertTrue(os.path.isfile(self.path(finds)))
            self.good("info", self.path(name))
        # A folder that is missing there, and a circle.
        os.symlink("no/where.gguf", self.path("e.gguf"))
        os.symlink("f.gguf", self.path("f.gguf"))
        for more in ((), ("--dry-run",)):
            error = self.bad(1, "convert", model("llama-smol"), "-o", self.path("e.gguf"), *more)
            self.assertIn("mkdir -p " + self.path("no"), error["hint"])
            self.bad(1, "convert", model("llama-smol"), "-o", self.path("f.gguf"), *more,
                     says="cannot write")
        self.assertTrue(os.path.islink(self.path("f.gguf")))
        self.assertFalse([name for name in os.listdir(self.folder) if "part" in name])

    def test_targets(self):
        source = model("llama-smol")
        error = self.bad(2, "convert", source, "-o", self.path("o"), says="--to FORMAT is missing")
        self.assertEqual(error["hint"], "one of --to gguf, --to mlx, --to safetensors, --to phial")
        self.bad(2, "quantize", source, "-o", self.path("o"), "--to", "q4_k_m", says="--to gguf:q4_k_m")
        self.bad(2, "quantize", source, "-o", self.path("o"), "--to", "mixed_3_6", says="--to mlx:mixed_3_6")
        report, _ = self.plan("quantize", source, "-o", self.path("o.gguf"), "--to", "q8_0")
        self.assertEqual((report["format"], report["scheme"]), ("gguf", "q8_0"))
        self.bad(2, "quantize", source, "-o", self.path("o.gguf"), "--effort", "bset",
                 says="expected fast|balanced; got 'bset'")

    def test_rules(self):
        command = ("quantize", model("llama-smol"), "-o", self.path("o.gguf"), "--dry-run", "--to", "gguf:q8_0")
        self.bad(2, *command, "--tensor", "ffn_down=q4_0", says="'*ffn_down*'")
        self.bad(2, *command, "--tensor", "*ffn_down*=q9_9", says="it has f32, ")
        self.bad(2, *command, "--tensor", "*ffn_down*=q9_9", says="q6_k")
        command = ("quantize", model("llama-smol-q4_1.gguf"), "-o", self.path("o"), "--dry-run", "--to")
        error = self.bad(2, *command, "gguf:q8_0", "--tensor", "token_embd.weight=q4_k")
        self.assertIn("q4_0", error["hint"])
        self.assertNotIn("q4_k", error["hint"])

    def test_reports(self):
        source, out = model("llama-smol-q4_1.gguf"), self.path("o.gguf")
        done = self.good("convert", source, "-o", out)
        self.assertIn(b"error        0 (all codes and values exact)", done.stdout)
        self.assertIn(b"source   ", done.stdout)
        self.assertNotIn(b"larger than the source", done.stderr)
        done = self.good("convert", source, "-o", out, "--to", "gguf:f32")
        self.assertIn(b"larger than the source", done.stderr)
        done = self.good("quantize", source, "-o", out, "--to", "gguf:q4_0")
        self.assertIn(b"% of the weights' size", done.stdout)

    def test_report_comes_before_the_evaluation(self):
        done = self.good("quantize", model("llama-smol"), "-o", self.path("o.gguf"), "--to", "gguf:q8_0", "--eval",
                         self.file("text.txt", "Hello, world. " * 20))
        self.assertIn(b"is complete; what follows only measures it", done.stderr)
        self.assertLess(done.stdout.index(b"error   "), done.stdout.index(b"KL"))
        self.assertEqual(done.stdout.count(b"output   "), 1)

    def test_llama_quantize(self):
        source = self.path("m.gguf")
        self.good("convert", model("llama-smol"), "-o", source)
        self.good("llama-quantize", source, self.path("a.gguf"), "Q8_0", "2")
        self.good("llama-quantize", source, self.path("b.gguf"), "7")
        self.good("llama-quantize", source, "q8_0", "1")
        self.same_bytes(self.path("a.gguf"), self.path("b.gguf"))
        self.same_bytes(self.path("a.gguf"), self.path("ggml-model-Q8_0.gguf"))
        self.bad(2, "llama-quantize", source, self.path("c.gguf"), "Q8_0", "many", says="1 to 1024")
        self.bad(2, "llama-quantize", source, self.path("c.gguf"), says="TYPE is missing")
        self.bad(2, "llama-quantize", source, self.path("c.gguf"), "Q9_0", says="TYPE: ")
        error = self.bad(2, "llama-quantize", source, self.path("c.gguf"), "q8_0", "--tensor-type", "ffn=q9")
        self.assertEqual(error["where"], "--tensor-type")
        tied = model("llama-smol-q4_1.gguf")
        for option in ("--output-tensor-type", "--token-embedding-type"):
            _, tensors = self.plan("llama-quantize", tied, self.path("d.gguf"), "q8_0", option, "q5_1")
            self.assertEqual(tensors["token_embd.weight"]["grid"], "q5_1", option)

    def test_pure(self):
        source = model("llama-smol-f32.gguf")
        out = self.path("o.gguf")
        for kind in ("Q4_0", "Q4_1", "Q5_0", "IQ4_NL", "Q8_0"):
            _, mixed = self.plan("llama-quantize", source, out, kind)
            _, tensors = self.plan("llama-quantize", "--pure", source, out, kind)
            grids = {tensor["grid"] for tensor in tensors.values() if "norm" not in tensor["name"]}
            self.assertEqual(grids, {kind.lower()})
            self.assertEqual(tensors == mixed, kind == "Q8_0", kind)
            self.assertEqual(tensors, self.plan("quantize", source, "-o", out, "--to", kind.lower(),
                                                "--pure")[1])
        self.bad(2, "quantize", source, "-o", out, "--pure", "--bits-per-weight", "5", says="--pure")
        # What is told of a tensor still counts, and rows that do not hold blocks get smaller ones.
        _, tensors = self.plan("llama-quantize", "--pure", source, out, "q4_0",
                               "--tensor-type", "ffn_down=q8_0")
        for name, tensor in tensors.items():
            if "norm" not in name:
                self.assertEqual(tensor["grid"], "q8_0" if "ffn_down" in name else "q4_0", name)
        _, tensors = self.plan("llama-quantize", "--pure", source, out, "q6_k")
        self.assertEqual({tensor["grid"] for name, tensor in tensors.items() if "norm" not in name},
                         {"q8_0"})
        wide = self.wide_source()
        for kind, grid in (("Q4_K_M", "q4_k"), ("Q3_K_L", "q3_k"), ("Q2_K", "q2_k")):
            report, tensors = self.plan("llama-quantize", "--pure", wide, out, kind)
            self.assertEqual(report["scheme"], kind.lower())
            self.assertEqual({t["grid"] for n, t in tensors.items() if "norm" not in n}, {grid})
        report, tensors = self.plan("quantize", wide, "-o", self.path("o"), "--to", "mlx:mixed_4_6",
                                    "--pure")
        self.assertEqual(report["scheme"], "mixed_4_6")
        self.assertEqual(len({t["grid"] for n, t in tensors.items() if "norm" not in n}), 1)

    def test_what_llama_quantize_leaves_out(self):
        for option, hint in (("--keep-split", "llama-gguf-split"),
                             ("--leave-output-tensor", "--output-tensor-type")):
            error = self.bad(4, "llama-quantize", option, model("llama-smol-f32.gguf"),
                             self.path("o.gguf"), "q4_0", name="unsupported")
            self.assertEqual(error["where"], option)
            self.assertIn(hint, error["hint"])

    def test_mlx_convert_as_mlx_lm_is_called(self):
        source = self.wide_source()

        def grids(*arguments):
            _, tensors = self.plan("mlx-convert", *arguments, "--mlx-path", self.path("o"))
            return {tensor["grid"] for name, tensor in tensors.items() if "norm" not in name}
        four = grids("--hf-path", source, "-q")
        self.assertEqual(len(four), 1)
        for same in (("--model", source, "--quantize"), (source, "-q", "--q-bits", "4"),
                     (source, "-q", "--q-group-size", "64", "--trust-remote-code")):
            self.assertEqual(grids(*same), four, same)
        self.assertNotEqual(grids(source, "-q", "--q-bits", "6"), four)
        self.assertEqual(grids(source, "-q", "--q-mode", "mxfp4", "--q-bits", "4", "--q-group-size",
                               "32"), {"mxfp4 g32"})
        self.assertGreater(len(grids(source, "-q", "--quant-predicate", "mixed_4_6")), 1)
        for dtype, grid in (("float16", "f16"), ("bfloat16", "bf16"), ("float32", "f32")):
            self.assertEqual(grids(source, "--dtype", dtype), {grid})
        for refused, says in ((("--q-bits", "4"), "--q-bits: goes with -q"),
                              (("--quant-predicate", "mixed_4_6"), "--quant-predicate: goes with -q"),
                              (("-q", "--quant-predicate", "mixed_4_6", "--q-bits", "4"), "says all"),
                              (("-q", "--q-mode", "mxfp4", "--q-bits", "8"), "--q-bits: mxfp4 has 4"),
                              (("-q", "--dtype", "float16"), "--dtype: goes without -q")):
            self.bad(2, "mlx-convert", source, *refused, says=says)
        self.bad(4, "mlx-convert", source, "--upload-repo", "me/it", says="uploads nothing",
                 name="unsupported")

    def test_mlx_convert(self):
        for option in ("-d", "--dequantize"):
            error = self.bad(4, "mlx-convert", "--hf-path", model("llama-smol"), option, name="unsupported")
            self.assertIn("phial convert MODEL -o OUT --to mlx:bf16", error["hint"])


if __name__ == "__main__":
    cli_test.PHIAL, cli_test.MODELS = test_program.paths("phial", "models")
    sys.exit(test_program.run())
