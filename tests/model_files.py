"""Writes tiny models byte by byte, whole or wrong in a chosen place: GGUF, safetensors, tokenizer and
side files. For the hostile-file tests and the seeds of the fuzz targets. Standard library only.
"""

import json
import random
import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
SCALARS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q",
           I64: "q", F64: "d"}
GGML_F32, GGML_F16, GGML_Q4_1, GGML_Q8_0, GGML_BF16 = 0, 1, 3, 8, 30
# (values, bytes) of a block
GGML_BLOCKS = {GGML_F32: (1, 4), GGML_F16: (1, 2), GGML_Q4_1: (32, 20), GGML_Q8_0: (32, 34),
               GGML_BF16: (1, 2)}

HIDDEN, LAYERS, HEADS, KV_HEADS, INTERMEDIATE, CONTEXT = 32, 1, 4, 2, 32, 64
TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def encode_string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def encode_value(kind, value):
    """`value` as bytes; bytes stay as they are, also in place of an array."""
    if isinstance(value, bytes) and kind != STRING:
        return value
    if kind == STRING:
        return encode_string(value)
    if kind == ARRAY:
        element, items = value
        return struct.pack("<IQ", element, len(items)) + b"".join(
            encode_value(element, item) for item in items)
    return struct.pack("<" + SCALARS[kind], value)


