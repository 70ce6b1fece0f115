#!/usr/bin/env python3
"""Makes what the quality of quantizers is measured on: a float model and two texts.

    scripts/make_quality_reference.py [--model smollm2-135m-instruct.gguf] FOLDER

FOLDER gets `reference/`, a Hugging Face folder in bfloat16 that every tool can start from;
`held_out.txt`, about 6,000 tokens to measure on; and `calibration.txt`, about 25,000 other tokens
for importance matrices. Needs numpy and gguf.

The model is SmolLM2-135M-Instruct, which scripts/fetch_model.py fetches. Its weights come on a
4-bit grid (Q4_1; the embedding Q8_0), on which a quantizer would find them again. So each
quantized weight is moved by uniform noise of up to half a step of its block's codes to either side:
what comes out, rounded to bfloat16, *is* the reference and need not equal SmolLM2. The noise is
drawn from PCG64 with a fixed seed per tensor: the same file on every machine.

The texts are cut from files that the Debian packages base-files, cmake-data and libpython3-stdlib
install, half prose and half code. They follow the versions of those packages: compare numbers of
one machine, or copy the texts.
"""

import argparse
import glob
import hashlib
import json
import os
import struct
import sys
from pathlib import Path

import gguf
import numpy as np

SEED = 20240607
HELD_OUT_EXCERPT = 2_300   # bytes of a file
CALIBRATION_EXCERPT = 4_200

# Packages and, below their roots, the files that the texts are cut from.
ROOTS = {
    "base-files": "/usr/share/common-licenses",
    "cmake-data": "/usr/share/cmake-*",
    "libpython3-stdlib": "/usr/lib/python3.*",
}
HELD_OUT = {
    "base-files": ["GPL-3", "Artistic"],
    "cmake-data": ["Help/manual/cmake-buildsystem.7.rst", "Help/manual/ctest.1.rst",
                   "Help/manual/cmake-presets.7.rst", "Help/manual/cmake-gui.1.rst",
                   "Modules/FindOpenSSL.cmake", "Modules/ExternalProject.cmake"],
    "libpython3-stdlib": ["statistics.py", "heapq.py", "textwrap.py", "asyncio/queues.py"],
}
CALIBRATION = {
    "base-files": ["GFDL-1.3", "LGPL-2.1", "MPL-2.0", "Apache-2.0"],
    "cmake-data": ["Help/manual/cmake-language.7.rst", "Help/manual/cmake-packages.7.rst",
                   "Help/manual/cmake-qt.7.rst", "Help/manual/cpack.1.rst",
                   "Help/manual/cmake-toolchains.7.rst", "Help/manual/cmake-developer.7.rst",
                   "Help/manual/cmake-file-api.7.rst",
                   "Help/manual/cmake-generator-expressions.7.rst",
                   "Modules/FindBoost.cmake", "Modules/FindCUDA.cmake",
                   "Modules/GNUInstallDirs.cmake"],
    "libpython3-stdlib": ["argparse.py", "calendar.py", "json/decoder.py", "difflib.py",
                          "fractions.py", "csv.py", "subprocess.py", "email/message.py"],
}

PRE_TOKENIZERS = {
    # What llama.cpp calls "smollm".
    "smollm": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]},
}
ROLES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL_TOKEN = 3


class ReferenceMissing(Exception):
    """What is missing, for the user."""


def hugging_face_name(name):
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, role, ending = name.split(".")
    return f"model.layers.{layer}.{ROLES[role]}.{ending}"


def code_steps(tensor):
    """The step of every weight's code, float32 in the order of the weights; None for plain numbers.

    Blocks of 32 begin with their scale as float16: Q4_1 {d, m, 16 bytes}, Q8_0 {d, 32 bytes}."""
    block_bytes = {"Q4_1": 20, "Q8_0": 34}.get(tensor.tensor_type.name)
    if block_bytes is None:
        return None
    blocks = np.asarray(tensor.data, dtype=np.uint8).reshape(-1, block_bytes)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    return np.repeat(np.abs(scales), 32, axis=1).reshape(-1)


def float_values(tensor, index):
    """The tensor's values with noise, float32 [rows, columns] or [values]."""
    shape = tuple(int(n) for n in reversed(tensor.shape))
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(-1)
    steps = code_steps(tensor)
    if steps is None:
        if tensor.tensor_type.name not in ("F32", "F16", "BF16"):
            raise ReferenceMissing(f"{tensor.name} is {tensor.tensor_type.name}; expected Q4_1 or Q8_0")
    else:
        noise = np.random.Generator(np.random.PCG64([SEED, index])).random(values.size)
        values = values + (noise - 0.5).astype(np.float32) * steps
    return values.reshape(shape)


