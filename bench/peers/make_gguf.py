"""Writes the model as GGUF in Q4_0, embedding and lm_head too.

usage: make_gguf.py OUT.gguf      needs numpy, gguf
"""
import sys

import gguf
import numpy

import shape
import weights

NAMES = {"model.embed_tokens": "token_embd", "lm_head": "output", "model.norm": "output_norm",
         "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output",
         "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
         "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def gguf_name(name):
    base = name.removesuffix(".weight")
    if base.startswith("model.layers."):
        _, _, layer, rest = base.split(".", 3)
        return f"blk.{layer}.{NAMES[rest]}.weight"
    return NAMES[base] + ".weight"


def main():
    writer = gguf.GGUFWriter(sys.argv[1], "phi3")
    writer.add_context_length(shape.CONTEXT)
    writer.add_rope_scaling_orig_ctx_len(shape.CONTEXT)
    writer.add_embedding_length(shape.HIDDEN)
    writer.add_feed_forward_length(shape.INTERMEDIATE)
    writer.add_block_count(shape.LAYERS)
    writer.add_head_count(shape.HEADS)
    writer.add_head_count_kv(shape.HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.HEAD_DIM)
    writer.add_rope_freq_base(10000.0)
    writer.add_sliding_window(1 << 18)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_tokenizer_model("llama")
    pieces = list(shape.pieces())
    writer.add_token_list(pieces)
    writer.add_token_scores([-float(i) for i in range(len(pieces))])
    kinds = [gguf.TokenType.UNKNOWN] + 2 * [gguf.TokenType.CONTROL] + 256 * [gguf.TokenType.BYTE]
    writer.add_token_types(kinds + (len(pieces) - len(kinds)) * [gguf.TokenType.NORMAL])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    q4_0 = gguf.GGMLQuantizationType.Q4_0
    for name in shape.norms():
        writer.add_tensor(gguf_name(name), numpy.ones(shape.HIDDEN, numpy.float32))
    for number, (name, sizes) in enumerate(shape.tensors()):
        rows, which = weights.rows_of(number, sizes)
        rows = gguf.quants.quantize(rows.astype(numpy.float32), q4_0)
        writer.add_tensor(gguf_name(name), rows[which], raw_dtype=q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
