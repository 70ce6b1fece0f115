#!/usr/bin/env python3
"""Makes tests/golden/tokenizers: small tokenizers of the real pipelines, and what they answer.

Needs the pinned judge: pip install tokenizers==0.23.3
Run: python3 tests/golden/make_tokenizers.py  (deterministic; overwrites the files in place)

NAME/tokenizer.json   as Hugging Face writes it (merges as "a b" strings in gpt2 and phi2)
NAME/vectors.jsonl    one object a line:
    text          what was encoded; absent in lines that only decode
    ids           with special tokens added
    plain         without; absent when the same
    decoded       of ids, special tokens kept
    skipped       of ids, special tokens left out; absent when the same
"""

import json
import pathlib
import random

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).resolve().parent / "tokenizers"

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CORPUS = [
    "The quick brown fox jumps over the lazy dog. It's the dog's day, isn't it? They're here.",
    "I'll say we've said what you'd say; I'm sure. WE'LL SEE, THEY'RE LATE, DON'T ASK.",
    "def fib(n):\n    if n < 2:\n        return n\n    return fib(n - 1) + fib(n - 2)\n",
    "for (int i = 0; i < 100; ++i) {\n\tsum += values[i] * 3.14159;\n}\n",
    "In 1984 there were 3 of 12,345,678 at 9:41; 2024-02-29 is a date and 0x7fff a number.",
    "Führer, façade, naïve, coöperate, Ærøskøbing, żółć, İstanbul, ñandú, Größe.",
    "Привет, как дела? Всё хорошо, спасибо. Нещо на Български.",
    "日本語のテスト。中文测试，你好世界。한국어 시험입니다.",
    "مرحبا بالعالم. שלום עולם. हिन्दी में परीक्षण। ภาษาไทยไม่มีวรรค",
    "Xin chào, Cửa Việt, tiếng Việt có dấu. Ελληνικά γράμματα.",
    "🙂 😀 👍🏽 👩‍👩‍👧‍👦 🇩🇪🇫🇷 ❤️ ✨ emoji and \u200djoiners",
    "<html><body class=\"a b\">&amp; &lt;tag/&gt;</body></html> https://example.org/?q=1&r=2",
    "  leading, double  spaces,   triple    and    tabs\t\there \r\nand CRLF\r\n\r\nlines\n\n\nend   ",
    "once upon a time there was a small model that read and read and never stopped reading",
]

FRAGMENTS = [
    "Hello", " world", "the", " The", "don't", "DON'T", "we'LL", "it's", "IT'S", "'s", "'S", "' s", "''s",
    "'\u017f", "'\u017ft", "I'\u0130", "'d'm've", "'re", "'Re", "'VE", "'x", "\u2019s", "1", "12", "123", "1234567",
    " 3", " 45 ", "3.14", "1,000", "x1y22z", "\u00b2", "\u00bd", "\u2167", "\u0663\u0664", "\u0967\u0968", "\u2460",
    "\u3007", "\U0001d7d8", " ", "  ", "   ", "       ", "\t", "\t\t", " \t ", "\n", "\n\n", "\r\n", "\r", " \n ",
    "\n  ", "  \n", "\u00a0", "\u00a0\u00a0", " \u00a0", "\u3000", "\u2003", "\u2028", "\u0085", "\u200b", "\u200d",
    "\ufeff", "\x0b", "\x0c", "\x1c", "\x1f", ".", ",", "!", "...", "!?", "!!!!!!", "()", "{ }", "->", "==", "$x",
    "#include", "_a_b", "a_b", "`code`", "~", "^", "<b>", "&amp;", "\\n", "\"q\"", "@me", "é", "e\u0301", "ñ", "ß",
    "Ǆ", "ǅ", "ﬁ", "Ⅷ", "漢字", "テスト", "한국", "你好，世界", "العربية", "مَرْحَبًا", "עִבְרִית", "हिन्दी", "क्ष",
    "தமிழ்", "ไทย", "ភាសា", "Việt", "Вы", "ΣΑΣ", "🙂", "👍🏽", "👩‍👩‍👧‍👦", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "\ue000", "\U000f0000",
    "\U0010ffff", "\ufffd", "\ufffe", "\x00", "\x01", "\x7f", "\u0378", "\u0301", "\u20dd", "\U00010400", "\u2160", "zzz",
    "qqqqqqqqqq", "xyzzy", " plugh", "    return", "\n    if", "model", " reading", "<|endoftext|>", "<|im_start|>",
    "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>", "<|endoftext", "<|end", "|>", "<|x|>", "<mask>", " <mask> ", "token",
    "tokens", "mytoken", "[A]", " [A] ", "[AB]", "[A][AB]",
]