def without_interleaving(values, heads):
    """GGUF files of Llama models hold each head's rows as pairs (0, half), (1, half + 1) ..."""
    rows, columns = values.shape
    half = rows // heads // 2
    return values.reshape(heads, half, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def bfloat16_bytes(values):
    """Rounded to nearest, ties to even, little-endian."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_safetensors(path, tensors):
    """`tensors`: names to (shape, bytes of bfloat16)."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, data in tensors.values():
            file.write(data)


def config_of(field):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False, "hidden_act": "silu",
        "hidden_size": field("llama.embedding_length"),
        "intermediate_size": field("llama.feed_forward_length"),
        "num_hidden_layers": field("llama.block_count"),
        "num_attention_heads": field("llama.attention.head_count"),
        "num_key_value_heads": field("llama.attention.head_count_kv"),
        "head_dim": field("llama.rope.dimension_count"),
        "max_position_embeddings": field("llama.context_length"),
        # The file holds it as float32.
        "rms_norm_eps": float(f"{field('llama.attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": float(field("llama.rope.freq_base")), "rope_scaling": None,
        "vocab_size": field("llama.vocab_size"), "tie_word_embeddings": True,
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "pad_token_id": field("tokenizer.ggml.padding_token_id"),
        "torch_dtype": "bfloat16", "use_cache": True,
    }


def write_tokenizer(folder, field):
    tokens = field("tokenizer.ggml.tokens")
    special = [id for id, kind in enumerate(field("tokenizer.ggml.token_type"))
               if kind == CONTROL_TOKEN]
    added = [{"id": id, "content": tokens[id], "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False, "special": True} for id in special]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None, "pre_tokenizer": PRE_TOKENIZERS[field("tokenizer.ggml.pre")],
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: id for id, token in enumerate(tokens)},
                  "merges": field("tokenizer.ggml.merges")},
    }
    write_json(folder / "tokenizer.json", tokenizer)
    named = {f"{name}_token": tokens[field(f"tokenizer.ggml.{key}_token_id")]
             for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))}
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": False,
        "clean_up_tokenization_spaces": False, "model_max_length": field("llama.context_length"),
        "chat_template": field("tokenizer.chat_template"), **named})
    write_json(folder / "special_tokens_map.json", named)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_model(model, folder):
    reader = gguf.GGUFReader(model)
    missing = [key for key in ("general.architecture", "tokenizer.ggml.pre") if key not in reader.fields]
    if missing:
        raise ReferenceMissing(f"{model}: {missing[0]} is missing; this is not SmolLM2's file")

    def field(key):
        return reader.fields[key].contents()

    if field("general.architecture") != "llama" or field("tokenizer.ggml.pre") not in PRE_TOKENIZERS:
        raise ReferenceMissing(f"{model}: expected SmolLM2, architecture llama with the vocabulary smollm")
    heads = {"attn_q.": field("llama.attention.head_count"),
             "attn_k.": field("llama.attention.head_count_kv")}
    tensors = {}
    for index, tensor in enumerate(reader.tensors):
        values = float_values(tensor, index)
        for part, count in heads.items():
            if part in tensor.name:
                values = without_interleaving(values, count)
        tensors[hugging_face_name(tensor.name)] = (values.shape, bfloat16_bytes(values))
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config_of(field))
    write_json(folder / "generation_config.json",
               {"bos_token_id": field("tokenizer.ggml.bos_token_id"),
                "eos_token_id": field("tokenizer.ggml.eos_token_id")})
    write_tokenizer(folder, field)
    write_safetensors(folder / "model.safetensors", tensors)


def excerpt(path, size):
    """`size` bytes or a little less from the middle of a file, whole paragraphs of it."""
    text = path.read_text("utf-8")
    begin = max(0, (len(text) - size) // 2)
    paragraph = text.find("\n\n", begin)
    if 0 <= paragraph < begin + size // 2:
        begin = paragraph + 2
    cut = text[begin:begin + size]
    end = cut.rfind("\n\n")
    return cut[:end + 1] if end > size // 2 else cut


def make_text(files, size):
    parts = []
    for package, names in files.items():
        roots = sorted(glob.glob(ROOTS[package]))
        for name in names:
            found = [Path(root) / name for root in roots if (Path(root) / name).is_file()]
            if not found:
                raise ReferenceMissing(f"{ROOTS[package]}/{name} is missing; install {package}")
            parts.append(excerpt(found[-1], size).strip("\n"))
    return "\n\n".join(parts) + "\n"


def find_model():
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    folder = Path(os.environ.get("PHIAL_MODELS") or Path(data) / "phial" / "models")
    return folder / "smollm2-135m-instruct.gguf"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=find_model(),
                        help="SmolLM2-135M-Instruct.Q4_1.gguf (scripts/fetch_model.py)")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        if not options.model.is_file():
            raise ReferenceMissing(f"{options.model} is not there; scripts/fetch_model.py fetches it")
        for name, files, size in (("held_out.txt", HELD_OUT, HELD_OUT_EXCERPT),
                                  ("calibration.txt", CALIBRATION, CALIBRATION_EXCERPT)):
            text = make_text(files, size).encode()
            options.folder.mkdir(parents=True, exist_ok=True)
            (options.folder / name).write_bytes(text)
            print(f"{name}: {len(text):,} bytes, SHA-256 {hashlib.sha256(text).hexdigest()[:16]}")
        write_model(options.model, options.folder / "reference")
    except ReferenceMissing as error:
        print(f"make_quality_reference: {error}", file=sys.stderr)
        return 1
    weights = options.folder / "reference" / "model.safetensors"
    print(f"reference/model.safetensors: {weights.stat().st_size:,} bytes, SHA-256"
          f" {hashlib.sha256(weights.read_bytes()).hexdigest()[:16]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
