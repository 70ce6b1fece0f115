"""Tokenizers in the shape of published ones, with vocabularies of our own: NAME to a function of a corpus that gives
what tokenizer.json holds."""

import json
import math

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from golden_charsmap import charsmap

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
BYTES_GPT2 = {**BYTES, "use_regex": True}
BYTE_DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
MARK = "\u2581"
LLAMA_DECODER = [
    {"type": "Replace", "pattern": {"String": MARK}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
]
# A few rules of SentencePiece's nmt_nfkc and of our own: controls dropped, wide forms narrowed, a ligature that grows, a
# letter with its mark, and a string that another begins with.
CHARSMAP = charsmap({
    "\t": " ", "\n": " ", "\r": " ", "\r\n": "<crlf>", "\x01": "", "\u00a0": " ", "\u3000": " ", "\u2003": " ", "\u200b": " ",
    "\ufb01": "fi", "\u00bd": "1\u20442", "\uff21": "A", "\uff22": "B", "\uff11": "1", "\u2460": "1", "\u2026": "...", "e\u0301": "\u00e9",
    "n\u0303": "\u00f1", "\u212b": "\u00c5", "\u00b2": "2", "\u2167": "VIII", "\ufdfa": "\u0635\u0644\u0649", "\u200d": "",
})


def added(first_id, *tokens):
    """(content, {flags that differ from those of a special token})"""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": first_id + i, "content": content, **plain, **flags} for i, (content, flags) in enumerate(tokens)]


def sequence(key, *steps):
    return {"type": "Sequence", key: list(steps)}


def regex_split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def string_split(text, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"String": text}, "behavior": behavior, "invert": invert}


def template(before, after, ids):
    def special(token):
        return {"SpecialToken": {"id": token, "type_id": 0}}

    single = [special(t) for t in before] + [{"Sequence": {"id": "A", "type_id": 0}}] + [special(t) for t in after]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in {*before, *after}},
    }


def document(model, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None, added_tokens=()):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(added_tokens),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }


def trained(corpus, size, normalizer=None, pre_tokenizer=None, first=(), alphabet=False, **options):
    """The model of a BPE that is trained behind these steps."""
    shell = document({"type": "BPE", "vocab": {}, "merges": []}, normalizer, pre_tokenizer)
    tokenizer = Tokenizer.from_str(json.dumps(shell))
    affixes = {k: v for k, v in options.items() if k in ("continuing_subword_prefix", "end_of_word_suffix")}
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(first), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [], **affixes)
    tokenizer.train_from_iterator(corpus, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return {**model, **options}


def byte_level(corpus, size, pre_tokenizer, tokens=(), normalizer=None, post=None, **options):
    model = trained(corpus, size, normalizer, pre_tokenizer, alphabet=True, **options)
    tokens = added(len(model["vocab"]), *tokens)
    ids = {t["content"]: t["id"] for t in tokens}
    return document(model, normalizer, pre_tokenizer, post(ids) if post else None, BYTE_DECODER, tokens)


ENDOFTEXT = ("<|endoftext|>", {})


def gpt2(corpus):
    return byte_level(corpus, 420, BYTES_GPT2, [ENDOFTEXT])


def llama3(corpus):
    made = byte_level(
        corpus, 420, sequence("pretokenizers", regex_split(LLAMA3), BYTES), [("<|begin_of_text|>", {}), ("<|eot_id|>", {})],
        post=lambda ids: sequence("processors", BYTES, template(["<|begin_of_text|>"], [], ids)), ignore_merges=True)
    return made


def qwen2(corpus):
    return byte_level(
        corpus, 420, sequence("pretokenizers", regex_split(QWEN2), BYTES),
        [ENDOFTEXT, ("<|im_start|>", {}), ("<|im_end|>", {})], normalizer={"type": "NFC"})


def phi4(corpus):
    return byte_level(
        corpus, 420, sequence("pretokenizers", regex_split(O200K, "Removed", True), BYTES),
        [ENDOFTEXT, ("<|end|>", {"rstrip": True})])


def deepseek(corpus):
    return byte_level(
        corpus, 420,
        sequence("pretokenizers", regex_split(r"\p{N}{1,3}"), regex_split("[一-龥぀-ゟ゠-ヿ]+"), regex_split(DEEPSEEK), BYTES),
        [("<｜begin▁of▁sentence｜>", {}), ("<|im_end|>", {"special": False, "normalized": True})],
        post=lambda ids: template(["<｜begin▁of▁sentence｜>"], [], ids))


def falcon(corpus):
    return byte_level(
        corpus, 420,
        sequence("pretokenizers", {"type": "Punctuation", "behavior": "Contiguous"}, BYTES_GPT2,
                 {"type": "Digits", "individual_digits": False}, regex_split("[0-9][0-9][0-9]")), [ENDOFTEXT])


def starcoder(corpus):
    return byte_level(
        corpus, 420, sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, BYTES_GPT2), [ENDOFTEXT])


