#!/usr/bin/env python3
"""A tiny Llama in every popular GGUF type, and what transformers computes from its dequantized weights.

    python make_grid_models.py

Writes grid_models/<type>.gguf and grid_models/<type>.logits (float32 [IDS, VOCABULARY]) beside this file. Rows of
256 values, because the K types need them; ffn_down and attn_output have rows of 32 and are Q4_0 then, as llama.cpp
falls back to another type. Types that gguf.quants does not encode get random codes with scales that give weights of
a usual size. The ids are 0 ... IDS - 1, each times 7 modulo VOCABULARY.
"""

from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from transformers import LlamaConfig, LlamaForCausalLM

from golden_gguf import gguf_name, row_order

VOCABULARY = 32
IDS = 40
CONFIG = {
    "head_dim": 16,
    "hidden_size": 256,
    "intermediate_size": 32,
    "max_position_embeddings": 128,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "vocab_size": VOCABULARY,
}

# Offsets of float16 fields in a block, and what they hold.
SCALES = {
    Type.Q2_K: {80: 0.004, 82: 0.006},
    Type.Q3_K: {108: 0.0015},
    Type.Q4_K: {0: 0.0001, 2: 0.00075},
    Type.Q5_K: {0: 0.00005, 2: 0.00077},
    Type.Q6_K: {208: 0.00003},
    Type.IQ4_NL: {0: 0.0008},
    Type.IQ4_XS: {0: 0.00004},
    Type.IQ2_XXS: {0: 0.0012},
}
ENCODED = [Type.Q4_0, Type.Q8_0, Type.MXFP4]
SMALL_ROWS = Type.Q4_0


def codes_of(rng, shape, kind):
    if kind not in SCALES:
        return gguf.quants.quantize((rng.standard_normal(shape) * 0.06).astype(np.float32), kind)
    values, size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (shape[0], shape[1] // values, size), dtype=np.uint8)
    for offset, scale in SCALES[kind].items():
        # Up to a fifth more or less, so that no two blocks are alike.
        spread = scale * rng.uniform(0.8, 1.2, blocks.shape[:2])
        blocks[..., offset : offset + 2] = spread.astype(np.float16)[..., None].view(np.uint8)
    return blocks.reshape(shape[0], -1)


def write_model(path, kind):
    rng = np.random.default_rng(7)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG)).to(torch.float32).eval()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Golden")
    writer.add_file_type(0)
    writer.add_context_length(CONFIG["max_position_embeddings"])
    writer.add_embedding_length(CONFIG["hidden_size"])
    writer.add_feed_forward_length(CONFIG["intermediate_size"])
    writer.add_block_count(CONFIG["num_hidden_layers"])
    writer.add_head_count(CONFIG["num_attention_heads"])
    writer.add_head_count_kv(CONFIG["num_key_value_heads"])
    writer.add_key_length(CONFIG["head_dim"])
    writer.add_value_length(CONFIG["head_dim"])
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    writer.add_rope_dimension_count(CONFIG["head_dim"])
    writer.add_rope_freq_base(CONFIG["rope_theta"])
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("no_vocab")
    weights = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        shape = tuple(tensor.shape)
        ours = gguf_name("llama", name)
        if len(shape) == 1:
            values = (1 + rng.standard_normal(shape) * 0.1).astype(np.float32)
            writer.add_tensor(ours, values)
            weights[name] = values
            continue
        row_kind = kind if shape[1] % GGML_QUANT_SIZES[kind][0] == 0 else SMALL_ROWS
        codes = codes_of(rng, shape, row_kind)
        writer.add_tensor(ours, codes, raw_dtype=row_kind)
        weights[name] = np.empty(shape, np.float32)
        weights[name][row_order("llama", name, shape[0], CONFIG)] = gguf.quants.dequantize(codes, row_kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()}, strict=False)
    model.tie_weights()
    ids = torch.arange(IDS)[None] * 7 % VOCABULARY
    with torch.no_grad():
        return model(ids).logits[0].numpy()


def main():
    folder = Path(__file__).parent / "grid_models"
    folder.mkdir(exist_ok=True)
    for kind in [*ENCODED, *SCALES]:
        logits = write_model(folder / f"{kind.name.lower()}.gguf", kind)
        assert np.isfinite(logits).all() and np.ptp(logits) > 1, (kind, np.ptp(logits))
        (folder / f"{kind.name.lower()}.logits").write_bytes(logits.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
