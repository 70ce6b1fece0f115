"""The generation flags of `phial run`, driven as scripts drive them.

usage: cli_generation_test.py --phial PROGRAM --models tests/golden/models [unittest arguments]
"""
import json
import os
import sys

import cli_test
from cli_test import Case, golden, model

RUN = ("run", "--quiet")


def answers():
    """The cases of tests/golden/generation by model and name."""
    path = os.path.join(os.path.dirname(cli_test.MODELS), "generation", "answers.json")
    with open(path, encoding="utf-8") as file:
        return [(g["model"], g["max_new_tokens"], case) for g in json.load(file)
                for case in g["cases"]]


class Ranges(Case):
    def test_ranges(self):
        run = ("run", model("llama-smol"), "hi")
        for flag, value, says in (
                ("--min-new-tokens", "-1", "0 or more"), ("--min-p", "2", "from 0 to 1"),
                ("--min-p", "-0.1", "from 0 to 1"), ("--min-p", "nan", "from 0 to 1"),
                ("--typical-p", "0", "above 0, up to 1"), ("--typical-p", "1.1", "up to 1"),
                ("--repetition-penalty", "0", "above 0"), ("--repetition-penalty", "-2", "above 0"),
                ("--presence-penalty", "nan", "finite"), ("--frequency-penalty", "inf", "finite"),
                ("--no-repeat-ngram-size", "-1", "0.."), ("--num-beams", "0", "1..256"),
                ("--num-beams", "257", "1..256"), ("--length-penalty", "inf", "finite"),
                ("--early-stopping", "maybe", "true, false or never"),
                ("--num-return-sequences", "0", "1..256"), ("--stop", "", "not empty"),
                ("--logit-bias", "5", "ID=X"), ("--logit-bias", "x=1", "ID=X"),
                ("--logit-bias", "-1=1", "ID=X"), ("--logit-bias", "1=", "ID=X"),
                ("--logit-bias", "1=nan", "ID=X"), ("--logit-bias", "1=1e60", "ID=X"),
                ("--logprobs", "-1", "0..1024"), ("--logprobs", "1025", "0..1024"),
                ("--prompt-lookup-num-tokens", "-1", "0..7"),
                ("--prompt-lookup-num-tokens", "8", "0..7")):
            self.bad(2, *run, flag, value, says=says, name="usage")
            self.bad(2, *run, f"{flag}={value}", says=flag, name="usage")

    def test_flags_that_do_not_go_together(self):
        run = ("run", model("llama-smol"), "hi")
        for flag in ("--min-p", "--typical-p"):
            self.bad(2, *run, "--greedy", flag, "0.5", says="--greedy", name="usage")
        self.bad(2, *run, "--num-return-sequences", "2", says="--num-return-sequences",
                 name="usage")
        self.bad(2, *run, "--num-return-sequences", "4", "--num-beams", "3",
                 says="--num-return-sequences", name="usage")
        self.bad(2, *run, "--min-new-tokens", "4", "--max-new-tokens", "3",
                 says="--max-new-tokens, 3", name="usage")
        self.bad(2, *run, "--logit-bias", "416=1", says="vocabulary of 416", name="usage")
        self.bad(2, *run, "--logit-bias", "4=1", "--logit-bias", "4=2", says="--logit-bias",
                 name="usage")
        self.bad(2, *run, "--num-beams", "2", "--num-beams", "3", says="once", name="usage")

    def test_edges_that_are_fine(self):
        run = (*RUN, model("llama-smol"), "hi", "--max-new-tokens", "3")
        for flags in (("--min-p", "0"), ("--min-p", "1"), ("--typical-p", "1"),
                      ("--no-repeat-ngram-size", "0"), ("--num-beams", "1"), ("--logprobs", "0"),
                      ("--length-penalty", "-3"), ("--logit-bias", "0=-1e9"),
                      ("--logit-bias", "7=+2.5", "--logit-bias", "8=.5"),
                      ("--min-new-tokens", "3"), ("--greedy", "--num-beams", "2"),
                      ("--early-stopping", "never"), ("--num-beams", "256"),
                      ("--top-k", "5", "--num-return-sequences", "256")):
            self.good(*run, *flags)


