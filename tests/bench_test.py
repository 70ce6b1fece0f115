"""phial bench on models, driven as scripts drive it: names of rows, JSON keys, floors, exit codes.
Standard library only. How fast anything is plays no part.

usage: bench_test.py --phial PROGRAM --models tests/golden/models [unittest arguments]
"""
import os
import sys
import unittest

import cli_test
from cli_test import Case

ROW_KEYS = {"name", "value", "unit", "percent_of_probe"}
# Little of everything.
SHORT = ("--prompt", "16", "--depth", "0", "--batch", "6", "--rounds", "1")


class BenchModel(Case):
    def rows(self, report):
        self.assertLessEqual({"machine", "model", "settings", "probes", "rows"}, set(report))
        for row in report["rows"]:
            self.assertLessEqual(ROW_KEYS, set(row))
            self.assertGreater(row["value"], 0, row["name"])
        return {row["name"]: row for row in report["rows"]}

    def test_synthetic(self):
        report = self.good_json("bench", "--synthetic", "tiny:q4_0", "--layers", "1", "--prompt", "512",
                                "--depth", "0,20", "--batch", "2,6", "--rounds", "2", "--threads", "2")
        rows = self.rows(report)
        self.assertEqual(set(rows),
                         {"prefill_512", "decode_depth_0", "decode_depth_20", "pass_2_over_1",
                          "pass_6_over_1", "ttft_512_ms", "inter_token_p50_ms", "inter_token_p99_ms",
                          "peak_rss_bytes", "peak_anonymous_bytes"})
        for name in ("prefill_512", "decode_depth_0", "decode_depth_20", "pass_6_over_1"):
            self.assertGreater(rows[name]["percent_of_probe"], 0, name)
        for name in ("dram_gbps", "int8_gops", "int8_wide_gops", "fma_gflops"):
            self.assertGreater(report["probes"][name], 0)
        self.assertEqual(report["settings"]["threads"], 2)
        self.assertEqual(report["model"]["layers"], 1)

    def test_default_numerics(self):
        def used(*flags, grid="q4_0", isa=None):
            settings = self.good_json("bench", "--synthetic", "tiny:" + grid, *SHORT, *flags,
                                      env={"PHIAL_ISA": isa} if isa else None)["settings"]
            return settings["compute"], settings["kv"]
        best = self.good_json("doctor")["isa"]["chosen"]
        self.assertEqual(used(), ("fp32", "f32") if best == "reference" else ("int8", "int8"))
        self.assertEqual(used(isa="reference"), ("fp32", "f32"))
        self.assertEqual(used(grid="bf16"), ("fp32", "f32"))
        self.assertEqual(used("--kv", "int8", grid="f32"), ("fp32", "int8"))
        self.assertEqual(used("--compute", "fp32"), ("fp32", "f32"))
        self.assertEqual(used("--compute", "bf16"), ("bf16", "f16"))
        self.assertEqual(used("--compute", "fp32", "--kv", "int8"), ("fp32", "int8"))

    def test_file(self):
        report = self.good_json("bench", cli_test.model("llama-smol-q4_1.gguf"), *SHORT)
        rows = self.rows(report)
        self.assertLessEqual({"prefill_16", "decode_depth_0", "pass_6_over_1", "load_warm_ms",
                              "tokenizer_mbps"}, set(rows))
        self.assertEqual(report["model"]["grid"], "q4_1")

    def test_usual_rows_are_those_that_fit(self):
        # The golden models have a context of 512.
        report = self.good_json("bench", cli_test.model("llama-smol"), "--rounds", "1")
        rows = self.rows(report)
        self.assertLessEqual({"prefill_128", "decode_depth_0"} |
                             {f"pass_{n}_over_1" for n in range(2, 17)}, set(rows))
        self.assertNotIn("prefill_512", rows)

    def test_table(self):
        told = self.good("bench", "--synthetic", "tiny:q8_0", *SHORT).stdout.decode()
        for word in ("machine", "dram_gbps", "prefill_16", "decode_depth_0", "pass_6_over_1", "%"):
            self.assertIn(word, told)

    def test_floors(self):
        base = ("bench", "--synthetic", "tiny:q4_0", "--compute", "fp32", *SHORT)
        report = self.good_json(*base, "--floors", "prefill_16=0,decode_depth_0=0")
        self.assertEqual([floor["holds"] for floor in report["floors"]], [True, True])
        above = self.file("floors.json", {"sets": [{"when": {"compute": "fp32"},
                                                    "floors": {"prefill_16": 999}}]})
        failed = self.run_phial(*base, "--floors", above, "--json")
        self.assertEqual(failed.returncode, 1)
        self.assertIn(b"prefill_16", failed.stderr)
        self.assertIn(b'"holds":false', failed.stdout)
        other = self.file("other.json", {"sets": [{"when": {"compute": "int8"}, "floors": {}}]})
        self.bad(2, *base, "--floors", other, says="--floors")
        self.bad(2, *base, "--floors", "prefill_17=1", says="prefill_17")
        self.bad(2, *base, "--floors", "prefill_16=x", says="--floors")
        self.bad(3, *base, "--floors", self.file("broken.json", b"{"), says="--floors")
        self.bad(3, *base, "--floors", self.path("nowhere.json"))

    def test_usage(self):
        tiny = ("bench", "--synthetic", "tiny:q4_0")
        self.bad(2, "bench", says="MODEL")
        self.bad(2, *tiny, cli_test.model("llama-smol"), says="--synthetic")
        self.bad(2, "bench", cli_test.model("llama-smol"), "--layers", "1", says="--layers")
        self.bad(2, *tiny, "--layers", "3", says="--layers")
        self.bad(2, "bench", "--synthetic", "tiny", says="--synthetic")
        self.bad(2, "bench", "--synthetic", "huge:q4_0", says="--synthetic")
        self.bad(2, "bench", "--synthetic", "tiny:q4_9", says="--synthetic")
        self.bad(2, *tiny, "--prompt", "0", says="--prompt")
        self.bad(2, *tiny, "--prompt", "5,", says="--prompt")
        self.bad(2, *tiny, "--batch", "17", says="--batch")
        self.bad(2, *tiny, "--rounds", "0", says="--rounds")
        self.bad(2, *tiny, "--tokenizer", says="--synthetic")
        self.bad(2, *tiny, "--text", "-", says="--text")
        self.bad(6, *tiny, "--prompt", "100000", says="--prompt")
        self.bad(4, "bench", "--synthetic", "smollm2-135m:q4_k", says="256")
        self.bad(3, "bench", self.path("nothing.gguf"))


if __name__ == "__main__":
    sys.exit(cli_test.main())