FIXED = [
    "", " ", "a", "\x00", "Hello world", " Hello world", "Hello  world", "Hello   world", "Hello world ", "Hello world  ",
    "\n", "\n\n", "\n\n\n", "\t", "\t\n", " \n", "\r\n", "a\r\nb", "a\n b", "a \n b", "a  \n  b", "a\n\n\n   b", "   a\n\n",
    "I'm here, you've got 3.14 & 2,000!", "Don't SHOUT: it'S, WE'LL, you'Ve", "'''''s", "s's's", "3333333", "12 345 6789",
    " 1 2  3   4", "a1b2c3", "1a", "\u00bd1", "x\u00b2+y\u00b2", "a\u00a0b", "a \u00a0 b", "a\u3000\u3000b", "Cửa Việt",
    "!!!!!!", " !!!", "?!\n\n", "end.\r\n\r\n  next", "def f(x):\n    return x+1\n", "\tif (a) {\n\t\tb();\n\t}\n",
    "    Hello\n    Hello", "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|><|endoftext|>",
    "<|im_start|>user\nHi<|im_end|>\n", "<|begin_of_text|>Hi<|eot_id|>", "<|<|endoftext|>|>", "<|endoftext|", "😀", "a😀b",
    "👩‍👩‍👧‍👦👩‍👩‍👧", "🇩🇪🇫🇷🇺", "e\u0301\u0302x", "\u0301abc", "\u200b\u200c\u200d", "\ufeffBOM", "ÿ\x00ÿ", "ſ's 'ſ 'ſt",
    "Ġhello", "ĠĠ Ċ", "Ã©", "é", "한국어 시험", "ภาษาไทย 123", "क्षत्रिय १२३", "مَرْحَبًا ٣٤٥", " " * 31, " " * 32, " " * 33 + "x",
    "x" + " " * 63, "\t" * 9 + "y", " \t" * 5 + "z", "a" * 100, "ab" * 60, "the " * 20, "\n" * 20, "1" * 40, "é" * 40, "🙂" * 12,
    "  token  tokens mytoken token.", "mask<mask>mask", "  <mask>  ", "x [A] y", "[A]  [A]", "[AB][A]B]", "a [AB]\n\n b",
]


def byte_level(prefix_space=False, use_regex=True):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=use_regex)


def trained(pre_tokenizer, size, alphabet=True, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=size,
            show_progress=False,
            special_tokens=[model["unk_token"]] if "unk_token" in model else [],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
        ),
    )
    return tokenizer


def with_pieces(tokenizer, pieces):
    """Adds pieces that no merge makes."""
    data = json.loads(tokenizer.to_str())
    vocab = data["model"]["vocab"]
    for piece in pieces:
        vocab[piece] = len(vocab)
    return Tokenizer.from_str(json.dumps(data))


def make_gpt2():
    tokenizer = trained(byte_level(), 500)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def make_smollm():
    tokenizer = trained(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level()]), 450)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return tokenizer