def bloom(corpus):
    return byte_level(corpus, 420, sequence("pretokenizers", regex_split(BLOOM), BYTES), [("<s>", {}), ("<pad>", {})])


def roberta(corpus):
    return byte_level(
        corpus, 420, {**BYTES_GPT2, "add_prefix_space": True},
        [("<s>", {}), ("</s>", {}), ("<mask>", {"lstrip": True})],
        post=lambda ids: {"type": "RobertaProcessing", "sep": ["</s>", ids["</s>"]], "cls": ["<s>", ids["<s>"]],
                          "trim_offsets": True, "add_prefix_space": True})


def clip(corpus):
    normalizer = sequence(
        "normalizers", {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
        {"type": "Lowercase"})
    pre = sequence("pretokenizers", regex_split(CLIP, "Removed", True), BYTES)
    model = trained(corpus, 300, normalizer, pre, alphabet=True, end_of_word_suffix="</w>")
    for c in sorted(pre_tokenizers.ByteLevel.alphabet()):
        model["vocab"].setdefault(c + "</w>", len(model["vocab"]))
    model.update(unk_token="<|endoftext|>", continuing_subword_prefix="")
    model["vocab"].update({"<|startoftext|>": len(model["vocab"]), "<|endoftext|>": len(model["vocab"]) + 1})
    begin, end = model["vocab"]["<|startoftext|>"], model["vocab"]["<|endoftext|>"]
    post = {"type": "RobertaProcessing", "sep": ["<|endoftext|>", end], "cls": ["<|startoftext|>", begin],
            "trim_offsets": False, "add_prefix_space": False}
    return document(model, normalizer, pre, post, BYTE_DECODER,
                    added(begin, ("<|startoftext|>", {"normalized": True, "special": True}), ("<|endoftext|>", {})))


def byte_normalizer(corpus):
    """Bytes mapped by the normalizer, cut afterwards, and another ByteLevel behind: the alphabet twice."""
    normalizer = sequence("normalizers", {"type": "NFD"}, {"type": "ByteLevel"})
    pre = sequence("pretokenizers", string_split("\u0120", "MergedWithNext"), BYTES)
    return byte_level(corpus, 400, pre, [ENDOFTEXT, ("token", {"normalized": True, "special": False})], normalizer=normalizer)


def byte_pieces(model):
    """<0x00> ... <0xFF> behind the unknown piece, and room made for them."""
    first = [t for t in ("<unk>", "<s>", "</s>") if t in model["vocab"]]
    pieces = first + [f"<0x{b:02X}>" for b in range(256)] + [p for p in model["vocab"] if p not in first]
    model["vocab"] = {piece: i for i, piece in enumerate(pieces)}
    return model


def sentencepiece_bpe(corpus, normalizer, pre_tokenizer, size=260, first=("<unk>", "<s>", "</s>")):
    # Words apart while training, as SentencePiece does; the model then sees whole texts.
    words = sequence("pretokenizers", {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True})
    model = trained(corpus, size, None, words, first=first)
    model.update(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    runs = [MARK * n for n in (2, 4, 8)]
    for run in runs:
        model["vocab"].setdefault(run, len(model["vocab"]))
        half = run[: len(run) // 2]
        model["merges"].append([half, half])
    return byte_pieces(model)


LLAMA_NORMALIZER = sequence(
    "normalizers", {"type": "Prepend", "prepend": MARK},
    {"type": "Replace", "pattern": {"String": " "}, "content": MARK})


def llama2(corpus):
    model = sentencepiece_bpe(corpus, LLAMA_NORMALIZER, None)
    tokens = added(0, ("<unk>", {}), ("<s>", {}), ("</s>", {}))
    return document(model, LLAMA_NORMALIZER, None, template(["<s>"], [], {"<s>": 1}),
                    sequence("decoders", *LLAMA_DECODER), tokens)


def phi3(corpus):
    model = sentencepiece_bpe(corpus, LLAMA_NORMALIZER, None)
    tokens = added(0, ("<unk>", {}), ("<s>", {}), ("</s>", {"rstrip": True, "special": False}))
    tokens += added(len(model["vocab"]), ENDOFTEXT, ("<|im_start|>", {"rstrip": True}), ("<|im_end|>", {"rstrip": True}))
    return document(model, LLAMA_NORMALIZER, None, None, sequence("decoders", *LLAMA_DECODER), tokens)


def gemma(corpus):
    normalizer = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
    model = sentencepiece_bpe(corpus, normalizer, None, size=240)
    for line in ("\n", "\n\n", "\n\n\n"):
        model["vocab"].setdefault(line, len(model["vocab"]))
    model["merges"] += [["\n", "\n"], ["\n\n", "\n"]]
    tokens = added(0, ("<unk>", {}), ("<s>", {}), ("</s>", {}))
    tokens += added(len(model["vocab"]), ("[A]", {"special": False}), ("<mask>", {"normalized": True}))
    return document(model, normalizer, string_split(" ", "MergedWithPrevious"), template(["<s>"], [], {"<s>": 1}),
                    sequence("decoders", *LLAMA_DECODER[:3]), tokens)


def mistral(corpus):
    """Metaspace in front of the first part only, the rest of the text one word; a merge that crosses the mark."""
    pre = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "first", "split": False}
    model = sentencepiece_bpe(corpus, None, pre)
    model["vocab"]["." + MARK] = len(model["vocab"])
    model["merges"].append([".", MARK])
    decoder = sequence("decoders", *LLAMA_DECODER)
    return document(model, None, pre, template(["<s>"], ["</s>"], {"<s>": 1, "</s>": 2}), decoder,
                    added(0, ("<unk>", {}), ("<s>", {}), ("</s>", {})))


def few_bytes(corpus):
    """Some bytes have pieces and some do not; unknown characters stay apart; stripped ends before Metaspace."""
    pre = {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": True}
    model = sentencepiece_bpe(corpus, None, pre, size=200)
    gone = {f"<0x{b:02X}>" for b in range(0xC0, 0xE3)}
    model["vocab"] = {p: i for i, p in enumerate(p for p in model["vocab"] if p not in gone)}
    model["vocab"]["_"] = len(model["vocab"])
    model["fuse_unk"] = False
    decoder = sequence("decoders", {"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": True})
    return document(model, {"type": "Strip", "strip_left": True, "strip_right": True}, pre, None, decoder,
                    added(0, ("<unk>", {}), ("<s>", {"lstrip": True}), ("</s>", {"rstrip": True})))


def unigram(corpus, first, normalizer, size=330, byte_fallback=False, **options):
    """Pieces of a trained BPE with scores that fall with their rank."""
    words = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True}
    pieces = list(trained(corpus, size, normalizer, words)["vocab"])
    if byte_fallback:
        first = list(first) + [f"<0x{b:02X}>" for b in range(256)]
    ranked = [p for p in pieces if len(p) > 1] + [p for p in pieces if len(p) == 1]
    vocab = [[p, 0.0] for p in first]
    vocab += [[p, -2.0 - math.log(i + 1.5) * 1.37 - 0.6 * (len(p) == 1)] for i, p in enumerate(ranked) if p not in first]
    return {"type": "Unigram", "unk_id": list(first).index("<unk>"), "vocab": vocab, "byte_fallback": byte_fallback, **options}


METASPACE = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True}
PRECOMPILED = {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}


def t5(corpus):
    model = unigram(corpus, ["<pad>", "</s>", "<unk>"], PRECOMPILED)
    tokens = added(0, ("<pad>", {}), ("</s>", {}), ("<unk>", {}))
    tokens += added(len(model["vocab"]), ("<mask>", {"lstrip": True, "rstrip": True}), ("<extra_id_0>", {}))
    return document(model, PRECOMPILED, sequence("pretokenizers", {"type": "WhitespaceSplit"}, METASPACE),
                    template([], ["</s>"], {"</s>": 1}), METASPACE, tokens)


def xlnet(corpus):
    normalizer = sequence(
        "normalizers", {"type": "Replace", "pattern": {"String": "``"}, "content": "\""},
        {"type": "Replace", "pattern": {"String": "''"}, "content": "\""}, {"type": "NFKD"}, {"type": "StripAccents"},
        {"type": "Lowercase"}, PRECOMPILED)
    model = unigram(corpus, ["<unk>", "<s>", "</s>", "<cls>", "<sep>"], normalizer)
    return document(model, normalizer, METASPACE, template([], ["<sep>", "<cls>"], {"<sep>": 4, "<cls>": 3}), METASPACE,
                    added(0, ("<unk>", {}), ("<s>", {}), ("</s>", {}), ("<cls>", {}), ("<sep>", {})))


def albert(corpus):
    normalizer = sequence(
        "normalizers", {"type": "Replace", "pattern": {"Regex": "`+|'{2,}"}, "content": "\""}, {"type": "NFKC"},
        {"type": "Strip", "strip_left": False, "strip_right": True}, PRECOMPILED,
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": MARK})
    model = unigram(corpus, ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], normalizer)
    tokens = added(0, ("<pad>", {}), ("<unk>", {}), ("[CLS]", {}), ("[SEP]", {}), ("[MASK]", {"lstrip": True}))
    return document(model, normalizer, {**METASPACE, "prepend_scheme": "never"},
                    template(["[CLS]"], ["[SEP]"], {"[CLS]": 2, "[SEP]": 3}), {**METASPACE, "prepend_scheme": "never"}, tokens)


def unigram_bytes(corpus):
    """Whole texts at once, bytes for what has no piece, a piece twice, and scores that tie."""
    normalizer = sequence("normalizers", {"type": "Nmt"}, {"type": "NFKC"})
    model = unigram(corpus, ["<s>", "<unk>", "</s>"], normalizer, byte_fallback=True)
    model["vocab"] += [["the", -4.5], ["th", -4.0], ["he", -4.0], ["h", -6.25], ["quick", -3.1], ["xyz", -30.0]]
    return document(model, normalizer, {**METASPACE, "prepend_scheme": "first", "split": False}, None,
                    sequence("decoders", {"type": "Replace", "pattern": {"Regex": MARK + "+"}, "content": " "},
                             {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 2}),
                    added(0, ("<s>", {}), ("<unk>", {}), ("</s>", {})))


def scripts(corpus):
    """Cut by script; no decoder at all; a piece that only a run of unknown characters spells."""
    normalizer = {"type": "NFKC"}
    model = unigram(corpus, ["<unk>"], normalizer)
    model["vocab"] += [["qqqq", -400.0], ["\u2603\u2603", -500.0]]
    return document(model, normalizer, sequence("pretokenizers", {"type": "UnicodeScripts"}, METASPACE), None, None,
                    added(0, ("<unk>", {})))


def word_piece(corpus, size, first, normalizer, pre_tokenizer, **options):
    model = trained(corpus, size, normalizer, pre_tokenizer, first=first, continuing_subword_prefix="##")
    return {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": model["vocab"], **options}


BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def bert(corpus):
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    pre = {"type": "BertPreTokenizer"}
    model = word_piece(corpus, 420, BERT_TOKENS, normalizer, pre)
    return document(model, normalizer, pre, template(["[CLS]"], ["[SEP]"], {"[CLS]": 2, "[SEP]": 3}),
                    {"type": "WordPiece", "prefix": "##", "cleanup": True}, added(0, *[(t, {}) for t in BERT_TOKENS]))


def distilbert_cased(corpus):
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    pre = {"type": "BertPreTokenizer"}
    model = word_piece(corpus, 420, BERT_TOKENS, normalizer, pre, max_input_chars_per_word=12)
    post = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    return document(model, normalizer, pre, post, {"type": "WordPiece", "prefix": "##", "cleanup": False},
                    added(0, *[(t, {}) for t in BERT_TOKENS])
                    + added(len(model["vocab"]), ("Token", {"special": False, "normalized": True, "single_word": True})))


def prefixed_bpe(corpus):
    """BPE whose inner pieces carry a prefix, and unknown characters of which a run is one."""
    normalizer = sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"})
    pre = {"type": "Whitespace"}
    model = trained(corpus, 420, normalizer, pre, first=["<unk>"], continuing_subword_prefix="##")
    model.update(unk_token="<unk>", fuse_unk=True)
    return document(model, normalizer, pre, None, {"type": "WordPiece", "prefix": "##", "cleanup": True},
                    added(0, ("<unk>", {})) + added(len(model["vocab"]), ("Mask\u00c9", {"special": False, "normalized": True})))


def openai_gpt(corpus):
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": True, "lowercase": True}
    pre = {"type": "BertPreTokenizer"}
    model = trained(corpus, 420, normalizer, pre, first=["<unk>"], end_of_word_suffix="</w>")
    model.update(unk_token="<unk>")
    return document(model, normalizer, pre, None, {"type": "BPEDecoder", "suffix": "</w>"}, added(0, ("<unk>", {})))


def wav2vec2(corpus):
    """Letters, and a decoder that takes repeats, blanks and marks away."""
    letters = "ETAONIHSRDLUMWCFGYPBVK'XJQZ.,!?"
    vocab = {t: i for i, t in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *letters])}
    normalizer = sequence("normalizers", {"type": "Replace", "pattern": {"String": " "}, "content": "|"})
    pre = {"type": "FixedLength", "length": 1}
    return document({"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}, normalizer, pre, None,
                    {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
                    added(0, ("<pad>", {}), ("<s>", {}), ("</s>", {}), ("<unk>", {})))


def word_level(corpus):
    """Words as they are, and none for those that the vocabulary lacks: such texts are refused."""
    words = sorted({w for text in corpus for w in text.lower().split(" ") if w} | set("abcdefg"))
    vocab = {w: i for i, w in enumerate(words)}
    normalizer = sequence("normalizers", {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": True})
    return document({"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}, normalizer,
                    {"type": "CharDelimiterSplit", "delimiter": " "}, None, None,
                    added(len(vocab), ("<mask>", {"lstrip": True, "rstrip": True}), ("[A]", {"special": False})))


def cutting(corpus):
    """Every way to cut, one behind the other."""
    pre = sequence(
        "pretokenizers", string_split("  ", "Contiguous"), regex_split(r"\d", "MergedWithPrevious"), string_split(".", "MergedWithNext"),
        regex_split("[a-f]+", "Contiguous", True), {"type": "Punctuation", "behavior": "MergedWithPrevious"}, string_split("e", "Removed"),
        regex_split("x*", "MergedWithNext"), {"type": "FixedLength", "length": 7})
    model = trained(corpus, 420, None, pre, first=["<unk>"])
    model.update(unk_token="<unk>", fuse_unk=True)
    decoder = sequence("decoders", {"type": "Replace", "pattern": {"String": "th"}, "content": "<th>"}, {"type": "Fuse"},
                       {"type": "Replace", "pattern": {"String": "en"}, "content": "N"}, {"type": "Strip", "content": "a", "start": 2, "stop": 3})
    return document(model, None, pre, None, decoder, added(0, ("<unk>", {})))


def flags(corpus):
    """Every flag of added tokens, behind a normalizer."""
    normalizer = sequence("normalizers", {"type": "NFKC"}, {"type": "Lowercase"})
    pre = sequence("pretokenizers", {"type": "Whitespace"}, {"type": "Punctuation", "behavior": "Removed"})
    model = word_piece(corpus, 300, BERT_TOKENS, normalizer, pre)
    size = len(model["vocab"])
    tokens = added(0, *[(t, {}) for t in BERT_TOKENS]) + added(
        size, ("<mask>", {"lstrip": True}), ("<|endoftext|>", {"rstrip": True, "normalized": True}), ("TOKEN", {"single_word": True, "normalized": True, "special": False}),
        ("tokens", {"single_word": True, "special": False}), ("[A]", {"lstrip": True, "rstrip": True, "normalized": True, "special": False}),
        ("[AB]", {"rstrip": True}), ("\n\n", {"special": False}), ("\uff21\uff22", {"normalized": True, "special": True}))
    return document(model, normalizer, pre, template(["[CLS]", "[CLS]"], ["[SEP]"], {"[CLS]": 2, "[SEP]": 3}),
                    sequence("decoders", {"type": "WordPiece", "prefix": "##", "cleanup": True}), tokens)


PIPELINES = {
    make.__name__: make
    for make in (
        gpt2, llama3, qwen2, phi4, deepseek, falcon, starcoder, bloom, roberta, clip, byte_normalizer, llama2, phi3, gemma, mistral,
        few_bytes, t5, xlnet, albert, unigram_bytes, scripts, bert, distilbert_cased, prefixed_bpe, openai_gpt, wav2vec2, word_level,
        cutting, flags)
}
