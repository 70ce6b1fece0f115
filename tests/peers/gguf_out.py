"""GGUF files that phial writes, in llama.cpp and under gguf-py's reader.

    gguf_out.py --phial COMMAND --scratch FOLDER [--tokenizers FOLDER]

- Every variant of tests/golden/families and every model of tests/golden/models, as F32: llama.cpp loads it, and its
  logits are those of phial's run of the source (llama_cpp_families.py says where llama.cpp is known to be wrong).
- Tokenizers of tests/golden and of a folder of real ones: ids of 500 texts by llama.cpp are those that phial gives from
  the same file. In how many texts both differ from the source's tokenizer, for what a GGUF file cannot keep, is checked too.

--tokenizers names a folder of folders MODEL_TYPE-NAME, each with tokenizer.json (or the files from before it) and
tokenizer_config.json. Runs in an environment with llama-cpp-python, gguf and numpy; run.py makes one.
"""

import argparse
import json
import shutil
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

import llama_cpp_families
from llama_cpp_compare import LlamaCpp
from report import Phial, Report
from tokenizer_models import TOKENIZERS, tokenizer_folders

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
# Without a golden GGUF because it is phi3-128k in another spelling; the other such variants cannot be said in one.
SAME_FILE = {"phi3-128k-su"}
llama_cpp_families.DEVIATIONS["phi3-128k-su"] = llama_cpp_families.LONG_ALWAYS


def family_folder(entry, scratch):
    """A variant as a hub would have it."""
    folder = scratch / entry["name"]
    folder.mkdir(parents=True, exist_ok=True)
    families = GOLDEN / "families"
    shutil.copy(families / f"{entry['name']}.config.json", folder / "config.json")
    shutil.copy(families / f"{entry['weights']}.safetensors", folder / "model.safetensors")
    return folder


def check_families(report, phial, scratch):
    for entry in json.loads((GOLDEN / "families" / "index.json").read_text("utf-8")):
        if "gguf" not in entry and entry["name"] not in SAME_FILE:
            continue
        folder = family_folder(entry, scratch)
        out = scratch / f"{entry['name']}.gguf"
        phial.quantize(folder, out, "gguf:f32")
        llama_cpp_families.compare(report, phial, entry, folder, out)


def check_models(report, phial, scratch):
    for name in ("llama-smol", "llama-tiny-sharded", "phi3-plain", "phi2"):
        source = GOLDEN / "models" / name
        out = scratch / f"{name}.gguf"
        phial.quantize(source, out, "gguf:f32")
        ids = json.loads((source / "golden.json").read_text("utf-8"))["prompt_ids"]
        theirs = LlamaCpp(out, threads=1, context=256).logits(ids)
        ours = np.load(phial.logits_file(source, ids))
        apart = float(np.abs(ours - theirs).max() / (theirs.max() - theirs.min()))
        # phi2's GELU, as in llama_cpp_families.py.
        limit = llama_cpp_families.GELU_TOLERANCE if name == "phi2" else llama_cpp_families.TOLERANCE
        report.check(apart < limit, f"{name}: logits", f"{apart:.1e} of the range")
        fields = gguf.GGUFReader(out).fields
        chat = source / "chat_template.jinja"
        config = json.loads((source / "tokenizer_config.json").read_text("utf-8"))
        wanted = chat.read_text("utf-8") if chat.exists() else config.get("chat_template")
        found = fields.get("tokenizer.chat_template")
        report.check((found.contents() if found else None) == wanted, f"{name}: chat template")


def compare_tokenizer(report, phial, name, folder, texts, allowed, reason):
    out = folder.parent / f"{folder.name}.gguf"
    phial.quantize(folder, out, "gguf:f32")
    judge = llama_cpp.Llama(str(out), vocab_only=True, verbose=False)
    theirs = []
    for text in texts:
        try:
            theirs.append(judge.tokenize(text.encode(), add_bos=True, special=True))
        except RuntimeError as error:
            theirs.append(str(error))
    ours = phial.tokenize_lines(out, texts)
    source = phial.tokenize_lines(folder, texts)
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    for text, a, b in [each for each in zip(texts, ours, theirs) if each[1] != each[2]][:3]:
        print(f"  {text!r}\n    phial     {a}\n    llama.cpp {b}")
    report.check(same == len(texts), f"{name}: ids of llama.cpp and phial", f"{same} of {len(texts)} texts the same")
    apart = sum(a != b for a, b in zip(source, ours, strict=True))
    for text, a, b in [each for each in zip(texts, source, ours) if each[1] != each[2]][: 3 if apart > allowed else 0]:
        print(f"  {text!r}\n    source {a}\n    GGUF   {b}")
    report.check(apart <= allowed, f"{name}: ids of the source",
                 f"{len(texts) - apart} of {len(texts)} texts the same" + (f" ({reason})" if apart else ""))


def check_tokenizers(report, phial, scratch, real):
    texts = json.loads((GOLDEN / "pipelines" / "texts.json").read_text("utf-8"))
    for name, folder in tokenizer_folders(scratch / "tokenizers", real):
        _, allowed, reason = TOKENIZERS.get(name, ("", 0, ""))
        compare_tokenizer(report, phial, name, folder, texts, allowed, reason)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phial", required=True, help="the built command")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for files of this run")
    parser.add_argument("--tokenizers", type=Path, help="folder of real tokenizers, MODEL_TYPE-NAME/")
    options = parser.parse_args()

    report = Report()
    phial = Phial(options.phial, options.scratch, threads=1)
    check_families(report, phial, options.scratch)
    check_models(report, phial, options.scratch)
    check_tokenizers(report, phial, options.scratch, options.tokenizers)
    report.exit()


if __name__ == "__main__":
    main()
