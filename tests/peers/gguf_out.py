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
import struct
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

import llama_cpp_families
from llama_cpp_compare import LlamaCpp
from report import Phial, Report

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
# Without a golden GGUF because it is phi3-128k in another spelling; the other such variants cannot be said in one.
SAME_FILE = {"phi3-128k-su"}
llama_cpp_families.DEVIATIONS["phi3-128k-su"] = llama_cpp_families.LONG_ALWAYS

# Golden tokenizers: the model_type of the folder they are put in, and the texts that differ from the source's ids.
NFC = "the file cannot say that text is normalized"
FIRST = "llama.cpp puts a space behind special tokens too, and before a text that begins with one"
TOKENIZERS = {
    "pipelines/gpt2": ("llama", 0, ""),
    "pipelines/llama3": ("llama", 0, ""),
    "pipelines/qwen2": ("qwen2", 43, NFC),
    "pipelines/starcoder": ("llama", 0, ""),
    "pipelines/falcon": ("llama", 0, ""),
    "pipelines/bloom": ("llama", 0, ""),
    "pipelines/phi4": ("phi3", 0, ""),
    "pipelines/llama2": ("llama", 0, ""),
    "pipelines/phi3": ("phi3", 0, ""),
    "pipelines/mistral": ("mistral", 61, FIRST),
    "pipelines/gemma": ("gemma2", 0, ""),
    "slow/gpt2": ("llama", 0, ""),
    "slow/llama": ("llama", 64, FIRST),
    "slow/llama_legacy": ("llama", 48, FIRST),
    "slow/qwen2": ("qwen2", 43, NFC),
}


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


def smallest_model(folder, model_type, tokens):
    """A model of one layer with `tokens` rows, so that a tokenizer can be converted."""
    config = {"model_type": model_type, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
              "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": tokens,
              "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "pad_token_id": None}
    if model_type == "gemma2":
        config |= {"query_pre_attn_scalar": 8, "hidden_activation": "gelu_pytorch_tanh"}
    if model_type == "mistral":
        config["sliding_window"] = None
    shapes = {"embed_tokens": [tokens, 8], "norm": [8]}
    layer = {"input_layernorm": [8], "post_attention_layernorm": [8], "mlp.down_proj": [8, 8], "self_attn.o_proj": [8, 8]}
    if model_type == "phi3":
        layer |= {"self_attn.qkv_proj": [24, 8], "mlp.gate_up_proj": [16, 8]}
    else:
        layer |= {f"self_attn.{part}_proj": [8, 8] for part in "qkv"} | {"mlp.gate_proj": [8, 8], "mlp.up_proj": [8, 8]}
    if model_type == "gemma2":
        layer |= {"pre_feedforward_layernorm": [8], "post_feedforward_layernorm": [8]}
    shapes |= {f"layers.0.{name}": shape for name, shape in layer.items()}
    names = {f"model.{name}.weight": shape for name, shape in shapes.items()}
    if model_type == "qwen2":
        names |= {f"model.layers.0.self_attn.{part}_proj.bias": [8] for part in "qkv"}
    header, offset = {}, 0
    for name, shape in names.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))


def token_count(folder):
    """Largest id plus one, of a folder's tokenizer files."""
    if (folder / "tokenizer.json").exists():
        document = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        ids = [*document["model"]["vocab"].values(), *(token["id"] for token in document["added_tokens"])]
        return max(ids) + 1
    ids = []
    for name in ("vocab.json", "added_tokens.json"):
        if (folder / name).exists():
            ids += json.loads((folder / name).read_text("utf-8")).values()
    return max(ids) + 1 if ids else 2000  # a tokenizer.model of the golden ones has fewer


def compare_tokenizer(report, phial, name, folder, model_type, texts, allowed, reason):
    smallest_model(folder, model_type, token_count(folder))
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
    for name, (model_type, allowed, reason) in TOKENIZERS.items():
        folder = scratch / "tokenizers" / name.replace("/", "-")
        shutil.rmtree(folder, ignore_errors=True)
        if name.startswith("pipelines"):
            folder.mkdir(parents=True)
            shutil.copy(GOLDEN / f"{name}.tokenizer.json", folder / "tokenizer.json")
        else:
            shutil.copytree(GOLDEN / name, folder, ignore=shutil.ignore_patterns("ids.json"))
        compare_tokenizer(report, phial, name, folder, model_type, texts, allowed, reason)
    for source in sorted(real.iterdir()) if real else []:
        folder = scratch / "tokenizers" / f"real-{source.name}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        compare_tokenizer(report, phial, source.name, folder, source.name.split("-")[0], texts, 0, "")


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
