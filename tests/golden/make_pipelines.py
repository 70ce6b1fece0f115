#!/usr/bin/env python3
"""Makes tests/golden/pipelines: a small tokenizer for every kind of tokenizer.json, and what each makes of 500 texts.

Needs the pinned judge: pip install tokenizers==0.23.3
Run: python3 tests/golden/make_pipelines.py  (deterministic; overwrites the files in place)

texts.json            the texts, an array of strings
NAME.tokenizer.json   as Hugging Face writes it
NAME.answers          for each text, in order, with numbers as unsigned LEB128:
    u8 flags          1: ids without special tokens follow, else they are what the pipeline's usual prefix and suffix
                      leave; 2: decoded text follows, else it is the text; 4: text decoded without special tokens
                      follows, else it is the decoded one; 8: the judge refused the text, nothing follows; 16: it
                      died while decoding, no texts follow
    count, ids        with special tokens
    [count, ids]      without
    [change]          from the text to the decoded one, special tokens kept
    [change]          from that to the one decoded without special tokens
    A change is: bytes kept at the begin, bytes kept at the end, bytes between, those bytes.
    The file begins with the counts of the usual prefix and suffix.
"""

import json
import pathlib
import random
import unicodedata

import tokenizers
from tokenizers import Tokenizer

from make_tokenizers import CORPUS, FIXED, FRAGMENTS
from pipelines import PIPELINES

OUT = pathlib.Path(__file__).resolve().parent / "pipelines"
TEXTS = 500

MORE = [
    "\u2581", "\u2581\u2581", "a\u2581b", "<s>", "</s>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "<pad>", "<mask>", "<0x41>", "<0xE2>",
    "##ing", "</w>", "|", "\u0664\u0665\u0666", "\u0915\u094d\u0937\u093f", "\u0b95\u0bcd\u0bb7", "\u0e17\u0e35\u0e48", "\u0627\u0644\u0644\u0647", "\ufdfa", "\ufb01n", "\u1e9b\u0323",
    "\u212b", "\u00c5", "A\u030a", "\uac00\u11a8", "\u1100\u1161", "\uff21\uff22\uff11", "\u2460\u2075", "\u0130I\u0131", "\u01c5", "\u1e9e", "\u0344", "a\u0316\u0301", "\u00ad", "\u0600\u0661",
    "\u0085", "\u2029", "\u180e", "\u061c", "\u202e", "``x''", "\u201cy\u201d", "\u2026", "\u3002\u3001", "\u30fc\u30ab", "\u3042\u30a2\u6f22", "\u0416\u0436", "\u03b1\u03a9\u03c2",
]


def random_char(rng):
    """Mostly assigned ones; those younger than Unicode 14 are left to a test of the table of characters."""
    while True:
        top = rng.choice([0x80, 0x100, 0x800, 0x3000, 0x10000, 0x20000, 0x110000])
        c = chr(rng.randrange(top))
        category = unicodedata.category(c)
        if category != "Cs" and (category != "Cn" or ord(c) & 0xFFFE == 0xFFFE):
            return c


def texts():
    rng = random.Random(20)
    out = list(dict.fromkeys(FIXED + CORPUS + MORE))
    fragments = FRAGMENTS + MORE
    while len(out) < TEXTS:
        kind = rng.random()
        if kind < 0.55:
            text = "".join(rng.choice(fragments) for _ in range(rng.randint(1, 8)))
        elif kind < 0.75:
            text = "".join(random_char(rng) for _ in range(rng.randint(1, 12)))
        elif kind < 0.85:
            text = "".join(rng.choice(" \n\t\u2581a1.\u3000") for _ in range(rng.randint(1, 16)))
        else:
            text = "".join(rng.choice(fragments) + random_char(rng) for _ in range(rng.randint(1, 6)))
        out.append(text)
    return out


def leb128(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def id_list(ids):
    return leb128(len(ids)) + b"".join(map(leb128, ids))


def change(old, new):
    old, new = old.encode(), new.encode()
    most = min(len(old), len(new))
    begin = next((i for i in range(most) if old[i] != new[i]), most)
    most -= begin
    end = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    between = new[begin : len(new) - end]
    return leb128(begin) + leb128(end) + leb128(len(between)) + between


def answer(tokenizer, text, prefix, suffix):
    try:
        ids = tokenizer.encode(text).ids
    except Exception:  # a word that the vocabulary lacks, and no unknown token
        return bytes([8])
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    flags = int(plain != ids[prefix : len(ids) - suffix])
    out = id_list(ids)
    if flags & 1:
        out += id_list(plain)
    try:
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        skipped = tokenizer.decode(ids, skip_special_tokens=True)
    except BaseException as error:  # Strip runs off an empty text; pyo3's panics are no Exception
        if type(error).__name__ != "PanicException":
            raise
        return bytes([flags | 16]) + out
    if decoded != text:
        flags |= 2
        out += change(text, decoded)
    if skipped != decoded:
        flags |= 4
        out += change(decoded, skipped)
    return bytes([flags]) + out


def main():
    assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
    OUT.mkdir(exist_ok=True)
    all_texts = texts()
    (OUT / "texts.json").write_text(json.dumps(all_texts, indent=0) + "\n", encoding="ascii")
    for name, make in PIPELINES.items():
        data = json.dumps(make(CORPUS), ensure_ascii=False, separators=(",", ":"))
        tokenizer = Tokenizer.from_str(data)
        (OUT / f"{name}.tokenizer.json").write_text(data + "\n", encoding="utf-8")
        ids = tokenizer.encode("a").ids
        plain = tokenizer.encode("a", add_special_tokens=False).ids
        prefix = next((i for i in range(len(ids)) if ids[i : i + len(plain)] == plain), 0)
        suffix = len(ids) - prefix - len(plain)
        answers = leb128(prefix) + leb128(suffix) + b"".join(answer(tokenizer, t, prefix, suffix) for t in all_texts)
        (OUT / f"{name}.answers").write_bytes(answers)
        print(name, len(data), len(answers))


if __name__ == "__main__":
    main()
