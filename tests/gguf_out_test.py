"""phial quantize and phial convert to GGUF: what comes out answers as the source does, in logits, ids, text and
template, on the golden checkpoints; and what is refused. Standard library only.

usage: gguf_out_test.py --phial PROGRAM --models tests/golden/models [unittest arguments]
"""
import json
import os
import shutil
import sys

import cli_test
import test_program
from cli_test import Case, golden, model

FAMILIES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "families")
# Model and the scheme that holds its weights as they are.
MODELS = {"llama-smol": "f32", "llama-tiny-sharded": "bf16", "phi3-plain": "f16", "phi2": "f32"}


class GgufOut(Case):
    def logits(self, source, ids):
        """The bytes of the file."""
        out = self.path("logits.npy")
        self.good("logits", source, "--ids", self.file("ids.json", ids), "--out", out)
        with open(out, "rb") as file:
            return file.read()

    def lines(self, source, texts, *options):
        text = "".join(json.dumps(each) + "\n" for each in texts)
        return self.good("tokenize", source, "--jsonl", *options, stdin=text.encode()).stdout

    def test_answers_as_the_source(self):
        for name, scheme in MODELS.items():
            with self.subTest(model=name):
                out = self.path(name + ".gguf")
                self.good("quantize", model(name), "-o", out, "--to", "gguf:" + scheme)
                record = golden(name)
                self.assertEqual(self.logits(out, record["prompt_ids"]), self.logits(model(name), record["prompt_ids"]))
                # A GGUF file does not keep that phi3-plain's special tokens take white space with them.
                texts = [item["text"] for item in record["tokenizer"] if name != "phi3-plain" or "|> " not in item["text"]]
                self.assertGreater(len(texts), 10)
                self.assertEqual(self.lines(out, texts), self.lines(model(name), texts))
                ids = [item["ids"] for item in record["tokenizer"]]
                for options in ((), ("--skip-special-tokens",)):
                    self.assertEqual(self.lines(out, ids, "--decode", *options),
                                     self.lines(model(name), ids, "--decode", *options))
                self.check_template(model(name), out)

    def check_template(self, source, out):
        messages = self.file("messages.json", [{"role": "user", "content": "Hello"}])
        wanted = self.run_phial("template", source, "--messages", messages)
        found = self.run_phial("template", out, "--messages", messages)
        self.assertEqual((found.returncode, found.stdout), (wanted.returncode, wanted.stdout))

    def test_converted_again_is_the_same_file(self):
        for name in MODELS:
            first, second = self.path("first.gguf"), self.path("second.gguf")
            self.good("convert", model(name), "-o", first)
            self.good("convert", first, "-o", second)
            with open(first, "rb") as one, open(second, "rb") as other:
                self.assertEqual(one.read(), other.read(), name)

    def test_a_vocabulary_without_special_ids_goes_there_and_back(self):
        """generation_config.json of such a model is an empty object; it was null, which no reader takes."""
        source, file, back = self.path("m"), self.path("m.gguf"), self.path("back")
        shutil.copytree(model("llama-smol"), source)
        for name in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
            os.remove(os.path.join(source, name))
        path = os.path.join(source, "config.json")
        with open(path, encoding="utf-8") as text:
            config = json.load(text)
        for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
            config.pop(key, None)
        with open(path, "w", encoding="utf-8") as text:
            json.dump(config, text)
        self.good("convert", source, "-o", file)
        self.good("convert", file, "-o", back, "--to", "safetensors")
        with open(os.path.join(back, "generation_config.json"), encoding="utf-8") as text:
            self.assertEqual(json.load(text), {})
        self.assertEqual(self.lines(back, ["Hello, world"]), self.lines(file, ["Hello, world"]))

    def test_pre_tokenizer_by_name(self):
        out = self.path("m.gguf")
        self.good("quantize", model("llama-smol"), "-o", out, "--to", "gguf:q8_0", "--pre-tokenizer", "gpt-2")
        with open(out, "rb") as file:
            self.assertIn(b"tokenizer.ggml.pre" + bytes((8, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0)) + b"gpt-2", file.read())
        self.bad(2, "quantize", model("llama-smol"), "-o", self.path("mlx"), "--to", "mlx", "--pre-tokenizer", "gpt-2",
                 says="--to gguf")

    def family(self, variant, weights):
        folder = self.path(variant)
        os.mkdir(folder)
        shutil.copy(os.path.join(FAMILIES, variant + ".config.json"), os.path.join(folder, "config.json"))
        shutil.copy(os.path.join(FAMILIES, weights + ".safetensors"), os.path.join(folder, "model.safetensors"))
        return folder

    def test_what_a_file_cannot_say(self):
        for variant, weights, says in (("llama-dynamic", "llama", "rope scaling"),
                                       ("qwen2-window", "qwen2", "sliding window"),
                                       ("gemma2-new", "gemma2", "query_pre_attn_scalar")):
            out = self.path(variant + ".gguf")
            self.bad(4, "quantize", self.family(variant, weights), "-o", out, "--to", "gguf:q8_0", says=says,
                     name="unsupported")
            self.assertFalse(os.path.exists(out))

    def test_hostile_text_files(self):
        source = self.path("m")
        for name, content, code in (("tokenizer.json", b"{\"model\":", 3), ("tokenizer.json", b"[]", 3),
                                    ("tokenizer_config.json", b"{\"chat_template\":7}", 3),
                                    ("generation_config.json", b"{\"eos_token_id\":\"x\"}", 3),
                                    ("config.json", b"{}", 4)):
            shutil.copytree(model("llama-smol"), source)
            with open(os.path.join(source, name), "wb") as file:
                file.write(content)
            self.bad(code, "convert", source, "-o", self.path("out.gguf"))
            self.assertFalse(os.path.exists(self.path("out.gguf")))
            shutil.rmtree(source)


if __name__ == "__main__":
    cli_test.PHIAL, cli_test.MODELS = test_program.paths("phial", "models")
    sys.exit(test_program.run())
