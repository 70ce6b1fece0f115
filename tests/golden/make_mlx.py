#!/usr/bin/env python3
"""Makes the golden MLX folders: tiny models that mlx-lm quantized, and its logits of them.

    python make_mlx.py --out mlx

Runs where ../peers/requirements-mlx.txt is installed. The same versions write the same tensors again; their order in
the files is not fixed. A folder is what mlx-lm saves without its tokenizer and index, and golden.json: "ids" and the
"logits" of all positions that mlx computes for them on the CPU in float32, with scales and biases widened to it.
../peers/mlx.py makes models of every family with the functions here.
"""

import argparse
import copy
import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes as classes_of
from mlx_lm.utils import load_model, quantize_model, save_config, save_model

VOCABULARY = 40
CONTEXT = 128
LIMIT = 16  # original context of LongRoPE; mlx-lm has its long factors at every length
TOKENS = 24

BASE = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 128,
    "max_position_embeddings": CONTEXT,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "num_key_value_heads": 1,
    "pad_token_id": None,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": VOCABULARY,
}


def family(model_type, architecture, **other):
    return {**BASE, "model_type": model_type, "architectures": [architecture], **other}


def longrope(count):
    short = [1.0 + 0.05 * i for i in range(count)]
    long = [1.0 + 1.5 * i for i in range(count)]
    return {"long_factor": long, "short_factor": short, "type": "longrope"}


LLAMA = family("llama", "LlamaForCausalLM")
PHI3 = family("phi3", "Phi3ForCausalLM", num_key_value_heads=2, original_max_position_embeddings=LIMIT,
              rope_scaling=None, sliding_window=None)
# Every family; windows, which mlx-lm has for few of them, are wider than any text here.
FAMILIES = {
    "llama": LLAMA,
    "llama3.1": {**LLAMA, "rope_scaling": {
        "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 64,
        "rope_type": "llama3"}},
    "mistral": {**LLAMA, "model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": None},
    "phi3": PHI3,
    "phi3-128k": {**PHI3, "rope_scaling": longrope(16)},
    "phi4-mini": {**PHI3, "num_key_value_heads": 1, "partial_rotary_factor": 0.75, "rope_scaling": longrope(12),
                  "tie_word_embeddings": True},
    "phi": family("phi", "PhiForCausalLM", hidden_act="gelu_new", layer_norm_eps=1e-5, num_key_value_heads=2,
                  partial_rotary_factor=0.5),
    "qwen2": family("qwen2", "Qwen2ForCausalLM", rms_norm_eps=1e-6, tie_word_embeddings=True,
                    use_sliding_window=False),
    "qwen3": family("qwen3", "Qwen3ForCausalLM", attention_bias=False, head_dim=64, tie_word_embeddings=True,
                    use_sliding_window=False),
    "gemma2": family("gemma2", "Gemma2ForCausalLM", attn_logit_softcapping=4.0, final_logit_softcapping=6.0,
                     hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=32, sliding_window=CONTEXT,
                     tie_word_embeddings=True),
    "granite": family("granite", "GraniteForCausalLM", attention_bias=False, attention_multiplier=0.2,
                      embedding_multiplier=3.0, logits_scaling=2.0, mlp_bias=False, residual_multiplier=0.5,
                      tie_word_embeddings=True),
    "smollm3": family("smollm3", "SmolLM3ForCausalLM", attention_bias=False, mlp_bias=False,
                      no_rope_layer_interval=4, no_rope_layers=[1, 1], rope_theta=2e6, tie_word_embeddings=True),
}


def write_model(folder, config, dtype=mx.bfloat16, layers=1, seed=1):
    """A checkpoint of random weights under the names that Hugging Face and mlx-lm share."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**config, "num_hidden_layers": layers}
    model_class, arguments = classes_of(config)
    model = model_class(arguments.from_dict(config))
    random = np.random.default_rng(seed)
    weights = {}
    for name, array in sorted(tree_flatten(model.parameters())):
        values = random.standard_normal(array.shape)
        if len(array.shape) == 1:
            centre = 0.0 if name.endswith("bias") or config["model_type"] == "gemma2" else 1.0
            values = centre + 0.2 * values
        elif "embed_tokens" not in name:
            values *= 1.5 * array.shape[1] ** -0.5
        weights[name] = mx.array(values.astype(np.float32)).astype(dtype)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})
    save_config(config, folder / "config.json")


def quantize(source, folder, predicate=None, group_size=64, bits=4, mode="affine"):
    """`source` as mlx_lm.convert would write it, without a tokenizer. One grid for all unless a predicate says
    otherwise: some families of mlx-lm have one of their own."""
    model, config = load_model(source, lazy=True)
    model, config = quantize_model(model, copy.deepcopy(config), group_size, bits, mode=mode,
                                   quant_predicate=predicate or (lambda path, module: True))
    shutil.rmtree(folder, ignore_errors=True)
    save_model(folder, model)
    save_config(config, folder / "config.json")


def logits_of(folder, ids):
    """[positions, vocabulary] in the most exact way that mlx has: float32 throughout, on the CPU."""
    with mx.stream(mx.cpu):
        model, _ = load_model(folder)
        model.set_dtype(mx.float32)
        out = model(mx.array([ids]))[0]
        mx.eval(out)
    return np.array(out.astype(mx.float32))


def ids_for(tokens=TOKENS):
    return [int(i) for i in np.random.default_rng(7).integers(3, VOCABULARY, tokens)]


def mixed(path, _):
    """Another grid for every kind of module, and floats for one."""
    kinds = {"embed_tokens": (64, 8), "q_proj": (32, 2), "k_proj": (64, 5), "o_proj": (32, 3), "down_proj": (128, 6)}
    for kind, (group_size, bits) in kinds.items():
        if kind in path:
            return {"group_size": group_size, "bits": bits, "mode": "affine"}
    return "v_proj" not in path


# Name: family, type of the scales, what quantize() is asked for.
GOLDENS = {
    "llama-4bit-g32": ("llama", mx.float16, {"group_size": 32, "bits": 4}),
    "qwen3-mixed": ("qwen3", mx.bfloat16, {"group_size": 32, "bits": 4, "predicate": mixed}),
    "phi3-mxfp4": ("phi3", mx.bfloat16, {"group_size": 32, "bits": 4, "mode": "mxfp4"}),
    "gemma2-3bit": ("gemma2", mx.float32, {"group_size": 64, "bits": 3}),
    "phi-5bit": ("phi", mx.float16, {"group_size": 64, "bits": 5}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "mlx")
    options = parser.parse_args()
    for name, (kind, dtype, how) in GOLDENS.items():
        folder = options.out / name
        source = options.out / f".{name}.source"
        write_model(source, FAMILIES[kind], dtype)
        quantize(source, folder, **how)
        shutil.rmtree(source)
        (folder / "model.safetensors.index.json").unlink()
        ids = ids_for(8)
        logits = [[float(f"{x:.7g}") for x in row] for row in logits_of(folder, ids)]
        text = json.dumps({"ids": ids, "logits": logits})
        (folder / "golden.json").write_text(text.replace("], [", "],\n["), encoding="utf-8")


if __name__ == "__main__":
    main()
