"""MLX folders between phial and mlx-lm, both ways, for every family; folders of Hugging Face made from GGUF files.

    mlx_compare.py --phial COMMAND --scratch FOLDER [--only FAMILY] [--tokenizers FOLDER]

mlx computes on the CPU in float32, with scales and biases widened to it, which is the most exact way it has; phial
rounds nothing below float32 either. Models are tiny, random and made by tests/golden/make_mlx.py. mlx-lm applies
LongRoPE's long factors at every length, so texts are longer than the limit.

- Folders that mlx-lm quantized: phial's logits are mlx's.
- Folders that phial quantized: mlx-lm loads them, with logits that are phial's of the same folder. With --effort fast
  scales and biases are those of mlx-lm's own folder, at least 99.99 % of the codes too, and the others differ by 1.
- Floats come through GGUF and back to a folder bit for bit.
- A GGUF file's vocabulary as tokenizer.json: transformers' ids of the golden texts are phial's of it, and those of the
  GGUF file but for texts that Qwen's tokenizers normalize, which such a file cannot say.

Runs in an environment with mlx-lm, which brings transformers; run.py makes one.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
import transformers  # noqa: E402

from report import Phial, Report  # noqa: E402
from tokenizer_models import NFC, TOKENIZERS, tokenizer_folders  # noqa: E402

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))
import make_mlx  # noqa: E402

TOLERANCE = 2e-5  # of the range of the logits: sums of some hundred products in another order

# Name of a scheme of phial, and what mlx-lm calls it.
SCHEMES = {
    "4": {"group_size": 64, "bits": 4},
    "4-g32": {"group_size": 32, "bits": 4},
    "8": {"group_size": 64, "bits": 8},
}
LLAMA_SCHEMES = {
    "2": {"group_size": 64, "bits": 2},
    "3-g32": {"group_size": 32, "bits": 3},
    "5": {"group_size": 64, "bits": 5},
    "6-g32": {"group_size": 32, "bits": 6},
    "mxfp4": {"group_size": 32, "bits": 4, "mode": "mxfp4"},
}
# Only phial's way: the recipe of mlx-lm looks for modules that not all families have.
MIXED = ("mixed_4_6", "mixed_2_6")
TYPES = {"llama": mx.float16, "qwen2": mx.float32}  # the others: bfloat16


def apart(ours, theirs):
    """Largest distance in parts of the range; infinite where a number is not one."""
    distance = np.abs(ours - theirs).max() / (theirs.max() - theirs.min())
    return float(distance) if np.isfinite(distance) else float("inf")


def tensors_of(folder):
    out = {}
    for path in folder.glob("model*.safetensors"):
        out.update(mx.load(str(path)))
    return out


def codes_of(words, bits, columns):
    stream = np.unpackbits(np.array(words).view(np.uint8), axis=1, bitorder="little")
    return stream.reshape(words.shape[0], columns, bits) @ (1 << np.arange(bits))


def same_tensors(a, b):
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and a[name].shape == b[name].shape and bool((a[name] == b[name]).all())
        for name in a)


class Comparison:
    def __init__(self, report, phial, scratch):
        self.report, self.phial, self.scratch = report, phial, scratch
        self.ids = make_mlx.ids_for()
        self.codes = self.different_codes = 0

    def logits(self, name, folder):
        ours = np.load(self.phial.logits_file(folder, self.ids))
        distance = apart(ours, make_mlx.logits_of(folder, self.ids))
        self.report.check(distance < TOLERANCE, name, f"logits {distance:.1e} of the range")

    def quantized(self, source, folder, scheme, effort="fast"):
        shutil.rmtree(folder, ignore_errors=True)
        self.phial.command_json("quantize", source, "-o", folder, "--to", f"mlx:{scheme}", "--effort", effort)
        return folder

    def same_codes(self, name, ours, theirs, bits, group):
        """Whether two folders hold the same planes; counts codes."""
        ours, theirs = tensors_of(ours), tensors_of(theirs)
        passed = ours.keys() == theirs.keys()
        for key in ours.keys() & theirs.keys():
            a, b = ours[key], theirs[key]
            if a.dtype != b.dtype or a.shape != b.shape:
                passed = False
            elif a.dtype == mx.uint32:
                columns = theirs[key.removesuffix("weight") + "scales"].shape[1] * group
                difference = np.abs(codes_of(a, bits, columns) - codes_of(b, bits, columns))
                self.codes += difference.size
                self.different_codes += int((difference > 0).sum())
                passed &= int(difference.max()) <= 1
            else:
                passed &= bool((a == b).all())
        self.report.check(passed, name, "the planes of mlx-lm")

    def family(self, name, config):
        dtype = TYPES.get(name, mx.bfloat16)
        source = self.scratch / name
        shutil.rmtree(source, ignore_errors=True)
        make_mlx.write_model(source, config, dtype, layers=2)
        self.logits(f"{name}, as it is", source)
        schemes = {**SCHEMES, **(LLAMA_SCHEMES if name == "llama" else {})}
        for scheme, how in schemes.items():
            theirs = self.scratch / f"{name}.theirs.{scheme}"
            make_mlx.quantize(source, theirs, **how)
            self.logits(f"{name}, {scheme} by mlx-lm", theirs)
            ours = self.quantized(source, self.scratch / f"{name}.ours.{scheme}", scheme)
            self.logits(f"{name}, {scheme} by phial", ours)
            self.same_codes(f"{name}, {scheme}", ours, theirs, how["bits"], how["group_size"])
        for scheme in MIXED:
            self.logits(f"{name}, {scheme} by phial",
                        self.quantized(source, self.scratch / f"{name}.ours.{scheme}", scheme, "balanced"))
        theirs = self.scratch / f"{name}.theirs.mixed"
        make_mlx.quantize(source, theirs, predicate=make_mlx.mixed, group_size=32)
        self.logits(f"{name}, mixed by mlx-lm", theirs)
        self.chain(name, source)

    def chain(self, name, source):
        """Floats through GGUF and back."""
        file, back = self.scratch / f"{name}.gguf", self.scratch / f"{name}.back"
        file.unlink(missing_ok=True)
        shutil.rmtree(back, ignore_errors=True)
        self.phial.command_json("convert", source, "-o", file, "--to", "gguf")
        self.phial.command_json("convert", file, "-o", back, "--to", "safetensors")
        ours, theirs = tensors_of(back), tensors_of(source)
        matrices = {key: theirs[key] for key in theirs if len(theirs[key].shape) > 1}
        passed = ours.keys() == theirs.keys() and same_tensors({key: ours[key] for key in matrices}, matrices)
        passed = passed and all(bool((ours[key].astype(mx.float32) == theirs[key].astype(mx.float32)).all())
                                for key in theirs)
        self.report.check(passed, f"{name}: through GGUF and back", "weights bit for bit")
        self.logits(f"{name}: in mlx-lm, back from GGUF", back)
        read = transformers.AutoConfig.from_pretrained(back)
        wanted = json.loads((source / "config.json").read_text("utf-8"))["model_type"]
        # In a GGUF file a Mistral without a window is a Llama, as which it computes the same.
        self.report.check(read.model_type == ("llama" if wanted == "mistral" else wanted),
                          f"{name}: transformers reads the configuration")

    def tokenizer(self, name, source, golden, allowed):
        """tokenizer.json from the vocabulary of the GGUF file `source`."""
        folder = self.scratch / f"{source.stem}.tokenizer"
        shutil.rmtree(folder, ignore_errors=True)
        self.phial.command_json("convert", source, "-o", folder, "--to", "safetensors")
        ours = self.phial.tokenize_lines(folder, golden)
        loaded = transformers.AutoTokenizer.from_pretrained(folder)
        theirs = [loaded.encode(text) for text in golden]
        wrong = [each for each in zip(golden, ours, theirs) if each[1] != each[2]]
        for text, a, b in wrong[:2]:
            print(f"  {text!r}\n    phial        {a}\n    transformers {b}")
        self.report.check(not wrong, f"{name}: ids of {len(golden)} texts by transformers", f"{len(wrong)} differ")
        differ = sum(a != b for a, b in zip(ours, self.phial.tokenize_lines(source, golden)))
        self.report.check(differ == allowed, f"{name}: ids of {len(golden)} texts by phial from the file",
                          f"{differ} differ, {allowed} are known to")

    def tokenizers(self, real):
        golden = json.loads((GOLDEN / "pipelines" / "texts.json").read_text("utf-8"))
        for source in sorted((GOLDEN / "models").glob("*.gguf")):
            self.tokenizer(source.name, source, golden, 0)
        for name, folder in tokenizer_folders(self.scratch / "tokenizers", real):
            file = folder.parent / f"{folder.name}.gguf"
            file.unlink(missing_ok=True)
            self.phial.command_json("convert", folder, "-o", file, "--to", "gguf")
            _, texts, reason = TOKENIZERS.get(name, ("", 0, ""))
            self.tokenizer(name, file, golden, texts if reason == NFC else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phial", required=True, help="the built command")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for files of this run")
    parser.add_argument("--only", help="one family")
    parser.add_argument("--tokenizers", type=Path, help="folder of real tokenizers, MODEL_TYPE-NAME/")
    options = parser.parse_args()

    report = Report()
    comparison = Comparison(report, Phial(options.phial, options.scratch, threads=1), options.scratch)
    for name, config in make_mlx.FAMILIES.items():
        if options.only in (None, name):
            comparison.family(name, config)
    share = comparison.different_codes / max(comparison.codes, 1)
    report.check(share <= 1e-4, f"{comparison.codes} codes of mlx-lm", f"{comparison.different_codes} differ, by 1")
    if options.only is None:
        comparison.tokenizers(options.tokenizers)
    report.exit()


if __name__ == "__main__":
    main()
