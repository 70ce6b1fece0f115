#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, at most 64 KB each: fuzz/make_seeds.py FOLDER makes
FOLDER/TARGET/NAME. Whole small files of every kind, made by tests/model_files.py; and those of
fuzz/seeds, which hold every tensor type (tests/golden/make_grids.py).
"""

import json
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
import model_files as files  # noqa: E402

MAX_BYTES = 64 << 10


def bundle(*parts):
    """As fuzz/support/mutate.h reads it."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def small_index():
    names = files.tensor_names()
    index = {"metadata": {"total_size": 1},
             "weight_map": {names[1]: "s1", names[6]: "s2", names[-1]: "s2"}}
    return bundle(files.dumps(index), files.llama_safetensors([names[1]]).bytes(),
                  files.llama_safetensors([names[6], names[-1]]).bytes())


def variants_of_safetensors():
    empty = files.Safetensors()
    mixed = files.Safetensors().add("a", "F16", [2, 3], bytes(12)).add("b", "BF16", [], bytes(2))
    mixed.add("none", "F32", [0, 4], b"")
    return {"empty": empty.bytes(), "mixed": mixed.bytes(),
            "packed": files.packed_safetensors().bytes(),
            "norms": files.llama_safetensors(
                [name for name in files.tensor_names() if "norm" in name]).bytes()}


def variants_of_gguf():
    typed = files.Gguf()
    for kind in files.SCALARS:
        typed.set(f"scalar.{kind}", kind, 1)
        typed.set(f"array.{kind}", files.ARRAY, (kind, [0, 1]))
    typed.set("general.alignment", files.U32, 64)
    typed.alignment = 64
    typed.tensors = [{"name": "q", "dims": [32, 2], "type": files.GGML_Q4_1, "data": bytes(40)},
                     {"name": "h", "dims": [3], "type": files.GGML_F16, "data": bytes(6)}]
    old = files.llama_gguf(with_tensors=False)
    old.version = 2
    return {"typed": typed.bytes(), "vocabulary": files.llama_gguf(with_tensors=False).bytes(),
            "version2": old.bytes(), "model": files.llama_gguf(files.GGML_Q8_0).bytes()}


def split_gguf(kind=files.GGML_F32):
    """A model in three parts, and behind them tensors as fuzz/gguf_layout.cc reads them."""
    whole = files.llama_gguf(kind)
    parts = []
    for number in range(3):
        part = files.Gguf() if number else whole
        tensors = [tensor for at, tensor in enumerate(files.llama_gguf(kind).tensors)
                   if at % 3 == number]
        part.set("split.no", files.U16, number).set("split.count", files.U16, 3)
        part.set("split.tensors.count", files.I32, len(files.tensor_names()))
        part.tensors = tensors
        parts.append(part.bytes())
    # Grid, axes, length of the name, name, extents.
    made = b"".join(struct.pack("BBB", grid, len(shape), len(name)) + name +
                    struct.pack(f"<{len(shape)}q", *shape)
                    for grid, name, shape in ((0, b"a", (3,)), (1, b"bb", (2, 5)),
                                              (9, b"ccc", (2, 1, 64)), (20, b"d", (1, 256))))
    return bundle(*parts, made)


def variants_of_imatrix():
    new, old = files.Gguf(), b""
    new.set("general.type", files.STRING, "imatrix")
    names = ["blk.0.attn_q.weight", "blk.0.ffn_up.weight"]
    for name in names:
        sums = struct.pack("<4f", 0, 1, 2.5, 1e-8)
        new.tensors += [
            {"name": name + ".in_sum2", "dims": [4, 1], "type": files.GGML_F32, "data": sums},
            {"name": name + ".counts", "dims": [1, 1], "type": files.GGML_F32,
             "data": struct.pack("<f", 3)}]
        old += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 3, 4) + sums
    return {"gguf": new.bytes(), "old": struct.pack("<i", len(names)) + old + b"\0\0\0\0"}


def variants_of_mlx():
    """The golden folders of mlx-lm: configuration and planes."""
    golden = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/mlx"
    return {folder.name: bundle((folder / "config.json").read_bytes(),
                                (folder / "model.safetensors").read_bytes())
            for folder in sorted(golden.iterdir()) if folder.is_dir()}


def variants_of_messages():
    plain = [{"role": "user", "content": "Hi"}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    return {"plain": bundle(files.dumps(plain), b"", b""),
            "tools": bundle(files.dumps(files.messages()), files.dumps(tools),
                            files.dumps({"bos_token": "<s>", "n": 3}))}


def tokenizer(text, **changes):
    """A tokenizer bundle; `changes` are members of tokenizer.json's model."""
    content = files.tokenizer_json()
    content["model"].update(changes)
    return bundle(files.dumps(content), files.dumps(files.tokenizer_config()),
                  files.dumps(files.special_tokens_map()), text)


SEEDS = {
    "safetensors": variants_of_safetensors(),
    "index": {"two": small_index()},
    "gguf": variants_of_gguf(),
    "config": {"llama": files.dumps(files.config()),
               "phi": files.dumps(files.config() | {
                   "model_type": "phi", "partial_rotary_factor": 0.5, "hidden_act": "gelu_new",
                   "layer_norm_eps": 1e-5, "num_key_value_heads": None}),
               "phi3": files.dumps(files.config() | {
                   "model_type": "phi3", "sliding_window": 16,
                   "original_max_position_embeddings": files.CONTEXT})},
    "generation_config": {"whole": files.dumps(files.generation_config()), "empty": b"{}"},
    "tokenizer": {"bpe": tokenizer(b"hello world 12\n"),
                  "unknown": tokenizer("h\u00e9".encode(), unk_token="<|endoftext|>",
                                       fuse_unk=True, ignore_merges=True)},
    "npy": {"matrix": files.npy((2, 3)), "scalar": files.npy(()), "empty": files.npy((0, 5))},
    "json": {"tokenizer": files.dumps(files.tokenizer_json()),
             "numbers": b'[0,-1,1.5,1e30,123456789012345678901234567890,{"a":"\\u00e9"}]'},
    "messages": variants_of_messages(),
    "model": {"gguf-f16": files.llama_gguf(files.GGML_F16).bytes(),
              "gguf-q4_1": files.llama_gguf(files.GGML_Q4_1).bytes(),
              "safetensors": bundle(files.dumps(files.config()),
                                    files.llama_safetensors(dtype="F16").bytes()),
              "packed": bundle(files.dumps(files.config()), files.packed_safetensors().bytes())},
    "gguf_layout": {"f32": split_gguf(), "q4_1": split_gguf(files.GGML_Q4_1)},
    "imatrix": variants_of_imatrix(),
    "mlx": variants_of_mlx(),
    "template": {"chat": files.TEMPLATE.encode()},
    # The target makes whole ones out of it: they hold the fingerprint of its model.
    "session": {"begun": b"PHIALSEQ"},
}


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    # A model and its tokenizer_config.json.
    slow = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/slow"
    SEEDS["sentencepiece"] = {
        model.parent.name: bundle(model.read_bytes(),
                                  (model.parent / "tokenizer_config.json").read_bytes())
        for model in slow.glob("*/*.model")}
    for file in (pathlib.Path(__file__).parent / "seeds").iterdir():
        SEEDS[file.suffix[1:]][file.stem] = file.read_bytes()
    for target, seeds in SEEDS.items():
        folder = pathlib.Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            if len(data) > MAX_BYTES:
                raise ValueError(f"{target}/{name} has {len(data)} bytes")
            (folder / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
