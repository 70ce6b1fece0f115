"""What every engine is given: the sizes of Phi-3-mini with fewer layers, and a prompt."""

LAYERS = 8
HIDDEN, INTERMEDIATE, HEADS, VOCABULARY = 3072, 8192, 32, 32064
HEAD_DIM = HIDDEN // HEADS
CONTEXT = 8192
SEED = 7

# Of the linear layers in all blocks, and of the lm_head: the operations and bytes of a token.
LAYER_PARAMETERS = LAYERS * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INTERMEDIATE)
HEAD_PARAMETERS = HIDDEN * VOCABULARY
KV_VALUES = 2 * LAYERS * HIDDEN  # of a position

# Plain rope and no window, so that every length is what it says.
CONFIG = {
    "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "torch_dtype": "float16",
    "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT, "original_max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "sliding_window": None,
    "hidden_act": "silu", "tie_word_embeddings": False, "attention_dropout": 0.0,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "initializer_range": 0.02, "use_cache": True,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
}


def tensors():
    """Names and shapes of the matrices, as Hugging Face has them; norms are ones."""
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        yield prefix + "self_attn.qkv_proj.weight", (3 * HIDDEN, HIDDEN)
        yield prefix + "self_attn.o_proj.weight", (HIDDEN, HIDDEN)
        yield prefix + "mlp.gate_up_proj.weight", (2 * INTERMEDIATE, HIDDEN)
        yield prefix + "mlp.down_proj.weight", (HIDDEN, INTERMEDIATE)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def norms():
    for layer in range(LAYERS):
        yield f"model.layers.{layer}.input_layernorm.weight"
        yield f"model.layers.{layer}.post_attention_layernorm.weight"
    yield "model.norm.weight"


def pieces():
    """The vocabulary: special tokens, bytes, made-up words."""
    yield from ("<unk>", "<s>", "</s>")
    for byte in range(256):
        yield f"<0x{byte:02X}>"
    for number in range(259, VOCABULARY):
        yield f"\u2581w{number}"


def prompt(count):
    """The first `count` ids of a fixed prompt, none of them special."""
    ids, state = [], SEED
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        ids.append(300 + (state >> 33) % (VOCABULARY - 300))
    return ids
