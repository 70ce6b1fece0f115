"""The hostile files of tests/hostile_files.py: what is written, what is run, which exit codes may come
of it: 3 is damaged or inconsistent, 4 not supported, 5 over a limit ("phial help errors").
"""

import collections
import copy
import json
import os
import struct

import model_files as m

# files: path in the model's folder to bytes, or one of the special files below. arguments: "@" is that
# folder. codes: the exit codes allowed. names: an expression that a failure's message must match.
Case = collections.namedtuple("Case", "name files arguments codes names")
Fifo = collections.namedtuple("Fifo", "")
Link = collections.namedtuple("Link", "target")
Folder = collections.namedtuple("Folder", "")


def write_files(folder, files):
    """Returns the bytes written."""
    size = 0
    for name, content in files.items():
        path = os.path.join(folder, "m", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(content, Fifo):
            os.mkfifo(path)
        elif isinstance(content, Link):
            os.symlink(content.target, path)
        elif isinstance(content, Folder):
            os.makedirs(path)
        else:
            with open(path, "wb") as file:
                file.write(content)
            size += len(content)
    return size


INFO = ["info", "@/t.gguf", "--tensors"]
RUN = ["run", "@/t.gguf", "hello", "--max-new-tokens", "2", "--quiet"]
TOKENIZE = ["tokenize", "@/t.gguf", "hello world"]
RUN_FOLDER = ["run", "@", "hello", "--max-new-tokens", "2", "--quiet"]
INFO_FOLDER = ["info", "@"]
TOKENIZE_FOLDER = ["tokenize", "@", "hello world"]
BAD_NUMBERS = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**61, 2**62, 2**63 - 1, 2**63,
               2**64 - 1]


def codes(value):
    return frozenset(value if isinstance(value, (set, frozenset, tuple)) else [value])


def gguf_case(name, file, expected, arguments=INFO, names=r"t\.gguf"):
    data = file if isinstance(file, bytes) else file.bytes()
    return Case("gguf/" + name, {"t.gguf": data}, arguments, codes(expected), names)