class Gguf:
    """A GGUF file whose every field may be overridden before bytes()."""

    def __init__(self):
        self.magic, self.version = b"GGUF", 3
        self.pairs = []    # [key, type, value]
        self.tensors = []  # dicts of name, dims, type, data and, to lie, offset
        self.alignment = 32
        self.announced_tensors = self.announced_pairs = None

    def set(self, key, kind, value):
        """Replaces the pair `key` where it stands, or adds it."""
        for pair in self.pairs:
            if pair[0] == key:
                pair[1:] = [kind, value]
                return self
        self.pairs.append([key, kind, value])
        return self

    def drop(self, key):
        self.pairs = [pair for pair in self.pairs if pair[0] != key]
        return self

    def tensor(self, name):
        return next(tensor for tensor in self.tensors if tensor["name"] == name)

    def padded(self, size):
        return -(-size // self.alignment) * self.alignment

    def header(self):
        tensors = len(self.tensors) if self.announced_tensors is None else self.announced_tensors
        pairs = len(self.pairs) if self.announced_pairs is None else self.announced_pairs
        out = self.magic + struct.pack("<IQQ", self.version, tensors, pairs)
        for key, kind, value in self.pairs:
            out += encode_string(key) + struct.pack("<I", kind) + encode_value(kind, value)
        offset = 0
        for tensor in self.tensors:
            dims = tensor["dims"]
            out += encode_string(tensor["name"]) + struct.pack(
                f"<I{len(dims)}QIQ", tensor.get("n_dims", len(dims)), *dims, tensor["type"],
                tensor.get("offset", offset))
            offset = self.padded(offset + len(tensor["data"]))
        return out

    def bytes(self):
        out = bytearray(self.header())
        if self.tensors:
            out += bytes(self.padded(len(out)) - len(out))
        for tensor in self.tensors:
            out += tensor["data"]
            out += bytes(self.padded(len(out)) - len(out))
        return bytes(out)


def byte_alphabet():
    """The 256 characters of byte-level BPE by byte (GPT-2's bytes_to_unicode)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + n) for n, b in enumerate(rest)}}


SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("\u0120", "w"), ("\u0120w", "o")]


def vocabulary():
    """ASCII's bytes, the results of the merges, and the special tokens first."""
    alphabet = byte_alphabet()
    return SPECIAL + [alphabet[b] for b in [10, *range(32, 127)]] + [a + b for a, b in MERGES]


VOCABULARY = len(vocabulary())


def weight_bytes(rng, count):
    """float32 values of about 0.1, which keep every activation finite."""
    return struct.pack(f"<{count}f", *(rng.uniform(-0.1, 0.1) for _ in range(count)))


def half(data):
    """float32 bytes as float16 ones."""
    values = struct.unpack(f"<{len(data) // 4}f", data)
    return struct.pack(f"<{len(values)}e", *values)


def quantized(data, kind):
    """A block grid with the right sizes; the codes are what they are."""
    values, size = GGML_BLOCKS[kind]
    count = len(data) // 4 // values
    scales = struct.pack("<e", 0.01) * (2 if kind == GGML_Q4_1 else 1)
    return b"".join(scales + data[i * 32:i * 32 + size - len(scales)].ljust(size - len(scales), b"1")
                    for i in range(count))


# Hugging Face name, GGUF name, shape
def tensor_shapes():
    kv = HIDDEN // HEADS * KV_HEADS
    yield "model.embed_tokens.weight", "token_embd.weight", [VOCABULARY, HIDDEN]
    for layer in range(LAYERS):
        hf, gguf = f"model.layers.{layer}.", f"blk.{layer}."
        yield hf + "input_layernorm.weight", gguf + "attn_norm.weight", [HIDDEN]
        yield hf + "self_attn.q_proj.weight", gguf + "attn_q.weight", [HIDDEN, HIDDEN]
        yield hf + "self_attn.k_proj.weight", gguf + "attn_k.weight", [kv, HIDDEN]
        yield hf + "self_attn.v_proj.weight", gguf + "attn_v.weight", [kv, HIDDEN]
        yield hf + "self_attn.o_proj.weight", gguf + "attn_output.weight", [HIDDEN, HIDDEN]
        yield hf + "post_attention_layernorm.weight", gguf + "ffn_norm.weight", [HIDDEN]
        yield hf + "mlp.gate_proj.weight", gguf + "ffn_gate.weight", [INTERMEDIATE, HIDDEN]
        yield hf + "mlp.up_proj.weight", gguf + "ffn_up.weight", [INTERMEDIATE, HIDDEN]
        yield hf + "mlp.down_proj.weight", gguf + "ffn_down.weight", [HIDDEN, INTERMEDIATE]
    yield "model.norm.weight", "output_norm.weight", [HIDDEN]


def elements(shape):
    count = 1
    for extent in shape:
        count *= extent
    return count


def llama_gguf(kind=GGML_F32, with_tensors=True):
    """A whole Llama with tokenizer and template; matrices are stored as `kind`."""
    rng = random.Random(1)
    out = Gguf()
    for key, type_, value in [
            ("general.architecture", STRING, "llama"), ("general.name", STRING, "tiny"),
            ("llama.context_length", U32, CONTEXT), ("llama.embedding_length", U32, HIDDEN),
            ("llama.block_count", U32, LAYERS), ("llama.feed_forward_length", U32, INTERMEDIATE),
            ("llama.attention.head_count", U32, HEADS),
            ("llama.attention.head_count_kv", U32, KV_HEADS),
            ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
            ("llama.rope.dimension_count", U32, HIDDEN // HEADS),
            ("llama.rope.freq_base", F32, 10000.0),
            ("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.pre", STRING, "smollm"),
            ("tokenizer.ggml.tokens", ARRAY, (STRING, vocabulary())),
            ("tokenizer.ggml.token_type", ARRAY,
             (I32, [3] * len(SPECIAL) + [1] * (VOCABULARY - len(SPECIAL)))),
            ("tokenizer.ggml.merges", ARRAY, (STRING, [" ".join(pair) for pair in MERGES])),
            ("tokenizer.ggml.bos_token_id", U32, 1), ("tokenizer.ggml.eos_token_id", U32, 2),
            ("tokenizer.ggml.unknown_token_id", U32, 0),
            ("tokenizer.ggml.padding_token_id", U32, 0),
            ("tokenizer.ggml.add_bos_token", BOOL, 0),
            ("tokenizer.chat_template", STRING, TEMPLATE)]:
        out.set(key, type_, value)
    for _, name, shape in tensor_shapes() if with_tensors else []:
        data = weight_bytes(rng, elements(shape))
        stored = kind if len(shape) == 2 else GGML_F32
        if stored in (GGML_F16, GGML_BF16):
            data = half(data)
        elif stored != GGML_F32:
            data = quantized(data, stored)
        out.tensors.append({"name": name, "dims": shape[::-1], "type": stored, "data": data})
    return out


class Safetensors:
    """A safetensors file whose header is an ordinary dict until bytes()."""

    def __init__(self):
        self.header, self.data = {"__metadata__": {"format": "pt"}}, b""

    def add(self, name, dtype, shape, data):
        begin = len(self.data)
        self.data += data
        self.header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, len(self.data)]}
        return self

    def bytes(self):
        return raw_safetensors(json.dumps(self.header).encode(), self.data)