class Answers(Case):
    """What transformers answers; the same cases run in generate_test without the command."""

    FLAGS = {"min_new_tokens": "--min-new-tokens", "repetition_penalty": "--repetition-penalty",
             "no_repeat_ngram_size": "--no-repeat-ngram-size", "num_beams": "--num-beams",
             "length_penalty": "--length-penalty", "early_stopping": "--early-stopping",
             "num_return_sequences": "--num-return-sequences"}

    def test_those_of_transformers(self):
        asked = 0
        for name, most, case in answers():
            flags = ["--ignore-eos", "--greedy", "--max-new-tokens", str(most), "--compute", "fp32"]
            for key, value in case["options"].items():
                if key == "sequence_bias" and all(len(ids) == 1 for ids, _ in value):
                    for ids, bias in value:
                        flags += ["--logit-bias", f"{ids[0]}={bias}"]
                elif key == "stop_strings":
                    for text in value:
                        flags += ["--stop", text]
                elif key in self.FLAGS:
                    flags += [self.FLAGS[key], json.dumps(value).strip('"')]
                else:
                    break  # the command has no flag for it
            else:
                ids = self.file("ids.json", golden(name)["prompt_ids"][:case["prompt_tokens"]])
                told = self.good_json(*RUN, model(name), "--prompt-ids", ids, *flags)
                self.assertEqual([o["ids"] for o in told["outputs"]],
                                 [a["ids"] for a in case["answers"]], (name, case["name"]))
                self.assertEqual(told["stats"]["new_tokens"],
                                 sum(len(a["ids"]) for a in case["answers"]))
                asked += 1
        self.assertGreaterEqual(asked, 16)


class Outputs(Case):
    def setUp(self):
        super().setUp()
        ids = self.file("ids.json", golden("llama-smol")["prompt_ids"])
        self.run_smol = (*RUN, model("llama-smol"), "--prompt-ids", ids, "--ignore-eos")

    def test_logprobs(self):
        told = self.good_json(*self.run_smol, "--max-new-tokens", "5", "--logprobs", "3")
        output = told["outputs"][0]
        self.assertEqual(set(output), {"ids", "text", "finish_reason", "logprobs"})
        self.assertEqual([t["id"] for t in output["logprobs"]], output["ids"])
        for token in output["logprobs"]:
            self.assertEqual(set(token), {"id", "logprob", "top"})
            self.assertEqual(len(token["top"]), 3)
            self.assertEqual(token["top"][0], {"id": token["id"], "logprob": token["logprob"]})
            values = [t["logprob"] for t in token["top"]]
            self.assertEqual(values, sorted(values, reverse=True))
            self.assertLess(values[0], 0)
        self.assertNotIn("logprobs", self.good_json(*self.run_smol, "--max-new-tokens", "1")
                         ["outputs"][0])
        raw = self.good_json(*self.run_smol, "--max-new-tokens", "5", "--logprobs", "3",
                             "--repetition-penalty", "1.0", "--logit-bias", "5=-3")
        self.assertEqual(raw["outputs"][0]["logprobs"], output["logprobs"], "from the raw logits")

    def test_speculation_changes_no_token(self):
        run = ("run", model("llama-smol"), "a b a b a b a b a b", "--max-new-tokens", "40")
        for sampling in ((), ("--temperature", "0.5", "--seed", "3")):
            plain = self.good_json(*run, *sampling, "--prompt-lookup-num-tokens", "0")
            self.assertEqual(plain["stats"]["drafted_tokens"], 0)
            for more in ((), ("--assistant-model", model("llama-smol"))):
                got = self.good_json(*run, *sampling, *more)
                self.assertEqual(got["outputs"], plain["outputs"])
                self.assertLessEqual(got["stats"]["accepted_tokens"],
                                     got["stats"]["drafted_tokens"])
            self.assertGreater(got["stats"]["drafted_tokens"], 0)

    def test_an_assistant_of_another_vocabulary(self):
        self.bad(2, "run", model("llama-smol"), "hi", "--assistant-model", model("phi3-plain"),
                 says="assistant", name="usage")

    def test_several_answers(self):
        flags = ("--temperature", "1.5", "--seed", "5", "--max-new-tokens", "9")
        several = self.good_json(*self.run_smol, *flags, "--num-return-sequences", "3")["outputs"]
        self.assertEqual(len(several), 3)
        self.assertNotEqual(several[0]["ids"], several[1]["ids"])
        alone = self.good_json(*self.run_smol, *flags)["outputs"]
        self.assertEqual(alone[0], several[0], "the first is what one answer would be")
        text = self.good(*self.run_smol, *flags, "--num-return-sequences", "3").stdout.decode()
        self.assertEqual(text, "\n---\n".join(o["text"] for o in several))

    def test_beams_are_written_at_the_end(self):
        flags = ("--num-beams", "3", "--max-new-tokens", "7")
        text = self.good_json(*self.run_smol, *flags)["outputs"][0]["text"]
        self.assertEqual(self.good(*self.run_smol, *flags).stdout.decode(), text)

    def test_no_tokens(self):
        told = self.good_json(*self.run_smol, "--max-new-tokens", "0", "--num-beams", "3",
                              "--num-return-sequences", "2")
        self.assertEqual(told["outputs"], [{"ids": [], "text": "", "finish_reason": "length"}] * 2)

    def test_a_stop_string_never_shows(self):
        whole = self.good_json(*self.run_smol, "--max-new-tokens", "32")["outputs"][0]
        plain = [i for i in range(len(whole["text"]) - 3)
                 if whole["text"][i:i + 3].isascii() and whole["text"][i:i + 3].isprintable()]
        self.assertTrue(plain)
        for at in plain[:4]:
            stop = whole["text"][at:at + 3]
            flags = ("--max-new-tokens", "32", "--stop", "\u2603 never", "--stop", stop)
            output = self.good_json(*self.run_smol, *flags)["outputs"][0]
            self.assertEqual(output["text"], whole["text"][:whole["text"].index(stop)])
            self.assertEqual(output["finish_reason"], "stop")
            self.assertEqual(output["ids"], whole["ids"][:len(output["ids"])])
            streamed = self.good(*self.run_smol, *flags).stdout.decode()
            self.assertEqual(streamed, output["text"])

    def test_penalties_count_the_answer_only(self):
        # A prompt of one token said often; presence penalises it only once the answer holds it.
        greedy = self.good_json(*self.run_smol, "--max-new-tokens", "12")["outputs"][0]["ids"]
        pushed = ("--logit-bias", f"{greedy[0]}=100", "--max-new-tokens", "12")
        same = self.good_json(*self.run_smol, *pushed)["outputs"][0]["ids"]
        self.assertEqual(same, [greedy[0]] * 12)
        once = self.good_json(*self.run_smol, *pushed, "--presence-penalty", "1000")
        self.assertEqual(once["outputs"][0]["ids"].count(greedy[0]), 1)
        # 100 - 40 a time: the third time it costs more than any logit.
        some = self.good_json(*self.run_smol, *pushed, "--frequency-penalty", "40")
        self.assertIn(some["outputs"][0]["ids"].count(greedy[0]), (2, 3, 4))


