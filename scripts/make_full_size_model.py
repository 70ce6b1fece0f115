#!/usr/bin/env python3
"""Writes a folder of Phi-3-mini's shape with random weights in bfloat16, to measure the time and memory of
conversions on:

    scripts/make_full_size_model.py [--layers 8] FOLDER

32 layers are 3.8 G weights or 7.6 GB, in shards of two layers; 8 layers 2.2 GB. Weights are normal
numbers of the size that trained ones have, cut from one pool of four million that starts anew at
another place for each matrix: quantizers and page caches treat them as any others. The vocabulary
is made up, one piece a number, so that tools that ask for a tokenizer find one. Standard library only.
"""

import argparse
import array
import json
import random
import struct
from pathlib import Path

SEED = 20240607
HIDDEN, INNER, HEADS, VOCABULARY = 3072, 8192, 32, 32064  # of microsoft/Phi-3-mini-4k-instruct
LAYERS = 32
LAYERS_PER_SHARD = 2
POOL_VALUES = 4_194_301  # a prime: no period of rows
DEVIATION = 0.02
SPECIAL = {"<unk>": 0, "<s>": 1, "<|endoftext|>": 32000}


def shapes_of_layer(layer):
    at = f"model.layers.{layer}."
    return {at + "input_layernorm.weight": (HIDDEN,),
            at + "mlp.down_proj.weight": (HIDDEN, INNER),
            at + "mlp.gate_up_proj.weight": (2 * INNER, HIDDEN),
            at + "post_attention_layernorm.weight": (HIDDEN,),
            at + "self_attn.o_proj.weight": (HIDDEN, HIDDEN),
            at + "self_attn.qkv_proj.weight": (3 * HIDDEN, HIDDEN)}


def shards_of(layers):
    """One dictionary of name to shape a file."""
    shards = [{"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}]
    for begin in range(0, layers, LAYERS_PER_SHARD):
        shards.append({})
        for layer in range(begin, min(begin + LAYERS_PER_SHARD, layers)):
            shards[-1].update(shapes_of_layer(layer))
    shards.append({"lm_head.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)})
    return shards


def make_pool(generator):
    """Normal numbers, cut to bfloat16."""
    floats = array.array("f", (generator.gauss(0, DEVIATION) for _ in range(POOL_VALUES)))
    data = floats.tobytes()
    out = bytearray(2 * POOL_VALUES)
    out[0::2], out[1::2] = data[2::4], data[3::4]
    return memoryview(bytes(out))


def write_values(file, pool, begin, size):
    """`size` bytes of the pool from `begin` on, round and round."""
    while size > 0:
        part = pool[begin:begin + size]
        file.write(part)
        size -= len(part)
        begin = 0


def write_shard(path, shapes, pool, generator):
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for entry in header.values():
            begin, end = entry["data_offsets"]
            write_values(file, pool, 2 * generator.randrange(POOL_VALUES), end - begin)
    return end


def write_weights(folder, layers):
    generator = random.Random(SEED)
    pool = make_pool(generator)
    shards = shards_of(layers)
    weight_map, total = {}, 0
    for number, shapes in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        total += write_shard(folder / name, shapes, pool, generator)
        weight_map.update(dict.fromkeys(shapes, name))
    write_json(folder / "model.safetensors.index.json",
               {"metadata": {"total_size": total}, "weight_map": weight_map})
    return total


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_config(folder, layers):
    write_json(folder / "config.json", {
        "architectures": ["Phi3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 1, "eos_token_id": 32000, "pad_token_id": 32000, "embd_pdrop": 0.0,
        "resid_pdrop": 0.0, "hidden_act": "silu", "hidden_size": HIDDEN, "initializer_range": 0.02,
        "intermediate_size": INNER, "max_position_embeddings": 4096, "model_type": "phi3",
        "num_attention_heads": HEADS, "num_hidden_layers": layers, "num_key_value_heads": HEADS,
        "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "rope_scaling": None,
        "rope_theta": 10000.0, "sliding_window": None, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "vocab_size": VOCABULARY})


def write_tokenizer(folder):
    """SentencePiece's kind of BPE, as Phi-3 has it, without merges."""
    vocabulary = dict(SPECIAL)
    # Bytes, the space, and pieces that no text leads to.
    names = iter([*(f"<0x{byte:02X}>" for byte in range(256)), "\u2581",
                  *(f"piece{number}" for number in range(VOCABULARY))])
    for id_ in range(VOCABULARY):
        if id_ not in SPECIAL.values():
            vocabulary[next(names)] = id_
    added = [{"id": id_, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for name, id_ in SPECIAL.items()]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    back = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    write_json(folder / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Sequence",
                       "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, replace]},
        "pre_tokenizer": None, "post_processor": None,
        "decoder": {"type": "Sequence",
                    "decoders": [back, {"type": "ByteFallback"}, {"type": "Fuse"},
                                 {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": True,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "byte_fallback": True, "vocab": vocabulary, "merges": []}})
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": False, "add_eos_token": False, "bos_token": "<s>",
        "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<unk>",
        "model_max_length": 4096, "tokenizer_class": "PreTrainedTokenizerFast"})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=LAYERS)
    options = parser.parse_args()
    if options.layers < 1:
        parser.error("--layers needs at least 1")
    options.folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(options.folder)
    total = write_weights(options.folder, options.layers)
    write_config(options.folder, options.layers)
    print(f"{options.folder}: {options.layers} layers, {total:,} bytes")


if __name__ == "__main__":
    main()
