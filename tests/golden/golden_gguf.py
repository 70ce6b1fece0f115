"""GGUF twins of the golden checkpoints, with the keys, names and layouts that llama.cpp's converter writes."""

import gguf
import numpy as np

F32 = gguf.GGMLQuantizationType.F32
F16 = gguf.GGMLQuantizationType.F16
BF16 = gguf.GGMLQuantizationType.BF16
Q8_0 = gguf.GGMLQuantizationType.Q8_0
Q4_1 = gguf.GGMLQuantizationType.Q4_1

FILE_TYPE = {F32: 0, F16: 1, Q4_1: 3, Q8_0: 7, BF16: 32}

_LLAMA_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
_PHI3_NAMES = {
    **_LLAMA_NAMES,
    "self_attn.qkv_proj.weight": "attn_qkv.weight",  # rows q | k | v
    "mlp.gate_up_proj.weight": "ffn_up.weight",  # rows gate | up
}
_PHI2_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.final_layernorm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.dense": "attn_output",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
_PHI2_NAMES = {f"{hf}.{kind}": f"{ours}.{kind}" for hf, ours in _PHI2_NAMES.items() for kind in ("weight", "bias")}
_QWEN2_NAMES = {
    **_LLAMA_NAMES,
    **{f"self_attn.{part}_proj.bias": f"attn_{part}.bias" for part in "qkv"},
}
_QWEN3_NAMES = {
    **_LLAMA_NAMES,
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
}
_GEMMA2_NAMES = {
    **_LLAMA_NAMES,
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "pre_feedforward_layernorm.weight": "ffn_norm.weight",
    "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
}
_NAMES = {
    "llama": _LLAMA_NAMES,
    "granite": _LLAMA_NAMES,
    "smollm3": _LLAMA_NAMES,
    "phi3": _PHI3_NAMES,
    "phi2": _PHI2_NAMES,
    "qwen2": _QWEN2_NAMES,
    "qwen3": _QWEN3_NAMES,
    "gemma2": _GEMMA2_NAMES,
}
# Converters that derive from Llama's permute q and k.
_PERMUTING = ("llama", "granite", "smollm3")


def gguf_name(arch, hf_name):
    """The GGUF name of a Hugging Face tensor."""
    if hf_name.startswith("model.layers."):
        _, _, layer, rest = hf_name.split(".", 3)
        return f"blk.{layer}.{_NAMES[arch][rest]}"
    return _NAMES[arch][hf_name]


def permuted_rows(rows, n_heads):
    """Row order of llama's attn_q and attn_k in GGUF: within a head, rows (0, d/2, 1, d/2 + 1, ...)."""
    half = rows // n_heads // 2
    return np.arange(rows).reshape(n_heads, 2, half).swapaxes(1, 2).reshape(rows)


def row_order(arch, hf_name, rows, config):
    """Rows of a Hugging Face tensor in the order in which GGUF stores them."""
    if arch in _PERMUTING and hf_name.endswith("q_proj.weight"):
        return permuted_rows(rows, config["num_attention_heads"])
    if arch in _PERMUTING and hf_name.endswith("k_proj.weight"):
        return permuted_rows(rows, config["num_key_value_heads"])
    return np.arange(rows)