def gguf_headers():
    whole = m.llama_gguf().bytes()
    yield gguf_case("whole", whole, 0)
    yield gguf_case("whole-run", whole, 0, RUN)
    for size in range(25):
        yield gguf_case(f"cut-at-{size}", whole[:size], 3)
    for size in (60, 100, 400, 1000, 2000, 3000, len(whole) // 2, len(whole) - 32):
        yield gguf_case(f"cut-at-{size}", whole[:size], 3)
    for magic in (b"GGUX", b"FUGG", b"ggml", b"lmgg", b"\0\0\0\0", b"gguf"):
        yield gguf_case(f"magic-{magic.hex()}", magic + whole[4:], 3)
    for version in (0, 1, 4, 255, 2**31, 2**32 - 1, 0x03000000):
        yield gguf_case(f"version-{version}", whole[:4] + struct.pack("<I", version) + whole[8:], 4)
    for field in ("announced_tensors", "announced_pairs"):
        for number in BAD_NUMBERS:
            file = m.llama_gguf()
            setattr(file, field, number)
            # Fewer than there are: the rest is taken for something else.
            yield gguf_case(f"{field}-{number}", file, (0, 3, 4) if number < 2 else 3)
    for number in BAD_NUMBERS:
        yield gguf_case(f"key-length-{number}", whole[:24] + struct.pack("<Q", number) + whole[32:], 3)
    for number in (0, 3, 5, 31, 2**17, 2**31, 2**32 - 1):
        file = m.llama_gguf().set("general.alignment", m.U32, number)
        yield gguf_case(f"alignment-{number}", file, 3, names="general.alignment")
    for number in (1, 2, 4096):  # allowed, but the data may lie elsewhere
        yield gguf_case(f"alignment-of-other-data-{number}",
                        m.llama_gguf().set("general.alignment", m.U32, number), (0, 3))
    for key in ("", "k" * 65536, "general.name"):
        file = m.llama_gguf()
        file.pairs.append([key, m.U32, 1])
        yield gguf_case(f"key-{len(key)}-bytes", file, 3)
    for kind in (13, 14, 255, 2**31, 2**32 - 1):
        file = m.llama_gguf().set("x", kind, b"\1\0\0\0")
        yield gguf_case(f"value-type-{kind}", file, 3)
        file = m.llama_gguf().set("x", m.ARRAY, struct.pack("<IQ", kind, 1) + b"\1\0\0\0")
        yield gguf_case(f"element-type-{kind}", file, 3)
    yield gguf_case("bool-2", m.llama_gguf().set("x", m.BOOL, 2), 3)
    yield gguf_case("u64-beyond-int64", m.llama_gguf().set("x", m.U64, 2**63), 3)
    nested = struct.pack("<IQ", m.ARRAY, 1) * 1000
    yield gguf_case("array-of-arrays", m.llama_gguf().set("x", m.ARRAY, nested), 4)
    for kind in (*m.SCALARS, m.STRING):
        for number in (2**32, 2**61, 2**62, 2**64 - 1):
            value = struct.pack("<IQ", kind, number)
            yield gguf_case(f"array-of-{kind}-times-{number}",
                            m.llama_gguf().set("x", m.ARRAY, value), 3)
    for number in (2**31 + 1, 2**32 - 1, 2**63, 2**64 - 1):
        file = m.llama_gguf().set("tokenizer.ggml.tokens", m.ARRAY,
                                  struct.pack("<IQQ", m.STRING, 1, number) + b"ab")
        yield gguf_case(f"token-length-{number}", file, 3, TOKENIZE)


INTEGER_KEYS = ["llama.context_length", "llama.embedding_length", "llama.block_count",
                "llama.feed_forward_length", "llama.attention.head_count",
                "llama.attention.head_count_kv"]
REAL_KEYS = ["llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base"]


def gguf_metadata():
    """Every key that is read, with values of every other type and at the ends of its range."""
    values = {**{kind: 1 for kind in m.SCALARS}, m.STRING: "1", m.ARRAY: (m.U32, [1])}
    for key in INTEGER_KEYS + REAL_KEYS:
        allowed = {m.STRING: 3, m.BOOL: 3, m.ARRAY: (3, 4)}
        if key in INTEGER_KEYS:
            allowed |= {m.F32: 3, m.F64: 3}
        for kind, expected in allowed.items():
            yield gguf_case(f"{key}-as-type-{kind}", m.llama_gguf().set(key, kind, values[kind]),
                            expected, RUN, names=r"t\.gguf: " + key)
        yield gguf_case(f"{key}-missing", m.llama_gguf().drop(key),
                        3 if key in INTEGER_KEYS[:-1] else (0, 3), RUN)
    for key in INTEGER_KEYS:
        for number in (-1, 0, 2**31, 2**62):
            yield gguf_case(f"{key}-of-{number}", m.llama_gguf().set(key, m.I64, number), 3, RUN)
    yield gguf_case("layers-513", m.llama_gguf().set("llama.block_count", m.U32, 513), 3, RUN)
    yield gguf_case("heads-3", m.llama_gguf().set("llama.attention.head_count", m.U32, 3), 3, RUN)
    yield gguf_case("kv-heads-3", m.llama_gguf().set("llama.attention.head_count_kv", m.U32, 3), 3,
                    RUN)
    for number in (0, 1, 7, 9, 2**31, 2**32 - 1):
        yield gguf_case(f"rotary-{number}",
                        m.llama_gguf().set("llama.rope.dimension_count", m.U32, number),
                        (0, 3, 4), RUN)
    for text, value in (("nan", float("nan")), ("inf", float("inf")), ("minus", -1.0)):
        for key in REAL_KEYS:
            yield gguf_case(f"{key}-{text}", m.llama_gguf().set(key, m.F32, value), 3, RUN)
    for value in ("", "nonsense", "x" * 5000, "\x1b[2J\u202eevil", b"\xff\xfe"):
        shown = value.encode().hex()[:12] if isinstance(value, str) else value.hex()
        yield gguf_case(f"architecture-{shown}",
                        m.llama_gguf().set("general.architecture", m.STRING, value), (3, 4), RUN)
    strings = ["general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre"]
    for key in strings:
        for kind in (m.U32, m.F32, m.BOOL, m.ARRAY):
            yield gguf_case(f"{key}-as-type-{kind}", m.llama_gguf().set(key, kind, values[kind]), 3,
                            RUN if "arch" in key else TOKENIZE, names=key)
    for kind in (m.U32, m.BOOL, m.ARRAY):
        yield gguf_case(f"template-as-type-{kind}",
                        m.llama_gguf().set("tokenizer.chat_template", kind, values[kind]), 3, RUN)
    for key in ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"):
        for kind in (m.STRING, m.F32, m.BOOL, m.ARRAY):
            yield gguf_case(f"{key}-as-type-{kind}", m.llama_gguf().set(key, kind, values[kind]), 3,
                            TOKENIZE, names=key)
        for number in (-1, m.VOCABULARY, 2**31, 2**62):
            yield gguf_case(f"{key}-of-{number}", m.llama_gguf().set(key, m.I64, number), 3, TOKENIZE)
    for count in (0, 1, 2**31):
        yield gguf_case(f"split-count-{count}", m.llama_gguf().set("split.count", m.U32, count),
                        (0, 3, 4), RUN)


def gguf_tokenizer():
    def case(name, key, kind, value, expected=3):
        return gguf_case(f"tokenizer-{name}",
                         m.llama_gguf().set("tokenizer.ggml." + key, kind, value), expected, TOKENIZE)

    yield gguf_case("tokenizer-whole", m.llama_gguf(), 0, TOKENIZE)
    pieces = m.vocabulary()
    for key in ("model", "tokens"):
        yield gguf_case(f"tokenizer-without-{key}",
                        m.llama_gguf().drop("tokenizer.ggml." + key), 3, TOKENIZE)
    yield case("model-unknown", "model", m.STRING, "nonsense", 4)
    yield case("pre-unknown", "pre", m.STRING, "nonsense", 4)
    yield case("no-tokens", "tokens", m.ARRAY, (m.STRING, []))
    yield case("few-tokens", "tokens", m.ARRAY, (m.STRING, pieces[:50]))
    yield case("a-token-twice", "tokens", m.ARRAY, (m.STRING, pieces[:-1] + [pieces[-2]]))
    yield case("tokens-of-numbers", "tokens", m.ARRAY, (m.U32, [1] * len(pieces)))
    yield case("tokens-no-array", "tokens", m.STRING, "hello")
    for text in ("<0x-1>", "<0x100>", "<0xzz>", "<0x>", "", "\x1b]0;evil\x07", "\u202e", "a\0b"):
        changed = list(pieces)
        changed[60] = text
        file = m.llama_gguf().set("tokenizer.ggml.tokens", m.ARRAY, (m.STRING, changed))
        file.set("tokenizer.ggml.token_type", m.ARRAY, (m.I32, [1] * 60 + [6] + [1] * (len(pieces) - 61)))
        yield gguf_case(f"tokenizer-byte-token-{text.encode().hex()}", file, (0, 3, 4), TOKENIZE)
    invalid = [piece.encode() for piece in pieces]
    invalid[60] = b"\xff\xfe"
    yield case("token-not-utf8", "tokens", m.ARRAY, (m.STRING, invalid), (0, 3))
    for count in (0, 1, len(pieces) - 1, len(pieces) + 1):  # none is as good as absent
        yield case(f"{count}-types", "token_type", m.ARRAY, (m.I32, [1] * count), 3 if count else 0)
    yield case("types-of-strings", "token_type", m.ARRAY, (m.STRING, ["1"] * len(pieces)))
    for number in (-1, 0, 7, 2**31 - 1):
        yield case(f"type-{number}", "token_type", m.ARRAY, (m.I32, [number] * len(pieces)), (0, 3, 4))
    for text in ("", "h", "h e l", "x y", "\xff \xff", "h  e", " "):
        yield case(f"merge-{text.encode().hex()}", "merges", m.ARRAY, (m.STRING, [text]), 3)
    yield case("merges-of-numbers", "merges", m.ARRAY, (m.U32, [1]))
    for name, text in TEMPLATES.items():
        file = m.llama_gguf().set("tokenizer.chat_template", m.STRING, text)
        yield gguf_case(f"template-{name}", file, (1, 3, 4, 5), RUN)


def gguf_tensors():
    def case(name, change, expected=3, tensor="blk.0.attn_q.weight", arguments=INFO, names=r"t\.gguf"):
        file = m.llama_gguf()
        change(file.tensor(tensor))
        return gguf_case(f"tensor-{name}", file, expected, arguments, names)

    def setting(**values):
        return lambda tensor: tensor.update(values)

    for number in BAD_NUMBERS:
        yield case(f"dim-{number}", setting(dims=[number, 32]))
        yield case(f"row-{number}", setting(dims=[32, number]))
        if number:
            yield case(f"offset-{number}", setting(offset=number))
    for dims in ([2**32, 2**32], [2**31, 2**31, 4], [2**62, 4], [2**16] * 4, [3, 2**62 // 3 * 2]):
        yield case(f"dims-{'x'.join(map(str, dims))}", setting(dims=dims))
    for count in (0, 1, 3, 5, 8, 2**31, 2**32 - 1):
        yield case(f"n-dims-{count}", setting(n_dims=count), (3, 4))
    for kind in (4, 5, 31, 36, 99, 2**31, 2**32 - 1):
        yield case(f"type-{kind}", setting(type=kind), 4, names="blk.0.attn_q.weight")
    for kind in (m.GGML_F16, m.GGML_Q4_1, m.GGML_Q8_0):
        yield case(f"stored-as-type-{kind}", setting(type=kind), 3)
    yield case("row-of-half-a-block", setting(type=m.GGML_Q8_0, dims=[16, 64]))
    for name in ("", "x" * 256, "token_embd.weight"):
        yield case(f"name-of-{len(name)}", setting(name=name))
    for name in ("blk.-1.attn_q.weight", "blk.1.attn_q.weight", "blk.2147483648.attn_q.weight",
                 "blk.9223372036854775808.attn_q.weight", "blk.00.attn_q.weight", "direction.-1",
                 "\x1b[31mred", "\u202egnp.exe", "a\nb", b"\xff\xfe\xfd", "x" * 255, "../../etc/passwd"):
        shown = name.hex() if isinstance(name, bytes) else name.encode().hex()[:24]
        yield case(f"named-{shown}", setting(name=name), 0)
        yield case(f"named-{shown}-run", setting(name=name), (3, 4), arguments=RUN)
    for tensor in m.llama_gguf().tensors:
        name = tensor["name"]
        file = m.llama_gguf()
        file.tensors = [other for other in file.tensors if other["name"] != name]
        yield gguf_case(f"tensor-without-{name}", file, 3, RUN)
        if len(tensor["dims"]) == 2 and tensor["dims"][0] != tensor["dims"][1]:
            yield case(f"turned-{name}", setting(dims=tensor["dims"][::-1]), 3, name, RUN)
    for value in (float("nan"), float("inf")):
        data = struct.pack("<f", value) * (32 * 32)
        yield case(f"of-{value}", setting(data=data), 3, arguments=RUN,
                   names="blk.0.attn_q.weight")
    file = m.llama_gguf()
    file.tensors.append({"name": "extra.weight", "dims": [4], "type": 0, "data": bytes(16)})
    yield gguf_case("tensor-too-many", file, 4, RUN, names="extra.weight")
    yield gguf_case("data-missing", m.llama_gguf().header(), 3, RUN)
    overlap = m.llama_gguf()
    overlap.tensors[2]["offset"] = 0
    yield gguf_case("tensors-overlap", overlap, 3)


def raw_case(name, data, expected, arguments=("info", "@/t.safetensors", "--tensors"), names=r"t\.safetensors"):
    return Case("safetensors/" + name, {"t.safetensors": data}, list(arguments), codes(expected), names)


def safetensors_headers():
    whole = m.llama_safetensors().bytes()
    header, = struct.unpack("<Q", whole[:8])
    yield raw_case("whole", whole, 0)
    for size in (*range(9), 12, 8 + header // 2, 7 + header, 8 + header, len(whole) - 1):
        yield raw_case(f"cut-at-{size}", whole[:size], 3)
    for number in (0, 1, header - 1, header + 1, 2**31, 2**32, 99_999_999, 100_000_000, 100_000_001,
                   2**63, 2**64 - 1):
        yield raw_case(f"header-length-{number}", struct.pack("<Q", number) + whole[8:], 3)
    for text in ("", " {}", "[]", "null", "{", "}", "{}}", '{"a":}', "{'a':1}", "[{}]", '{"a":NaN}',
                 "{}\0", "\ufeff{}", '{"\ud83d":1}', '{"a":1,"a":2}', '{"__metadata__":1}',
                 '{"__metadata__":{"a":1}}', '{"__metadata__":{"a":"b","a":"c"}}', '{"a":[]}'):
        data = text.encode("utf-8", "surrogatepass")
        yield raw_case(f"header-{data.hex() or 'empty'}", m.raw_safetensors(data, b""), 3)
    for depth in (15, 20, 100, 5000, 200000):
        data = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
        yield raw_case(f"nested-{depth}", m.raw_safetensors(data, b""), (3, 5))
    yield raw_case("not-utf8", m.raw_safetensors(b'{"\xff":1}', b""), 3)
    yield raw_case("bytes-behind-the-data", whole + b"x", 3)
    yield raw_case("100000-tensors", m.raw_safetensors(m.dumps(
        {f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(100_000)}), b""),
        (0, 5))


def safetensors_entries():
    def case(name, entry, expected=3, data=bytes(24), tensor="w"):
        text = entry if isinstance(entry, str) else json.dumps(entry)
        header = f'{{"__metadata__":{{}},{json.dumps(tensor)}:{text}}}'.encode()
        return raw_case("entry-" + name, m.raw_safetensors(header, data), expected)

    good = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    yield case("whole", good, 0)
    for field in good:
        yield case(f"without-{field}", {key: good[key] for key in good if key != field})
        for value in (None, True, -1, 1.5, "x", {}, [None], [-1], [1.5], ["2"], [[2]], [2**63, 1],
                      [2**64], [1e300]):
            shown = json.dumps(value).replace(" ", "")
            unknown_dtype = field == "dtype" and value == "x"
            yield case(f"{field}-{shown}", {**good, field: value}, 4 if unknown_dtype else 3)
    for shape in ([0, 3], [2**32, 2**32], [2**62, 4], [2**31, 2**31, 2], [3, 2], [6, 1, 1], [24]):
        fine = shape in ([3, 2], [6, 1, 1])
        yield case(f"shape-{shape}", {**good, "shape": shape}, 0 if fine else 3)
    yield case("9-axes", {**good, "shape": [1] * 8 + [6]}, 4)
    yield case("100000-axes", {**good, "shape": [1] * 100_000}, (3, 4))
    for offsets in ([0, 0], [24, 0], [0, 23], [0, 25], [1, 25], [0, 2**32 + 24], [2**63 - 24, 2**63 - 1],
                    [0], [], [0, 24, 24], [24, 48], [-24, 0]):
        yield case(f"offsets-{offsets}", {**good, "data_offsets": offsets})
    for dtype in ("", "f32", "F31", "Q4_1", "F32 ", "\x1b[2J", "x" * 3000):
        yield case(f"dtype-{dtype.encode().hex()[:20]}", {**good, "dtype": dtype}, 4)
    yield case("a-field-twice", '{"dtype":"F32","dtype":"I8","shape":[2,3],"data_offsets":[0,24]}')
    for tensor in ("", "\x1b]8;;http://x\x07", "\u202eabc", "a\u0000b", "x" * 70_000, "\u009b2J"):
        yield case(f"name-{tensor.encode().hex()[:20]}-{len(tensor)}", good, 0, tensor=tensor)
        yield case(f"name-{tensor.encode().hex()[:20]}-{len(tensor)}-cut", good, 3, bytes(20), tensor)
    two = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
           "b": {"dtype": "F32", "shape": [4], "data_offsets": [16, 32]}}
    for name, begin, size in (("overlap", 12, 28), ("hole", 20, 36), ("same", 0, 16)):
        changed = copy.deepcopy(two)
        changed["b"]["data_offsets"] = [begin, begin + 16]
        yield raw_case("two-" + name, m.raw_safetensors(m.dumps(changed), bytes(size)), 3)
    yield raw_case("two-of-one-name", m.raw_safetensors(
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)), 3)


HOSTILE_NAMES = [
    "..", ".", "", "/", "../w", "../../etc/passwd", "a/../../w", "./w", "w/.", "w/..", "/etc/passwd",
    "//w", "a//w", "w/", "C:w", "C:\\w", "\\\\host\\share", "..\\w", "a\\..\\w", "file:///etc/passwd",
    "http://x/w", "w\0.safetensors", "w\n", "\x1b[2J", "w ", "w.", "...", ". ", ".. /w", "a/ /w", "x" * 256,
    "x" * 5000, "a/" * 200 + "w", "\u0085w", "w:stream", "%2e%2e/w\\", "/dev/zero", "/proc/self/mem", "..;/w",
    "~/w", "$HOME/w", "nul", "#../w", "w?x", "-rf", "*"]


def index_case(name, files, expected, names="index.json", arguments=INFO_FOLDER):
    return Case("index/" + name, files, list(arguments), codes(expected), names)


def index_files():
    whole = m.shards()
    index = json.loads(whole["model.safetensors.index.json"])
    first, second = (name for name in whole if "of" in name)
    yield index_case("whole", whole, 0)

    def with_index(value):
        data = value if isinstance(value, bytes) else m.dumps(value)
        return {**whole, "model.safetensors.index.json": data}

    for number, name in enumerate(HOSTILE_NAMES):
        weight_map = {**index["weight_map"], m.tensor_names()[0]: name}
        plain = name in ("~/w", "$HOME/w", "nul", "w?x", "-rf", "*", "..;/w")
        refused = with_index({"weight_map": weight_map})
        # A plain name that is not there is a missing file: the message names the shard.
        yield index_case(f"name-{number}-{name.encode().hex()[:16]}", refused, 3,
                         "safetensors|no such file" if plain else "index.json")
    for text in (b"", b"{}", b"[]", b"null", b"{", b'{"weight_map":null}', b'{"weight_map":[]}',
                 b'{"weight_map":{}}', b'{"weight_map":{"a":1}}', b'{"weight_map":{"a":["b"]}}',
                 b'{"weight_map":{"a":"b","a":"c"}}', b"\xff", b'{"weight_map":{"a":"\\ud800"}}'):
        yield index_case(f"text-{text.hex()[:40] or 'empty'}-{len(text)}", with_index(text), 3)
    deep = b'{"weight_map":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    yield index_case("nested", with_index(deep), (3, 5))
    many = {"weight_map": {f"t{n}": f"s{n}" for n in range(5000)}}
    yield index_case("5000-shards", with_index(many), 5)
    yield index_case("missing-shard", {k: v for k, v in whole.items() if k != second}, 3, second)
    yield index_case("swapped", {**whole, first: whole[second], second: whole[first]}, 3, "safetensors")
    yield index_case("tensor-unnamed", with_index(
        {"weight_map": dict(list(index["weight_map"].items())[1:])}), 3, first)
    yield index_case("tensor-missing", with_index(
        {"weight_map": {**index["weight_map"], "more": first}}), 3, first)
    for name, content, expected in (
            ("fifo", Fifo(), 4), ("folder", Folder(), 4), ("dev-zero", Link("/dev/zero"), 4),
            ("dev-tty", Link("/dev/tty"), (1, 3, 4)), ("proc", Link("/proc/self/mem"), (1, 3, 4)),
            ("circle", Link(second), (1, 3)), ("nowhere", Link("nothing"), 3),
            ("empty", b"", 3), ("text", b"hello", 3)):
        yield index_case("shard-is-" + name, {**whole, second: content}, expected, second)
    yield index_case("shard-is-a-link", {**{k: v for k, v in whole.items() if k != second},
                                         "blobs/abc": whole[second], second: Link("blobs/abc")}, 0)


BAD_VALUES = [None, True, "x", "", -1, 0, 1, 2**31, 2**63 - 1, 2**63, 1e308, -1e308, 0.5, [], {}, [1]]


def shown(value):
    return json.dumps(value, separators=(",", ":")).replace("/", "")


def folder_case(kind, name, changes, expected, arguments=RUN_FOLDER, names=None):
    """A whole folder with some files replaced, or left out when None."""
    files = {key: value for key, value in {**m.llama_folder(), **changes}.items() if value is not None}
    return Case(f"{kind}/{name}", files, list(arguments), codes(expected), names or r"\.json|/m")


def config_files():
    def case(name, config, expected, names=r"config\.json"):
        data = config if isinstance(config, bytes) else m.dumps(config)
        return folder_case("config", name, {"config.json": data}, expected, names=names)

    yield case("whole", m.config(), 0)
    yield folder_case("config", "missing", {"config.json": None}, 3)
    for text in (b"", b"[]", b"null", b"{", b"1", b'"x"', b"{}", b"\xff\xff", b"{}\0", b'{"a":1,"a":1}',
                 b'{"model_type":"llama"}', b"{" * 10000, b"[" * 300_000, b'{"a":' * 200_000):
        yield case(f"text-{text.hex()[:32] or 'empty'}-{len(text)}", text, (3, 4, 5))
    sizes = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "vocab_size", "max_position_embeddings"]
    for key in sizes:
        for value in BAD_VALUES:
            expected, names = 3, r"config\.json|tensor"
            if value == 1 and value is not True and key == "max_position_embeddings":
                expected, names = 6, "prompt"
            if value == 1 and value is not True and key == "num_hidden_layers":
                expected = 0  # so many there are
            yield case(f"{key}-{shown(value)}", {**m.config(), key: value}, expected, names)
    for key in ("num_key_value_heads", "head_dim"):
        for value in ("x", -1, 0, 3, 2**31, 2**63, 0.5, [], {}, True):
            yield case(f"{key}-{shown(value)}", {**m.config(), key: value}, 3, r"config\.json|tensor")
    for key in ("rms_norm_eps", "rope_theta"):
        for value in ("x", -1, 1e309, [], {}, True):
            yield case(f"{key}-{shown(value)}", {**m.config(), key: value}, 3)
    for key in ("tie_word_embeddings", "attention_bias", "mlp_bias"):
        for value in ("x", 1, [], {}):
            yield case(f"{key}-{shown(value)}", {**m.config(), key: value}, 3)
    for value in (1, [], {}, "", "nonsense", "x" * 3000, "\x1b[2J", None):
        yield case(f"model_type-{shown(value)[:24]}", {**m.config(), "model_type": value}, (3, 4))
        yield case(f"hidden_act-{shown(value)[:24]}", {**m.config(), "hidden_act": value},
                   (0, 3, 4))
    for value in ({"type": "linear", "factor": 0}, {"rope_type": "nonsense"}, {"type": 1},
                  {"rope_type": "longrope", "short_factor": [], "long_factor": [0]},
                  {"rope_type": "llama3", "factor": -1}):
        yield case(f"rope_scaling-{shown(value)}", {**m.config(), "rope_scaling": value}, (3, 4))
    for value in ([], "x", 1, {"quant_method": "gptq"}, {"quant_method": 1}):
        yield case(f"quantization_config-{shown(value)}", {**m.config(), "quantization_config": value},
                   (0, 3, 4))
    for name in m.tensor_names():
        rest = [other for other in m.tensor_names() if other != name]
        yield folder_case("config", f"weights-without-{name}",
                          {"model.safetensors": m.llama_safetensors(rest).bytes()}, 3,
                          names="tensor")


def packed_files():
    """model/phial_target.h: what describes a matrix, and the matrix."""
    name = "model.layers.0.mlp.down_proj.weight"
    key = "phial." + name
    good = json.loads(m.packed_safetensors().header["__metadata__"][key])

    def case(title, expected, change, names=r"model\.safetensors: model\.layers\.0"):
        file = m.packed_safetensors()
        change(file.header["__metadata__"], file.header[name])
        return folder_case("packed", title, {"model.safetensors": file.bytes()}, expected, names=names)

    def described(title, expected, value, names=r"model\.safetensors: model\.layers\.0"):
        text = value if isinstance(value, str) else json.dumps(value)
        return case(title, expected, lambda metadata, _: metadata.update({key: text}), names)

    yield described("whole", 0, good)
    yield described("members-to-come", 0, {**good, "made_by": "phial 9"})
    yield case("not-described", 3, lambda metadata, _: metadata.pop(key))
    for text in ("", "x", "{", "[]", "null", "{}", '"panels-1"', "{\"layout\":\"panels-1\"}", " " * 5000,
                 '{"layout":1,"layout":2}', "[" * 2000):
        # Without a description it is a tensor of bytes like any other.
        yield described(f"text-{text[:20].encode().hex() or 'empty'}", 3 if text == "" else (3, 5), text)
    for field in good:
        yield described(f"without-{field}", 3, {k: good[k] for k in good if k != field}, names=field)
    for layout in ("panels-2", "panels", "panels-1 ", "PANELS-1", "", "\x1b[2J", "x" * 3000):
        yield described(f"layout-{layout.encode().hex()[:20]}", 4, {**good, "layout": layout}, "layout")
    yield described("in-rows", 3, {**good, "layout": "rows-1"})
    for vector in ("model.norm.weight", "model.layers.0.input_layernorm.weight"):
        for text in (json.dumps(good), json.dumps({**good, "layout": "rows-1", "shape": [1, 64]}), "x"):
            yield case(f"described-{vector}-{len(text)}", 3,
                       lambda metadata, _, key=f"phial.{vector}", text=text: metadata.update({key: text}),
                       names=vector.replace(".", r"\."))
    for value in (None, 1, [], {}):
        yield described(f"layout-{value}", 3, {**good, "layout": value}, "layout")
    for grid in ("q4_9", "u8", "", "Q4_0"):
        yield described(f"grid-{grid}", 4, {**good, "grid": grid}, "grid")
    for grid in ("f32", "iq2_s", "q8_k", "q4_k"):
        yield described(f"grid-{grid}", 4, {**good, "grid": grid})
    for grid in ("q4_1", "q8_0", "f16", "mxfp4"):
        yield described(f"grid-{grid}", 3, {**good, "grid": grid}, "U8")
    for value in (None, 1, [], {}, True):
        yield described(f"grid-{value}", 3, {**good, "grid": value})
    affine = {"codes": "unsigned", "bits": 4, "group": 32, "scale": "f16", "offset": "middle"}
    yield described("affine", 0, {**good, "grid": affine})
    for field, values in (("codes", ("f8", "")), ("scale", ("f64", "F16")), ("offset", ("half", ""))):
        for value in values:
            yield described(f"affine-{field}-{value}", 4, {**good, "grid": {**affine, field: value}}, field)
    for offset in ("minimum", "real"):
        yield described(f"affine-e8m0-{offset}", 4, {**good, "grid": {**affine, "scale": "e8m0", "offset": offset}},
                        "offset")
    for field in affine:
        yield described(f"affine-without-{field}", 3,
                        {**good, "grid": {k: affine[k] for k in affine if k != field}}, field)
        yield described(f"affine-{field}-null", 3, {**good, "grid": {**affine, field: None}}, field)
    for bits in (0, -1, 9, 2**31, 2**63 - 1, 1.5, "4"):
        yield described(f"affine-bits-{bits}", 3, {**good, "grid": {**affine, "bits": bits}}, "bits")
    for bits in (1, 7):
        yield described(f"affine-bits-{bits}", 4, {**good, "grid": {**affine, "bits": bits}})
    for group in (0, -32, 2**31, 2**63 - 1):
        yield described(f"affine-group-{group}", 3, {**good, "grid": {**affine, "group": group}}, "group")
    for group in (1, 8, 24):
        yield described(f"affine-group-{group}", 4, {**good, "grid": {**affine, "group": group}})
    yield described("affine-group-16", 3, {**good, "grid": {**affine, "group": 16}}, "U8")
    for shape in (None, 1, [], [32], [32, 32, 1], [0, 32], [32, 0], [-32, 32], [32.0, 32], ["32", 32],
                  [2**63 - 1, 32], [32, 2**62], [2**40 + 1, 2**40]):
        yield described(f"shape-{shape}", 3, {**good, "shape": shape}, "shape")
    for shape in ([65, 32], [32, 64], [2**40, 32], [2**40, 2**40], [32, 2**40]):
        yield described(f"shape-{shape}", (3, 4), {**good, "shape": shape})
    for shape in ([31, 32], [64, 32]):
        yield described(f"shape-{shape}", 3, {**good, "shape": shape}, "shape")
    yield described("shape-[32, 33]", 4, {**good, "shape": [32, 33]})
    for dtype in ("I8", "BOOL", "F8_E4M3"):
        yield case(f"dtype-{dtype}", 3, lambda _, entry, dtype=dtype: entry.update(dtype=dtype), "U8")
    for shape in ([1152], [1152, 1], [2, 576], [1, 1, 1152]):
        yield case(f"tensor-{shape}", 3, lambda _, entry, shape=shape: entry.update(shape=shape), "U8")
    yield case("describes-nothing", 0, lambda metadata, _: metadata.update({"phial.x": "?"}))
    whole = m.packed_safetensors().bytes()
    for size in (len(whole) - 1, len(whole) - 1152, len(whole) // 2):
        yield folder_case("packed", f"cut-at-{size}", {"model.safetensors": whole[:size]}, 3,
                          names="model.safetensors")
    yield folder_case("packed", "panels-askew",
                      {"model.safetensors": m.raw_safetensors(
                          json.dumps(m.packed_safetensors().header).encode() + b" ",
                          m.packed_safetensors().data)}, 0, names="model.safetensors")


def generation_files():
    def case(name, data, expected):
        return folder_case("generation", name, {"generation_config.json": data}, expected,
                           names=r"generation_config\.json|config\.json")

    yield case("whole", m.dumps(m.generation_config()), 0)
    for text in (b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000):
        yield case(f"text-{text.hex()[:20] or 'empty'}-{len(text)}", text, (3, 5))
    wrong = {"do_sample": ["x", 1, []], "temperature": ["x", -1, [], True], "top_k": ["x", -1, 2**40, []],
             "top_p": ["x", -1, 1.5, []], "max_new_tokens": ["x", -1, 0.5, []],
             "eos_token_id": ["x", -1, 2**31, 0.5, [-1], [[1]], ["x"], {}]}
    for key, values in wrong.items():
        for value in values:
            yield case(f"{key}-{shown(value)}", m.dumps({**m.generation_config(), key: value}), 3)


def tokenizer_files():
    def case(name, content, expected=3, names="tokenizer"):
        data = content if isinstance(content, bytes) else m.dumps(content)
        return folder_case("tokenizer", name, {"tokenizer.json": data}, expected, TOKENIZE_FOLDER,
                           names)

    def changed(**members):
        return {**m.tokenizer_json(), **members}

    def model(**members):
        content = m.tokenizer_json()
        content["model"].update(members)
        return content

    yield case("whole", m.tokenizer_json(), 0)
    for key in m.tokenizer_json()["model"]:
        content = m.tokenizer_json()
        del content["model"][key]
        yield case(f"model-without-{key}", content, 3 if key in ("vocab", "merges") else (0, 3, 4))
        for value in (1, [], {}, "x"):
            yield case(f"model-{key}-{shown(value)}", model(**{key: value}), (0, 3, 4))
    for key in m.tokenizer_json():
        content = m.tokenizer_json()
        del content[key]
        yield case(f"without-{key}", content, 3 if key == "model" else (0, 3, 4))
        for value in (1, "x", [1], {"type": "Nonsense"}, {"type": 1}):
            yield case(f"{key}-{shown(value)}", changed(**{key: value}), (0, 3, 4))
    for text in (b"", b"[]", b"null", b"{", b"{}", b"\xff", b"{" * 20_000, b"[" * 300_000):
        yield case(f"text-{text.hex()[:20] or 'empty'}-{len(text)}", text, (3, 4, 5), r"tokenizer|/m")
    for number in (-1, 1, 2**24, 2**31, 2**32, 2**63, 0.5, "0", None):
        yield case(f"id-{shown(number)}", model(vocab={"a": 0, "b": number}, merges=[]), (3, 5))
        token = {**m.tokenizer_json()["added_tokens"][0], "id": number}
        yield case(f"added-id-{shown(number)}", changed(added_tokens=[token]), (3, 5))
    for content in ("", 1, None, "\x1b[2J", "x" * 100_000):
        token = {**m.tokenizer_json()["added_tokens"][0], "content": content}
        yield case(f"added-content-{shown(content)[:20]}", changed(added_tokens=[token]), (0, 3))
    for merge in (["h"], ["h", "e", "l"], ["x\u0001", "y"], [1, 2], "h", "h e l", "", " ", ["", ""],
                  ["h", ""], None, 1):
        yield case(f"merge-{shown(merge)}", model(merges=[merge]), 3)
    for pattern in ("(a+)+$", "(?=", "\\p{Nonsense}", "(" * 5000, "a{1000000000}", "[", "\\", "(?<n>a)\\k<n>"):
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        yield case(f"regex-{pattern.encode().hex()[:20]}", changed(pre_tokenizer=split), (0, 3, 4, 5))
    for key in ("pre_tokenizer", "normalizer", "decoder"):
        deep = {"type": "ByteLevel", "add_prefix_space": False}
        for _ in range(60):
            deep = {"type": "Sequence", "pretokenizers" if key == "pre_tokenizer" else key + "s": [deep]}
        yield case(f"deep-{key}", changed(**{key: deep}), (3, 4, 5))
    for values in ({"single": [{"SpecialToken": {"id": "nothing", "type_id": 0}}], "pair": [],
                    "special_tokens": {}},
                   {"single": 1}, {"single": [1]}, {"single": [{"Sequence": {"id": "B"}}]},
                   {"single": [], "special_tokens": {"x": {"id": "x", "ids": [10**9], "tokens": ["x"]}}}):
        processor = {"type": "TemplateProcessing", **values}
        yield case(f"template-{shown(values)[:60]}", changed(post_processor=processor), (0, 3, 4))


def tokenizer_side_files():
    for file in ("tokenizer_config.json", "special_tokens_map.json", "chat_template.json"):
        for text in (b"", b"[]", b"null", b"{", b"\xff", b"1", b"[" * 100_000, b'{"a":1,"a":1}'):
            yield folder_case("side", f"{file}-{text.hex()[:20] or 'empty'}-{len(text)}", {file: text},
                              (3, 5), TOKENIZE_FOLDER, file)
    for key in ("bos_token", "added_tokens_decoder", "chat_template", "model_max_length"):
        for value in (1, [], {}, [1], {"x": 1}, {"1": {"content": 1}}, {"-1": {"content": "a"}},
                      {"99999999999": {"content": "a"}}):
            config = {**m.tokenizer_config(), key: value}
            yield folder_case("side", f"{key}-{shown(value)}", {"tokenizer_config.json": m.dumps(config)},
                              (0, 3, 4, 5), TOKENIZE_FOLDER, "tokenizer")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
                 "chat_template.jinja"):
        for what, content in (("fifo", Fifo()), ("folder", Folder()), ("device", Link("/dev/zero"))):
            yield folder_case("side", f"{name}-is-a-{what}", {name: content}, 4, names=name)
    yield folder_case("side", "template-not-utf8", {"chat_template.jinja": b"\xff"}, 3, names="jinja")


# None of these gives a prompt.
TEMPLATES = {
    "open-block": "{% for x in", "open-expression": "{{ ", "unknown-tag": "{% include 'x' %}",
    "endless": "{% for i in range(1000000000) %}x{% endfor %}",
    "nested-loops": "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
    "repeat": "{{ 'x' * 1000000000 }}", "repeat-twice": "{{ ('x' * 100000) * 100000 }}",
    "doubling": "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}"
                "{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
    "list-doubling": "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}"
                     "{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "indent": "{{ 'x\ny' | indent(1000000000) }}", "tojson-indent": "{{ messages | tojson(indent=999999999) }}",
    "center": "{{ 'x' | center(1000000000) }}", "format": "{{ '%1000000000d' | format(1) }}",
    "recursion": "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "deep-parentheses": "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}",
    "deep-lists": "{{ " + "[" * 100_000 + "]" * 100_000 + " }}",
    "deep-ifs": "{% if 1 %}" * 20_000, "deep-not": "{{ " + "not " * 200_000 + "1 }}",
    "deep-minus": "{{ " + "-" * 200_000 + "1 }}", "deep-filters-call": "{{ x" + "(y" * 50_000 + " }}",
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ messages.__init__.__globals__ }}", "lipsum": "{{ lipsum.__globals__.os.popen('id') }}",
    "self": "{{ self.__init__.__globals__ }}", "cycler": "{{ cycler.__init__.__globals__['os'] }}",
    "attr": "{{ ''|attr('__class__')|attr('__base__') }}", "import": "{% import 'os' as os %}{{ os }}",
    "mutate": "{{ messages.append(1) }}", "division": "{{ 1 / 0 }}", "modulo": "{{ 1 % 0 }}",
    "overflow": "{{ 9223372036854775807 + 1 }}", "power": "{{ 10 ** 10 ** 10 }}",
    "negative-power": "{{ 0 ** -1 }}", "raise": "{{ raise_exception('\x1b[2Jno') }}",
    "undefined-attribute": "{{ x.y.z }}", "undefined-call": "{{ x() }}", "index": "{{ [1][5].x }}",
    "wrong-types": "{{ 'a' + 1 }}", "strftime": "{{ strftime_now(1) }}",
    "slice-zero": "{{ [1,2][::0] }}", "not-closed-string": "{{ 'x }}", "nul": "{{ 'a' }}\0{% ",
}


