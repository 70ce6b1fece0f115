"""Writes perplexity.json beside the folder of models: the perplexity that transformers gives for golden checkpoints, window by window as in
https://huggingface.co/docs/transformers/perplexity. Where that page weighs a window's mean loss by the number of its
targets less one, the number of targets that the loss was averaged over is used: the sum over tokens.

usage: make_perplexity.py MODELS_FOLDER
"""

import json
import math
import sys
from pathlib import Path

import torch
from golden_outputs import load_model
from golden_text import PROMPT_TEXT, SAMPLE_TEXTS
from transformers import AutoTokenizer

MODELS = ("llama-smol", "llama-tiny-sharded", "phi2")
# (context, stride): overlapping, a last window that is short, a window longer than the text, no overlap, one by one.
SETTINGS = ((64, 16), (100, 37), (250, 250), (48, 48), (12, 1))
TOKENS = 200


def perplexity(model, ids, context, stride):
    input_ids = torch.tensor([ids])
    nll_sum, tokens, previous_end = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        window = input_ids[:, begin:end]
        targets = window.clone()
        targets[:, : -(end - previous_end)] = -100
        scored = int((targets[:, 1:] != -100).sum())
        if scored:
            with torch.no_grad():
                loss = model(window, labels=targets).loss
            nll_sum += float(loss) * scored
            tokens += scored
        previous_end = end
        if end == len(ids):
            break
    return {"context": context, "stride": stride, "nll": nll_sum / tokens, "perplexity": math.exp(nll_sum / tokens), "tokens": tokens}


def main():
    folder = Path(sys.argv[1])
    text = PROMPT_TEXT + "\n" + "\n".join(SAMPLE_TEXTS)
    out = []
    for name in MODELS:
        model, tokenizer = load_model(folder / name), AutoTokenizer.from_pretrained(folder / name)
        used = text
        while len(tokenizer(used)["input_ids"]) > TOKENS:
            used = used[:-1]
        ids = tokenizer(used)["input_ids"]
        out.append({"model": name, "text": used, "ids": ids, "results": [perplexity(model, ids, *s) for s in SETTINGS]})
    (folder.resolve().parent / "perplexity.json").write_text(json.dumps(out, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