def raw_safetensors(header, data, length=None):
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def llama_safetensors(names=None, dtype="F32"):
    """The tensors called `names`, or all."""
    rng = random.Random(1)
    out = Safetensors()
    for name, _, shape in tensor_shapes():
        data = weight_bytes(rng, elements(shape))
        if names is None or name in names:
            out.add(name, dtype, shape, data if dtype == "F32" else half(data))
    return out


def panels(rng, rows, columns):
    """A matrix in q4_0 panels of phial's packed files, of up to 256 columns."""
    scales = b"".join(struct.pack("<e", rng.uniform(0.01, 0.02)) for _ in range(64 * columns // 32))
    return b"".join(scales + rng.randbytes(32 * columns) for _ in range(-(-rows // 64)))


def packed_safetensors():
    """The Llama as phial's packed files have it: model/phial_target.h."""
    rng = random.Random(1)
    out = Safetensors()
    metadata = out.header["__metadata__"] = {"format": "phial"}
    for name, _, shape in tensor_shapes():
        if len(shape) == 1:
            out.add(name, "F16", shape, half(weight_bytes(rng, elements(shape))))
            continue
        data = panels(rng, *shape)
        count = -(-shape[0] // 64)
        out.add(name, "U8", [count, len(data) // count], data)
        metadata["phial." + name] = json.dumps(
            {"layout": "panels-1", "grid": "q4_0", "shape": shape})
    return out


def tensor_names():
    return [name for name, _, _ in tensor_shapes()]


def config():
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
            "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "rope_scaling": None, "tie_word_embeddings": True, "vocab_size": VOCABULARY,
            "bos_token_id": 1, "eos_token_id": 2, "attention_bias": False, "mlp_bias": False}


def generation_config():
    return {"bos_token_id": 1, "eos_token_id": [2, 0], "do_sample": True, "temperature": 0.7,
            "top_k": 20, "top_p": 0.9, "max_new_tokens": 16}


def tokenizer_json():
    pieces = vocabulary()
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": n, "content": text, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}
                         for n, text in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": True}]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False,
                  "vocab": {piece: n for n, piece in enumerate(pieces)},
                  "merges": [list(pair) for pair in MERGES]}}


def tokenizer_config():
    return {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>", "pad_token": "<|im_end|>",
            "model_max_length": 64, "clean_up_tokenization_spaces": False,
            "added_tokens_decoder": {"0": {"content": "<|endoftext|>", "special": True}},
            "chat_template": TEMPLATE}


def special_tokens_map():
    return {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}}


def messages():
    return [{"role": "system", "content": "Be terse."},
            {"role": "user", "content": [{"type": "text", "text": "h\u00e9llo <x>"}]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "a1", "type": "function",
                 "function": {"name": "f", "arguments": {"x": 1.5, "y": [True]}}}]},
            {"role": "tool", "content": "{}", "name": "f"}]


def npy(shape=(2, 3)):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header = header.ljust(117) + "\n"
    return (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
            bytes(4 * elements(shape)))


def dumps(value):
    return json.dumps(value, ensure_ascii=False).encode()


def llama_folder():
    """The files of a Hugging Face folder, by name."""
    return {"config.json": dumps(config()), "generation_config.json": dumps(generation_config()),
            "tokenizer.json": dumps(tokenizer_json()),
            "tokenizer_config.json": dumps(tokenizer_config()),
            "special_tokens_map.json": dumps(special_tokens_map()),
            "model.safetensors": llama_safetensors().bytes()}


def shards():
    """The weights in two files behind an index, by name."""
    names = tensor_names()
    parts = {"model-00001-of-00002.safetensors": names[:5],
             "model-00002-of-00002.safetensors": names[5:]}
    files = {name: llama_safetensors(part).bytes() for name, part in parts.items()}
    weight_map = {tensor: name for name, part in parts.items() for tensor in part}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    return {"model.safetensors.index.json": dumps(index), **files}