def make_llama3():
    split = pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated", invert=False)
    tokenizer = trained(pre_tokenizers.Sequence([split, byte_level(use_regex=False)]), 500, ignore_merges=True)
    tokenizer = with_pieces(tokenizer, ["xyzzy", "Ġplugh", "qqqqqqqqqq", "ĠĠĠĠĠĠĠ", "ðŁĻĤ", "zzz", "!?"])
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|eot_id|>", "<|endoftext|>"])
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
        special_tokens=[("<|begin_of_text|>", bos)])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def make_phi2():
    """CodeGen's tokenizer: gpt2 and tokens for runs of 31 down to 2 spaces and 9 down to 2 tabs."""
    tokenizer = make_gpt2()
    runs = [" " * n for n in range(31, 1, -1)] + ["\t" * n for n in range(9, 1, -1)]
    tokenizer.add_tokens([AddedToken(run) for run in runs])
    return tokenizer


def make_flags():
    """All flags of added tokens, prefix spaces, and bytes without a piece."""
    tokenizer = trained(byte_level(prefix_space=True), 300, alphabet=False, unk_token="<unk>", fuse_unk=True)
    data = json.loads(tokenizer.to_str())
    # Without these the bytes of emoji, of the CJK ideographs and "q" are unknown.
    gone = [piece for piece in data["model"]["vocab"] if any(c in "ðåæçq" for c in piece)]
    kept = [piece for piece in data["model"]["vocab"] if piece not in gone]
    data["model"]["vocab"] = {piece: i for i, piece in enumerate(kept)}
    data["model"]["merges"] = [
        m for m in data["model"]["merges"] if not {m[0], m[1], m[0] + m[1]}.intersection(gone)]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.add_special_tokens([
        AddedToken("<mask>", lstrip=True, special=True, normalized=False),
        AddedToken("<|endoftext|>", rstrip=True, special=True, normalized=False),
        AddedToken("<|im_end|>", lstrip=True, rstrip=True, special=True, normalized=False),
    ])
    tokenizer.add_tokens([
        AddedToken("token", single_word=True, normalized=False),
        AddedToken("tokens", single_word=True, normalized=True),
        AddedToken("[A]", lstrip=True, normalized=True),
        AddedToken("[AB]", rstrip=True, normalized=False),
        AddedToken("\n\n", normalized=False),
        AddedToken("é", normalized=True),
    ])
    bos = tokenizer.token_to_id("<mask>")
    eos = tokenizer.token_to_id("<|endoftext|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<mask> $A <|endoftext|> <mask>", pair="$A $B",
        special_tokens=[("<mask>", bos), ("<|endoftext|>", eos)])
    return tokenizer


def texts(seed):
    rng = random.Random(seed)
    out = list(FIXED)
    while len(out) < 300:
        out.append("".join(rng.choice(FRAGMENTS) for _ in range(rng.randint(2, 14))))
    return out


def vectors(tokenizer, seed):
    def decoded(ids):
        line = {"decoded": tokenizer.decode(ids, skip_special_tokens=False)}
        skipped = tokenizer.decode(ids, skip_special_tokens=True)
        if skipped != line["decoded"]:
            line["skipped"] = skipped
        return line

    for text in texts(seed):
        ids = tokenizer.encode(text).ids
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        line = {"text": text, "ids": ids}
        if plain != ids:
            line["plain"] = plain
        yield {**line, **decoded(ids)}
    rng = random.Random(seed + 1)
    for _ in range(60):  # any ids: bytes that are no UTF-8
        ids = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randint(1, 20))]
        yield {"ids": ids, **decoded(ids)}


def write(name, tokenizer, seed, legacy_merges=False):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    data = json.loads(tokenizer.to_str())
    if legacy_merges:
        data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    assert json.loads(Tokenizer.from_str(text).to_str()) == json.loads(tokenizer.to_str())
    (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
    with open(folder / "vectors.jsonl", "w", encoding="ascii") as out:
        for line in vectors(tokenizer, seed):
            out.write(json.dumps(line, separators=(",", ":")) + "\n")


def main():
    assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
    write("gpt2", make_gpt2(), 1, legacy_merges=True)
    write("smollm", make_smollm(), 2)
    write("llama3", make_llama3(), 3)
    write("phi2", make_phi2(), 4, legacy_merges=True)
    write("flags", make_flags(), 5)


if __name__ == "__main__":
    main()