def template_files():
    messages = m.dumps([{"role": "user", "content": "Hi"}])
    for name, text in TEMPLATES.items():
        yield Case(f"template/{name}", {"t.jinja": text.encode(), "messages.json": messages},
                   ["template", "--template", "@/t.jinja", "--messages", "@/messages.json"],
                   codes((1, 3, 4, 5)), "t.jinja|template|line")
    for name, content, expected in (("folder", Folder(), (3, 4)), ("not-utf8", b"\xff", 3)):
        yield Case(f"template/is-{name}", {"t.jinja": content, "messages.json": messages},
                   ["template", "--template", "@/t.jinja", "--messages", "@/messages.json"],
                   codes(expected), "t.jinja")


def json_inputs():
    texts = {"empty": b"", "open": b"[", "null": b"null", "number": b"1", "string": b'"x"', "not-utf8": b"\xff",
             "nul": b"[]\0", "twice": b'[{"role":"a","role":"b"}]', "deep": b"[" * 100_000,
             "deep-closed": b"[" * 100_000 + b"]" * 100_000, "bom": b"\xef\xbb\xbf[]",
             "trailing": b"[1,]", "surrogate": b'["\\ud800"]', "huge-number": b"[1e999]",
             "long-number": b"[" + b"9" * 100_000 + b"]", "comment": b"[/*1*/]"}
    template = m.TEMPLATE.encode()
    for name, text in texts.items():
        files = {"t.jinja": template, "x.json": text, "messages.json": b'[{"role":"user","content":"a"}]'}
        base = ["template", "--template", "@/t.jinja"]
        for flag in ("--messages", "--tools", "--vars"):
            arguments = base + [flag, "@/x.json"]
            if flag != "--messages":
                arguments += ["--messages", "@/messages.json"]
            # [1e999] and a lone surrogate are refused by the grammar; duplicate keys by the rules.
            yield Case(f"json/{flag[2:]}-{name}", files, arguments, codes((1, 3, 5)), r"x\.json")
        model = {**m.llama_folder(), "x.json": text}
        yield Case(f"json/prompt-ids-{name}", model,
                   ["run", "@", "--prompt-ids", "@/x.json", "--max-new-tokens", "1"], codes(3), r"x\.json")
        yield Case(f"json/ids-{name}", model,
                   ["logits", "@", "--ids", "@/x.json", "--out", "@/out.npy"], codes(3), r"x\.json")
        yield Case(f"json/system-{name}", model,
                   ["run", "@", "--messages", "@/x.json", "--system", "Be terse.", "--max-new-tokens", "1"],
                   # A byte order mark is gone when the messages are written again.
                   codes(0 if name == "bom" else (1, 3, 5)), r"x\.json")
    for ids in ("[-1]", "[2147483648]", "[1.5]", '["1"]', "[[1]]", "[99999]", "[null]", "[true]"):
        model = {**m.llama_folder(), "x.json": ids.encode()}
        yield Case(f"json/ids-{ids}", model,
                   ["logits", "@", "--ids", "@/x.json", "--out", "@/out.npy"], codes(3), r"x\.json|logits|step|ids|vocab")
    for value in (1, None, "x", [], {}, [1], {"role": 1}, {"content": "x"}, {"role": "user"},
                  {"role": "user", "content": [1]}, {"role": ["x"], "content": {}}):
        yield Case(f"json/message-{shown(value)}",
                   {"t.jinja": template, "x.json": m.dumps([value])},
                   ["template", "--template", "@/t.jinja", "--messages", "@/x.json"], codes((0, 1, 3)),
                   "x.json|template|t.jinja")