class Defaults(Case):
    """generation_config.json decides what no flag says."""

    def model_with(self, **settings):
        folder = self.path("model")
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(model("llama-smol")):
            if not os.path.lexists(os.path.join(folder, name)) and name != "generation_config.json":
                os.symlink(os.path.join(model("llama-smol"), name), os.path.join(folder, name))
        self.file("model/generation_config.json", settings)
        return folder

    def test_the_file_decides(self):
        ids = self.file("ids.json", golden("llama-smol")["prompt_ids"])
        for settings, flags in (
                ({"num_beams": 3, "num_return_sequences": 2, "early_stopping": True,
                  "length_penalty": 0.5},
                 ("--num-beams", "3", "--num-return-sequences", "2", "--early-stopping", "true",
                  "--length-penalty", "0.5")),
                ({"repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
                 ("--repetition-penalty", "1.4", "--no-repeat-ngram-size", "2")),
                ({"stop_strings": ["B", "e"]}, ("--stop", "B", "--stop", "e")),
                ({"min_new_tokens": 5, "sequence_bias": [[[2], 50.0]]},
                 ("--min-new-tokens", "5", "--logit-bias", "2=50"))):
            by_file = self.good_json(*RUN, self.model_with(**settings, max_new_tokens=16),
                                     "--prompt-ids", ids)
            by_flags = self.good_json(*RUN, self.model_with(), "--prompt-ids", ids, *flags,
                                      "--max-new-tokens", "16")
            self.assertEqual(by_file["outputs"], by_flags["outputs"], settings)

    def test_flags_win(self):
        ids = self.file("ids.json", golden("llama-smol")["prompt_ids"])
        folder = self.model_with(num_beams=4, repetition_penalty=1.5, no_repeat_ngram_size=1)
        told = self.good_json(*RUN, folder, "--prompt-ids", ids, "--num-beams", "1",
                              "--repetition-penalty", "1", "--no-repeat-ngram-size", "0",
                              "--max-new-tokens", "32", "--ignore-eos")
        self.assertEqual(told["outputs"][0]["ids"], golden("llama-smol")["greedy_ids"])

    def test_max_length(self):
        ids = self.file("ids.json", golden("llama-smol")["prompt_ids"])
        run = (*RUN, self.model_with(max_length=70), "--prompt-ids", ids, "--ignore-eos")
        self.assertEqual(len(self.good_json(*run)["outputs"][0]["ids"]), 6)
        self.assertEqual(len(self.good_json(*run, "--max-new-tokens", "9")["outputs"][0]["ids"]), 9)

    def test_a_damaged_file_is_named(self):
        ids = self.file("ids.json", [5, 6])
        for settings in ({"early_stopping": "soon"}, {"stop_strings": [1]}, {"num_beams": 0},
                         {"bad_words_ids": [[]]}, {"sequence_bias": [[[1]]]},
                         {"repetition_penalty": -1}):
            (key,) = settings
            self.bad(3, "run", self.model_with(**settings), "--prompt-ids", ids,
                     says=f"generation_config.json: {key}", name="damaged")


if __name__ == "__main__":
    sys.exit(cli_test.main())
