#!/usr/bin/env python3
"""Makes src/text/unicode_table.inc: what Hugging Face `tokenizers` takes each code point for.

Needs the pinned judge: pip install tokenizers==0.23.3, under Python 3.11 (whose Unicode 14 tells new code points).
Run: python3 scripts/make_unicode_table.py  (deterministic; overwrites the file)

`tokenizers` mixes tables of several Unicode versions: Oniguruma's and Rust's of 16 and later, the crate
unicode_categories of 8, unicode-normalization-alignments of 9. No library at hand has all of them, so each code point
is shown to the judge. A line of the file is {first code point, bits, script} of a run that ends before the next line.
"""

import pathlib
import sys
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parents[1] / "src/text/unicode_table.inc"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
BLOCK = 4096


def matches(pattern):
    """Code points that the regular expression matches."""
    drop = normalizers.Replace(Regex(pattern), "")
    found = set()
    for i in range(0, len(CODE_POINTS), BLOCK):
        block = CODE_POINTS[i : i + BLOCK]
        kept = drop.normalize_str("".join(map(chr, block)))
        found |= set(block) - set(map(ord, kept))
    return found


def cuts(pre_tokenizer, parts):
    """Code points that make `parts` parts of themselves between two letters."""
    return {c for c in CODE_POINTS if len(pre_tokenizer.pre_tokenize_str(f"a{chr(c)}a")) == parts}


def drops(normalizer):
    return {c for c in CODE_POINTS if normalizer.normalize_str(f"a{chr(c)}b") == "ab"}


def bert(**flags):
    none = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**none, **flags})


def is_new_to_normalization(c):
    """Whether the judge's normal forms know nothing of a code point that Unicode has by now given something to lose."""
    char = chr(c)
    if unicodedata.category(char) == "Cn":
        return True
    nfkd = unicodedata.normalize("NFKD", char)
    if nfkd != char and normalizers.NFKD().normalize_str(char) != nfkd:
        return True
    # A mark that is known moves before U+0345, which has the last combining class.
    moves = 0 < unicodedata.combining(char) < 240
    return moves and normalizers.NFD().normalize_str("a\u0345" + char) == "a\u0345" + char


def script_of():
    """A number for the script of each code point, 0 where the pre-tokenizer never cuts."""
    scripts = pre_tokenizers.UnicodeScripts()

    def cut(text):
        return len(scripts.pre_tokenize_str(text)) > 1

    # Between a Latin letter and a Cyrillic one there is a cut, unless ... nothing: both cut against any third script.
    def is_any(c):
        return not cut(chr(c) + "a") and not cut(chr(c) + "\u0431")

    number = {}
    examples = []
    previous = None
    for c in CODE_POINTS:
        if is_any(c):
            number[c] = 0
            continue
        if previous is None or cut(chr(previous) + chr(c)):
            known = next((i for i, e in enumerate(examples) if not cut(chr(e) + chr(c))), None)
            if known is None:
                known = len(examples)
                examples.append(c)
            last = known + 1
        number[c] = last
        previous = c
    return number


def main():
    if tokenizers.__version__ != "0.23.3":
        sys.exit(f"wants tokenizers 0.23.3, found {tokenizers.__version__}")
    sets = [
        matches(r"\s"),
        cuts(pre_tokenizers.Whitespace(), 1),
        cuts(pre_tokenizers.Digits(individual_digits=True), 3),
        cuts(pre_tokenizers.Punctuation(), 3),
        drops(bert(clean_text=True)),
        drops(bert(strip_accents=True)),
        drops(normalizers.StripAccents()),
        {c for c in CODE_POINTS if is_new_to_normalization(c)},
    ]
    scripts = script_of()
    lines = []
    previous = None
    for c in CODE_POINTS:
        entry = (sum(1 << i for i, members in enumerate(sets) if c in members), scripts[c])
        if entry != previous:
            lines.append(f"{{{c},{entry[0]},{entry[1]}}},")
        previous = entry
    rows = []
    for line in lines:
        if rows and len(rows[-1]) + len(line) <= 100:
            rows[-1] += line
        else:
            rows.append(line)
    head = "// Made by scripts/make_unicode_table.py from tokenizers 0.23.3: {first code point, bits, script}.\n"
    OUT.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    print(len(lines), "runs,", max(scripts.values()), "scripts")


if __name__ == "__main__":
    main()
