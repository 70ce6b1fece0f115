"""Token ids of vocabulary-only GGUF files: phial against llama.cpp.

    llama_cpp_vocabs.py --scratch FOLDER --phial build/release/phial [--tokenizer NAME=TOKENIZER.JSON]

The vocabularies are those of tests/golden/pipelines and tests/golden/slow, written as llama.cpp's
converters write them, and of the tokenizer.json files that are named (NAME is one of KINDS). Each of
the 500 texts of the pipelines is tokenized by both, special tokens in the text included. KINDS says
how many texts llama.cpp itself reads in another way than Hugging Face, whom phial follows.
"""

import argparse
import json
from pathlib import Path

import gguf
import llama_cpp

from report import Phial, Report

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

# By name: the model of the file, its tokenizer.ggml.pre, and how many texts may differ, with the reason.
KINDS = {
    "gpt2": ("gpt2", "gpt-2", 0, ""),
    "llama3": ("gpt2", "llama-bpe", 0, ""),
    "qwen2": ("gpt2", "qwen2", 0, ""),
    "starcoder": ("gpt2", "starcoder", 0, ""),
    "falcon": ("gpt2", "falcon", 0, ""),
    "bloom": ("gpt2", "bloom", 0, ""),
    "llama2": ("llama", None, 0, ""),
    "phi3": ("llama", None, 0, ""),
    "bert": ("bert", None, 22, "(llama.cpp keeps Hangul syllables whole and has no longest word)"),
    "t5": ("t5", None, 9, "(llama.cpp puts a space before a text that begins with its mark)"),
}


def pieces_of(document):
    """Pieces by id with their types."""
    model = document["model"]
    vocab = model["vocab"]
    listed = [piece for piece, _ in vocab] if isinstance(vocab, list) else sorted(vocab, key=vocab.get)
    tokens = {i: (piece, NORMAL) for i, piece in enumerate(listed)} if isinstance(vocab, list) else \
        {vocab[piece]: (piece, NORMAL) for piece in listed}
    for token in document["added_tokens"]:
        tokens[token["id"]] = (token["content"], CONTROL if token["special"] else USER_DEFINED)
    return [tokens.get(i, (f"[PAD{i}]", UNUSED)) for i in range(max(tokens) + 1)]


def sentence_piece_scores(document, tokens):
    """SentencePiece's BPE scores: minus the place of the first merge that makes a piece."""
    rank = {}
    for place, merge in enumerate(document["model"]["merges"]):
        left, right = merge if isinstance(merge, list) else merge.split(" ", 1)
        rank.setdefault(left + right, -float(place))
    return [rank.get(piece, -1e6) for piece, _ in tokens]


def write_vocabulary(path, kind, document):
    model, pre, _, _ = KINDS[kind]
    tokens = pieces_of(document)
    writer = gguf.GGUFWriter(path, "phi3" if kind == "phi3" else "llama")
    writer.add_name(kind)
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    names = {piece: i for i, (piece, _) in enumerate(tokens)}
    if model == "gpt2":
        merges = document["model"]["merges"]
        writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
        writer.add_add_bos_token(False)
    if model == "llama":
        writer.add_token_scores(sentence_piece_scores(document, tokens))
        bytes_of = {f"<0x{b:02X}>" for b in range(256)}
        tokens = [(piece, BYTE if piece in bytes_of else UNKNOWN if piece == "<unk>" else kind)
                  for piece, kind in tokens]
        writer.add_bos_token_id(names["<s>"])
        writer.add_eos_token_id(names["</s>"])
        writer.add_unk_token_id(names["<unk>"])
    if model == "t5":
        scores = {piece: score for piece, score in document["model"]["vocab"]}
        writer.add_token_scores([scores.get(piece, 0.0) for piece, _ in tokens])
        tokens = [(piece, UNKNOWN if piece == "<unk>" else kind) for piece, kind in tokens]
        writer.add_eos_token_id(names["</s>"])
        writer.add_unk_token_id(names["<unk>"])
        writer.add_add_space_prefix(True)
        writer.add_remove_extra_whitespaces(True)
    if model == "bert":
        tokens = [(piece if kind != NORMAL else piece[2:] if piece.startswith("##") else "\u2581" + piece, kind)
                  for piece, kind in tokens]
        writer.add_bos_token_id(names["[CLS]"])
        writer.add_sep_token_id(names["[SEP]"])
        writer.add_unk_token_id(names["[UNK]"])
    writer.add_token_list([piece for piece, _ in tokens])
    writer.add_token_types([kind for _, kind in tokens])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, required=True, help="folder for files of this run")
    parser.add_argument("--phial", type=Path, required=True)
    parser.add_argument("--tokenizer", action="append", default=[], metavar="NAME=FILE")
    options = parser.parse_args()

    report = Report()
    phial = Phial(options.phial, options.scratch, threads=1)
    texts = json.loads((GOLDEN / "pipelines" / "texts.json").read_text("utf-8"))
    inputs = [(kind, GOLDEN / "pipelines" / f"{kind}.tokenizer.json") for kind in KINDS]
    inputs += [tuple(item.split("=", 1)) for item in options.tokenizer]
    for kind, source in inputs:
        path = options.scratch / f"{Path(source).stem}.gguf"
        write_vocabulary(path, kind, json.loads(Path(source).read_text("utf-8")))
        ours = phial.tokenize_lines(path, texts)
        judge = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
        different = []
        for text, ids in zip(texts, ours):
            try:
                theirs = judge.tokenize(text.encode(), add_bos=True, special=True)
            except RuntimeError as error:
                theirs = str(error)
            if ids != theirs:
                different.append((text, ids, theirs))
        _, _, allowed, reason = KINDS[kind]
        for text, ids, theirs in different[: 3 if len(different) > allowed else 0]:
            print(f"  {text!r}\n    phial     {ids}\n    llama.cpp {theirs}")
        report.check(len(different) <= allowed, Path(source).name,
                     f"{len(texts) - len(different)} of {len(texts)} texts the same {reason}".strip())
    report.exit()


if __name__ == "__main__":
    main()