def other_files():
    for name, content in (("pickle", b"\x80\x04\x95"), ("zip", b"PK\3\4" + bytes(100)), ("elf", b"\x7fELF"),
                          ("npy", m.npy()), ("text", b"hello"), ("empty", b""), ("zeros", bytes(1000)),
                          ("script", b"#!/bin/sh\nexit 1\n")):
        yield Case(f"other/{name}", {"t.bin": content}, ["info", "@/t.bin"], codes(4), r"t\.bin")
    for name, content in (("fifo", Fifo()), ("dev-zero", Link("/dev/zero")), ("dev-full", Link("/dev/full")),
                          ("stdin", Link("/dev/stdin"))):
        for arguments in (INFO, TOKENIZE, RUN):
            # stdin may be an empty file.
            yield Case(f"other/{name}-{arguments[0]}", {"t.gguf": content}, arguments,
                       codes((3, 4) if name == "stdin" else 4), r"t\.gguf")
    yield Case("other/circle", {"t.gguf": Link("t.gguf")}, INFO, codes((1, 3)), r"t\.gguf")
    yield Case("other/empty-folder", {}, INFO_FOLDER, codes(4), "/m")
    yield Case("other/two-models", {"a.gguf": b"GGUF", "b.gguf": b"GGUF"}, INFO_FOLDER, codes(4), "/m")
    yield Case("other/missing", {}, INFO, codes(3), r"t\.gguf")
    # Nothing in a name reaches the terminal as it is.
    evil = "t\x1b[2J\u202e.gguf"
    yield Case("other/evil-name", {evil: b"GGUF"}, ["info", "@/" + evil], codes(3), r"\\x1b")


def all_cases():
    for make in (gguf_headers, gguf_metadata, gguf_tokenizer, gguf_tensors, safetensors_headers,
                 safetensors_entries, index_files, config_files, packed_files, generation_files, tokenizer_files,
                 tokenizer_side_files, template_files, json_inputs, other_files):
        yield from make()