def fuse_qkv(weights):
    """Puts q, k and v of each layer under one name, as Phi-2's first checkpoints had them."""
    fused = {}
    for name, data in weights.items():
        if "q_proj" in name:
            parts = [weights[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            fused[name.replace("q_proj", "qkv_proj")] = np.concatenate(parts)
        elif "k_proj" not in name and "v_proj" not in name:
            fused[name] = data
    return fused


def tensor_type(name, data, types):
    """Type of a tensor in the file: vectors stay F32, as the converter leaves them."""
    return F32 if data.ndim == 1 else types.get(name, types["*"])


def stored_values(weights, arch, config, types):
    """The weights as a reader of the file sees them: quantized in GGUF's row order and back."""
    seen = {}
    for name, data in weights.items():
        kind = tensor_type(gguf_name(arch, name), data, types)
        if kind in (F32, F16, BF16):
            seen[name] = data
            continue
        order = row_order(arch, name, data.shape[0], config)
        values = gguf.quants.dequantize(gguf.quants.quantize(data[order], kind), kind)
        seen[name] = np.empty_like(data)
        seen[name][order] = values
    return seen


def _write_shape(writer, config):
    n_heads = config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(n_heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", n_heads))


def _write_model_keys(writer, arch, config):
    _write_shape(writer, config)
    head_dim = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    if arch == "phi2":
        writer.add_layer_norm_eps(config["layer_norm_eps"])
        writer.add_rope_dimension_count(int(config["partial_rotary_factor"] * head_dim))
        return  # the rope base is left to its default of 10000
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config["rope_theta"])
    if arch == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
        writer.add_sliding_window(0)
    else:
        writer.add_vocab_size(config["vocab_size"])
        if "head_dim" in config:
            writer.add_key_length(head_dim)
            writer.add_value_length(head_dim)


def _write_tokenizer(writer, pre, tokenizer, vocab_size, special):
    """`tokenizer` is the parsed tokenizer.json; ids beyond it are padding rows of the embedding."""
    pieces = [f"[PAD{i}]" for i in range(vocab_size)]
    types = [gguf.TokenType.UNUSED] * vocab_size
    for piece, index in tokenizer["model"]["vocab"].items():
        pieces[index], types[index] = piece, gguf.TokenType.NORMAL
    for token in tokenizer["added_tokens"]:
        kind = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        pieces[token["id"]], types[token["id"]] = token["content"], kind
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(pieces)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    for role, index in special.items():
        getattr(writer, f"add_{role}_token_id")(index)


def _rope_of(config):
    """(rope_type, rope_scaling, theta, partial_rotary_factor), wherever this version of the config keeps them."""
    inside = config.get("rope_parameters") or {}
    scaling = config.get("rope_scaling") or inside
    theta = inside.get("rope_theta", config.get("rope_theta", 10000.0))
    partial = inside.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    return ("longrope" if kind == "su" else kind), scaling, theta, partial


def _original_context(config, scaling):
    inside = scaling.get("original_max_position_embeddings", config["max_position_embeddings"])
    return config.get("original_max_position_embeddings", inside)


def _llama3_factors(config, scaling, theta, head_dim):
    """What converters write into rope_freqs: numbers by which the frequencies are divided."""
    original = _original_context(config, scaling)
    low, high, factor = scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["factor"]
    factors = []
    for exponent in np.arange(0, head_dim, 2) / head_dim:
        wavelength = 2 * np.pi * theta**exponent
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, dtype=np.float32)


def _write_rope(writer, arch, config):
    kind, scaling, theta, partial = _rope_of(config)
    head_dim = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    writer.add_rope_dimension_count(int(head_dim * partial))
    writer.add_rope_freq_base(theta)
    original = _original_context(config, scaling)
    if arch == "phi3":
        writer.add_rope_scaling_orig_ctx_len(original)
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(scaling["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(original)
    if kind == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_factors(config, scaling, theta, head_dim))
    if kind == "longrope":
        scale = config["max_position_embeddings"] / original
        writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(scale) / np.log(original))))
        for length in ("long", "short"):
            factors = np.array(scaling[f"{length}_factor"], dtype=np.float32)
            writer.add_tensor(f"rope_factors_{length}.weight", factors)


def _write_family_keys(writer, arch, config):
    _write_shape(writer, config)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if arch == "phi3":
        writer.add_sliding_window(config.get("sliding_window") or 0)
    elif config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    if arch == "granite":
        writer.add_attention_scale(config["attention_multiplier"])
        writer.add_embedding_scale(config["embedding_multiplier"])
        writer.add_residual_scale(config["residual_multiplier"])
        writer.add_logit_scale(config["logits_scaling"])
    _write_rope(writer, arch, config)


def write_bare_gguf(path, arch, config, weights):
    """A GGUF file without a tokenizer: F16 matrices, F32 vectors. `weights` have Hugging Face names."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type("model")
    writer.add_name("Golden")
    writer.add_file_type(FILE_TYPE[F16])
    _write_family_keys(writer, arch, config)
    writer.add_tokenizer_model("no_vocab")
    for name, data in weights.items():
        ours = gguf_name(arch, name)
        kind = tensor_type(ours, data, {"*": F16})
        rows = data[row_order(arch, name, data.shape[0], config)].astype(np.float32)
        if arch == "gemma2" and name.endswith("norm.weight"):
            rows = rows + 1  # the file holds what the norm multiplies by
        writer.add_tensor(ours, gguf.quants.quantize(rows, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_gguf(path, arch, config, weights, types, *, pre, tokenizer, special, add_bos, chat_template):
    """Writes one GGUF file. `types` maps GGUF tensor names to types, "*" is the rest; `weights` have Hugging Face names."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type("model")
    writer.add_name("Golden")  # llama.cpp takes a name with "phi3" in it for the published model and strips white space
    writer.add_file_type(FILE_TYPE[types["*"]])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _write_model_keys(writer, arch, config)
    _write_tokenizer(writer, pre, tokenizer, config["vocab_size"], special)
    writer.add_add_bos_token(add_bos)
    if chat_template:
        writer.add_chat_template(chat_template)
    for name, data in weights.items():
        ours = gguf_name(arch, name)
        kind = tensor_type(ours, data, types)
        rows = data[row_order(arch, name, data.shape[0], config)].astype(np.float32)
        writer.add_tensor(ours, gguf.quants.quantize(rows, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
