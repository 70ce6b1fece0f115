"""Golden and real tokenizers, each in a model so small that it can be converted. numpy."""

import json
import shutil
import struct
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parent.parent / "golden"

# Golden tokenizers: the model_type of the folder they are put in, and the texts that differ from the source's ids.
NFC = "the file cannot say that text is normalized"
FIRST = "llama.cpp puts a space behind special tokens too, and before a text that begins with one"
TOKENIZERS = {
    "pipelines/gpt2": ("llama", 0, ""),
    "pipelines/llama3": ("llama", 0, ""),
    "pipelines/qwen2": ("qwen2", 43, NFC),
    "pipelines/starcoder": ("llama", 0, ""),
    "pipelines/falcon": ("llama", 0, ""),
    "pipelines/bloom": ("llama", 0, ""),
    "pipelines/phi4": ("phi3", 0, ""),
    "pipelines/llama2": ("llama", 0, ""),
    "pipelines/phi3": ("phi3", 0, ""),
    "pipelines/mistral": ("mistral", 61, FIRST),
    "pipelines/gemma": ("gemma2", 0, ""),
    "slow/gpt2": ("llama", 0, ""),
    "slow/llama": ("llama", 64, FIRST),
    "slow/llama_legacy": ("llama", 48, FIRST),
    "slow/qwen2": ("qwen2", 43, NFC),
}


def smallest_model(folder, model_type, tokens):
    """A model of one layer with `tokens` rows, so that a tokenizer can be converted."""
    config = {"model_type": model_type, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
              "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": tokens,
              "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "pad_token_id": None}
    if model_type == "gemma2":
        config |= {"query_pre_attn_scalar": 8, "hidden_activation": "gelu_pytorch_tanh"}
    if model_type == "mistral":
        config["sliding_window"] = None
    shapes = {"embed_tokens": [tokens, 8], "norm": [8]}
    layer = {"input_layernorm": [8], "post_attention_layernorm": [8], "mlp.down_proj": [8, 8], "self_attn.o_proj": [8, 8]}
    if model_type == "phi3":
        layer |= {"self_attn.qkv_proj": [24, 8], "mlp.gate_up_proj": [16, 8]}
    else:
        layer |= {f"self_attn.{part}_proj": [8, 8] for part in "qkv"} | {"mlp.gate_proj": [8, 8], "mlp.up_proj": [8, 8]}
    if model_type == "gemma2":
        layer |= {"pre_feedforward_layernorm": [8], "post_feedforward_layernorm": [8]}
    shapes |= {f"layers.0.{name}": shape for name, shape in layer.items()}
    names = {f"model.{name}.weight": shape for name, shape in shapes.items()}
    if model_type == "qwen2":
        names |= {f"model.layers.0.self_attn.{part}_proj.bias": [8] for part in "qkv"}
    header, offset = {}, 0
    for name, shape in names.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))


def token_count(folder):
    """Largest id plus one, of a folder's tokenizer files."""
    if (folder / "tokenizer.json").exists():
        document = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        ids = [*document["model"]["vocab"].values(), *(token["id"] for token in document["added_tokens"])]
        return max(ids) + 1
    ids = []
    for name in ("vocab.json", "added_tokens.json"):
        if (folder / name).exists():
            ids += json.loads((folder / name).read_text("utf-8")).values()
    return max(ids) + 1 if ids else 2000  # a tokenizer.model of the golden ones has fewer


def tokenizer_folders(scratch, real=None):
    """Name and folder of a model for each of TOKENIZERS, and for each folder MODEL_TYPE-NAME in `real`."""
    for name, (model_type, _, _) in TOKENIZERS.items():
        folder = scratch / name.replace("/", "-")
        shutil.rmtree(folder, ignore_errors=True)
        if name.startswith("pipelines"):
            folder.mkdir(parents=True)
            shutil.copy(GOLDEN / f"{name}.tokenizer.json", folder / "tokenizer.json")
        else:
            shutil.copytree(GOLDEN / name, folder, ignore=shutil.ignore_patterns("ids.json"))
        smallest_model(folder, model_type, token_count(folder))
        yield name, folder
    for source in sorted(path for path in real.iterdir() if path.is_dir()) if real else []:
        folder = scratch / f"real-{source.name}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        smallest_model(folder, source.name.split("-")[0], token_count(folder))
        yield source.name, folder
