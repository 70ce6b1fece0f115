#!/usr/bin/env python3
"""Makes tests/golden/slow: small tokenizers in the files from before tokenizer.json, and what transformers makes of them.

Needs transformers 5.23, tokenizers 0.23.3 and sentencepiece 0.2. Overwrites the files in place.

NAME/            vocab.json and merges.txt, or tokenizer.model, with tokenizer_config.json and the like
NAME/ids.json    for every third text of pipelines/texts.json its ids, with special tokens
"""

import json
import pathlib
import shutil
import tempfile

import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import GPT2Tokenizer, LlamaTokenizer, Qwen2Tokenizer, T5Tokenizer

from make_tokenizers import CORPUS

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "slow"
TEXTS = json.loads((HERE / "pipelines" / "texts.json").read_text("utf-8"))[::3]


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")


def sentence_piece(target, **options):
    with tempfile.TemporaryDirectory() as scratch:
        corpus = pathlib.Path(scratch, "corpus.txt")
        corpus.write_text("\n".join(CORPUS * 3), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=str(pathlib.Path(scratch, "m")), character_coverage=0.98, num_threads=1,
            hard_vocab_limit=False, minloglevel=2, **options)
        shutil.copy(pathlib.Path(scratch, "m.model"), target)


def byte_pairs(folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"], show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    write_json(folder / "vocab.json", model["vocab"])
    lines = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", encoding="utf-8")
    size = len(model["vocab"])
    write_json(folder / "added_tokens.json", {"<|user|>": size, "<|end|>": size + 1, "[A]": size + 2})
    return size


def llama(folder):
    sentence_piece(folder / "tokenizer.model", vocab_size=700, model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                   user_defined_symbols=["<|x|>"], remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True})


def llama_legacy(folder):
    shutil.copy(OUT / "llama" / "tokenizer.model", folder / "tokenizer.model")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizerFast", "legacy": True, "add_eos_token": True})


def t5(folder):
    sentence_piece(folder / "spiece.model", vocab_size=330, model_type="unigram", normalization_rule_name="identity",
                   pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer"})


def gpt2(folder):
    byte_pairs(folder)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|end|>"})


def qwen2(folder):
    byte_pairs(folder)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|end|>", "pad_token": "<|endoftext|>"})


RECIPES = [(llama, LlamaTokenizer), (llama_legacy, LlamaTokenizer), (t5, T5Tokenizer), (gpt2, GPT2Tokenizer), (qwen2, Qwen2Tokenizer)]


def main():
    for recipe, tokenizer_class in RECIPES:
        folder = OUT / recipe.__name__
        folder.mkdir(parents=True, exist_ok=True)
        recipe(folder)
        tokenizer = tokenizer_class.from_pretrained(folder)
        write_json(folder / "ids.json", [tokenizer(text).input_ids for text in TEXTS])
        print(recipe.__name__, len(tokenizer))


if __name__ == "__main__":
    main()
