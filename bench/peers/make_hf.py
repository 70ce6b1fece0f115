"""Writes the model as a Hugging Face folder: float16 weights from a seed, a tokenizer of made-up words.

usage: make_hf.py FOLDER      needs numpy, safetensors, tokenizers
"""
import json
import os
import sys

import numpy
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers

import shape
import weights


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    tensors = {name: numpy.ones(shape.HIDDEN, numpy.float16) for name in shape.norms()}
    for number, (name, sizes) in enumerate(shape.tensors()):
        rows, which = weights.rows_of(number, sizes)
        tensors[name] = rows[which]
    save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(shape.CONFIG, file, indent=1)
    with open(os.path.join(folder, "generation_config.json"), "w", encoding="utf-8") as file:
        json.dump({"bos_token_id": 1, "eos_token_id": [2], "pad_token_id": 2}, file)
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(shape.pieces())}, [],
                                     unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
                   "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>",
                   "model_max_length": shape.CONTEXT}, file)


if __name__ == "__main__":
    main()
