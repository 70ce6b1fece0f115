"""An importance matrix of a Llama checkpoint in llama.cpp's format: the mean square of what each
column of each matrix is multiplied with on a text. The program that llama.cpp has for it is not in
llama-cpp-python; transformers computes the same activations in float32.

    quantization_imatrix.py MODEL_FOLDER TEXT OUT.gguf [TOKENS]

Runs in the environment with transformers, torch and gguf.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from quantization_models import write_imatrix

CHUNK = 512  # tokens of a context, as llama.cpp's program has it
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    _, _, layer, part = name.split(".", 3)
    return f"blk.{layer}.{NAMES[part]}.weight"


def main():
    folder, text, out = sys.argv[1:4]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(folder)(Path(text).read_text("utf-8"))["input_ids"]
    if len(sys.argv) > 4:
        ids = ids[:int(sys.argv[4])]
    sums = {}

    def watch(name):
        def add(_module, inputs):
            x = inputs[0].double().flatten(0, -2)
            sums[name] = sums.get(name, 0) + (x * x).sum(0)
        return add

    for name, module in model.named_modules():
        if name.startswith("model.layers.") and isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(watch(gguf_name(name)))
    tokens = len(ids) // CHUNK * CHUNK
    with torch.no_grad():
        for begin in range(0, tokens, CHUNK):
            # The head is not asked for: its input is no part of the file.
            model.model(torch.tensor([ids[begin:begin + CHUNK]]))
    write_imatrix(out, {name: values.numpy() for name, values in sums.items()}, tokens, text)
    print(f"{len(sums)} matrices over {tokens} tokens")


if __name__ == "__main__":
    main()
