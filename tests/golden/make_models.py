#!/usr/bin/env python3
"""Makes the golden checkpoints and what Hugging Face answers for them.

    python make_models.py --out models [--only llama-smol]

Tiny checkpoints of random weights in the layouts of published models, their GGUF twins, and golden files with the
logits, greedy tokens, token ids and rendered templates of the reference implementation. The same versions
(requirements.txt) write the same bytes again. README.md says what each file is for.
"""

import argparse
import dataclasses
import json
import os
import shutil
import zlib
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer  # noqa: E402

import golden_tokenizers  # noqa: E402
from golden_gguf import BF16, F16, F32, Q4_1, Q8_0, fuse_qkv, stored_values, write_gguf  # noqa: E402
from golden_outputs import load_model, logits_and_greedy, text_golden, write_golden  # noqa: E402

CHATML_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a small glass bottle<|im_end|>\\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Written over several lines: trim_blocks and lstrip_blocks matter here.
HEADER_TEMPLATE = """\
{{- bos_token }}
{%- set loop_messages = messages %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{%- if system_message %}
    {{- "<|start_header_id|>system<|end_header_id|>\\n\\n" ~ system_message ~ "<|eot_id|>" }}
{%- endif %}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('roles must alternate: user, assistant, user ...') }}
    {% endif %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

PHI3_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}"
    "{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}"
    "{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)


@dataclasses.dataclass(frozen=True)
class Twin:
    """A GGUF file with a checkpoint's weights. `types` as in write_gguf."""

    name: str
    types: dict
    fused_qkv: bool = False

    @property
    def exact(self):
        return not {Q8_0, Q4_1} & set(self.types.values())


@dataclasses.dataclass(frozen=True)
class Spec:
    """One golden checkpoint."""

    name: str
    seed: int
    config: dict  # config.json as a published model has it
    dtype: torch.dtype
    make_tokenizer: object  # size -> tokenizers.Tokenizer
    tokenizer_size: int  # at most vocab_size
    tokens: dict  # bos, eos, pad, unk by role
    generation: dict  # generation_config.json; none if empty
    chat_template: str = ""
    template_in_own_file: bool = False
    shards: int = 1
    new_style_config: bool = False  # config.json as transformers 5 saves it (dtype, rope_parameters)
    arch: str = "llama"
    pre: str = "gpt-2"
    add_bos: bool = False
    twins: tuple = ()


SPECS = [
    # Like SmolLM2: grouped heads, tied embeddings. Rows are multiples of 32 for the block formats.
    Spec(
        name="llama-smol",
        seed=92,
        config={
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": 96,
            "initializer_range": 0.1,
            "intermediate_size": 160,
            "is_llama_config": True,
            "max_position_embeddings": 512,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": 6,
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "pad_token_id": 2,
            "pretraining_tp": 1,
            "rms_norm_eps": 1e-05,
            "rope_interleaved": False,
            "rope_scaling": None,
            "rope_theta": 100000,
            "tie_word_embeddings": True,
            "torch_dtype": "float32",
            "transformers_version": "4.42.3",
            "use_cache": True,
            "vocab_size": 416,
        },
        dtype=torch.float32,
        make_tokenizer=golden_tokenizers.smollm,
        tokenizer_size=416,
        tokens={"bos": "<|im_start|>", "eos": "<|im_end|>", "unk": "<|endoftext|>", "pad": "<|im_end|>"},
        generation={"bos_token_id": 1, "eos_token_id": [2, 0], "pad_token_id": 2},
        chat_template=CHATML_TEMPLATE,
        pre="smollm",
        twins=(
            Twin("llama-smol-f32", {"*": F32}),
            Twin("llama-smol-q8_0", {"*": Q8_0}),
            Twin("llama-smol-q4_1", {"*": Q4_1, "token_embd.weight": Q8_0}),
        ),
    ),
    # Like TinyLlama with Llama 3's tokenizer: head_dim is not hidden / heads, several shards, bf16.
    Spec(
        name="llama-tiny-sharded",
        seed=10,
        config={
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "bos_token_id": 474,
            "eos_token_id": [475, 478],
            "head_dim": 24,
            "hidden_act": "silu",
            "hidden_size": 72,
            "intermediate_size": 136,
            "max_position_embeddings": 384,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": 4,
            "num_hidden_layers": 3,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "vocab_size": 482,
        },
        dtype=torch.bfloat16,
        make_tokenizer=golden_tokenizers.llama3,
        tokenizer_size=482,
        tokens={"bos": "<|begin_of_text|>", "eos": "<|eot_id|>"},
        generation={"bos_token_id": 474, "do_sample": True, "eos_token_id": [475, 478], "temperature": 0.6, "top_p": 0.9},
        chat_template=HEADER_TEMPLATE,
        template_in_own_file=True,
        shards=3,
        new_style_config=True,
        pre="llama-bpe",
        add_bos=True,
        twins=(Twin("llama-tiny-bf16", {"*": BF16}), Twin("llama-tiny-f16", {"*": F16})),
    ),
    # Like Phi-3: fused qkv and gate_up, no sliding window. Rows that are no multiple of 4, heads of 14.
    Spec(
        name="phi3-plain",
        seed=5,
        config={
            "architectures": ["Phi3ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 435,
            "embd_pdrop": 0.0,
            "eos_token_id": 435,
            "hidden_act": "silu",
            "hidden_size": 84,
            "initializer_range": 0.02,
            "intermediate_size": 130,
            "max_position_embeddings": 512,
            "model_type": "phi3",
            "num_attention_heads": 6,
            "num_hidden_layers": 2,
            "num_key_value_heads": 3,
            "original_max_position_embeddings": 512,
            "pad_token_id": 435,
            "resid_pdrop": 0.0,
            "rms_norm_eps": 1e-05,
            "rope_scaling": None,
            "rope_theta": 10000.0,
            "sliding_window": None,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "transformers_version": "4.41.2",
            "use_cache": True,
            "vocab_size": 440,
        },
        dtype=torch.float16,
        make_tokenizer=golden_tokenizers.gpt2_phi3,
        tokenizer_size=440,
        tokens={"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<|endoftext|>", "pad": "<|endoftext|>"},
        generation={"bos_token_id": 435, "eos_token_id": [435, 436, 437], "pad_token_id": 435},
        chat_template=PHI3_TEMPLATE,
        arch="phi3",
        twins=(Twin("phi3-plain-f16", {"*": F16}),),
    ),
    # Like Phi-2: parallel block, biases everywhere, 8 of 20 dimensions rotate, padding rows in the embedding.
    Spec(
        name="phi2",
        seed=20,
        config={
            "architectures": ["PhiForCausalLM"],
            "attention_dropout": 0.0,
            "bos_token_id": 429,
            "embd_pdrop": 0.0,
            "eos_token_id": 429,
            "hidden_act": "gelu_new",
            "hidden_size": 60,
            "initializer_range": 0.02,
            "intermediate_size": 152,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": 256,
            "model_type": "phi",
            "num_attention_heads": 3,
            "num_hidden_layers": 2,
            "num_key_value_heads": 3,
            "partial_rotary_factor": 0.4,
            "qk_layernorm": False,
            "resid_pdrop": 0.1,
            "rope_scaling": None,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "torch_dtype": "float32",
            "transformers_version": "4.37.0",
            "use_cache": True,
            "vocab_size": 448,
        },
        dtype=torch.float32,
        make_tokenizer=golden_tokenizers.codegen,
        tokenizer_size=440,
        tokens={"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<|endoftext|>"},
        generation={"bos_token_id": 429, "eos_token_id": 429},
        arch="phi2",
        pre="phi-2",
        twins=(Twin("phi2-f32", {"*": F32}, fused_qkv=True), Twin("phi2-split-f32", {"*": F32})),
    ),
]


def random_tensor(seed, name, shape):
    """Values that keep activations and logits lively, from a generator of its own for each tensor."""
    rng = np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(name.encode())]))
    values = rng.standard_normal(shape)
    if name.endswith("norm.weight"):
        values = rng.uniform(0.5, 1.5, shape)  # a norm that is left out, or used twice, shows
    elif name.endswith(".bias"):
        values *= 0.15
    elif "embed_tokens" in name or "lm_head" in name:
        values *= 0.3
    else:
        # 1.5 / sqrt(inputs): attention scores spread by about two, so that positions attend to few others. What attention
        # adds counts for more than the last token does, else greedy decoding soon goes round in circles.
        values *= (4.0 if "o_proj" in name or "dense" in name else 1.5) / np.sqrt(shape[-1])
    return values.astype(np.float32)


def random_weights(spec):
    """Hugging Face names to tensors of the spec's type."""
    config = AutoConfig.for_model(**spec.config)
    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in AutoModelForCausalLM.from_config(config).named_parameters()}
    weights = {}
    for name, shape in shapes.items():
        values = torch.from_numpy(random_tensor(spec.seed, name, shape)).to(spec.dtype)
        if spec.dtype == torch.bfloat16:
            values = values.half().bfloat16()  # exact in either 16-bit type
        weights[name] = values
    return weights


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tokenizer(spec, folder):
    tokenizer = spec.make_tokenizer(spec.tokenizer_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(index): {
                "content": token.content,
                "lstrip": token.lstrip,
                "normalized": token.normalized,
                "rstrip": token.rstrip,
                "single_word": token.single_word,
                "special": token.special,
            }
            for index, token in sorted(tokenizer.get_added_tokens_decoder().items())
        },
        **{f"{role}_token": token for role, token in spec.tokens.items()},
        "clean_up_tokenization_spaces": False,
        "model_max_length": spec.config["max_position_embeddings"],
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    if spec.chat_template and spec.template_in_own_file:
        (folder / "chat_template.jinja").write_text(spec.chat_template, encoding="utf-8")
    elif spec.chat_template:
        config["chat_template"] = spec.chat_template
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", {f"{role}_token": token for role, token in spec.tokens.items()})


def write_weights(spec, folder, weights):
    metadata = {"format": "pt"}
    if spec.shards == 1:
        save_file(weights, folder / "model.safetensors", metadata)
        return
    names = list(weights)
    per_shard = -(-len(names) // spec.shards)
    weight_map = {}
    for i in range(spec.shards):
        file_name = f"model-{i + 1:05}-of-{spec.shards:05}.safetensors"
        part = {name: weights[name] for name in names[i * per_shard : (i + 1) * per_shard]}
        save_file(part, folder / file_name, metadata)
        weight_map.update(dict.fromkeys(part, file_name))
    total = sum(tensor.nbytes for tensor in weights.values())
    write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))},
    )


def write_checkpoint(spec, folder, weights):
    """The folder as a model hub would have it."""
    folder.mkdir(parents=True)
    if spec.new_style_config:
        config = AutoConfig.for_model(**spec.config)
        config.save_pretrained(folder)
    else:
        write_json(folder / "config.json", spec.config)
    if spec.generation:
        write_json(folder / "generation_config.json", {"_from_model_config": True, **spec.generation})
    write_tokenizer(spec, folder)
    write_weights(spec, folder, weights)


def write_twin(spec, twin, out, weights):
    checkpoint = out / spec.name
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
    hf = AutoTokenizer.from_pretrained(checkpoint)
    roles = {"bos": "bos", "eos": "eos", "unk": "unk", "pad": "pad"}
    write_gguf(
        out / f"{twin.name}.gguf",
        spec.arch,
        spec.config,
        fuse_qkv(weights) if twin.fused_qkv else weights,
        twin.types,
        pre=spec.pre,
        tokenizer=tokenizer,
        special={roles[role]: hf.convert_tokens_to_ids(token) for role, token in spec.tokens.items()},
        add_bos=spec.add_bos,
        chat_template=spec.chat_template,
    )


def make(spec, out):
    """Writes one checkpoint, its twins and their goldens; returns their lines of index.json."""
    folder = out / spec.name
    names = [spec.name, *(twin.name for twin in spec.twins)]
    for name in names:
        shutil.rmtree(out / name, ignore_errors=True)
        (out / f"{name}.gguf").unlink(missing_ok=True)
    weights = random_weights(spec)
    write_checkpoint(spec, folder, weights)

    text = text_golden(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load_model(folder)
    numbers, logits = logits_and_greedy(spec.name, model, tokenizer)
    write_golden(folder, {**numbers, **text}, logits)
    index = [{"model": spec.name, "golden": spec.name}]

    values = {name: tensor.float().numpy() for name, tensor in weights.items()}
    for twin in spec.twins:
        write_twin(spec, twin, out, values)
        golden = spec.name
        if not twin.exact:
            golden = twin.name
            seen = stored_values(values, spec.arch, spec.config, twin.types)
            model = load_model(folder)
            model.load_state_dict({name: torch.from_numpy(data) for name, data in seen.items()}, strict=False)
            numbers, logits = logits_and_greedy(twin.name, model, tokenizer)
            write_golden(out / twin.name, {**numbers, **text}, logits)
        index.append({"model": f"{twin.name}.gguf", "golden": golden})
    return index


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder that receives the models")
    parser.add_argument("--only", action="append", help="name of a checkpoint; index.json is then left alone")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    options.out.mkdir(parents=True, exist_ok=True)
    index = []
    for spec in SPECS:
        if not options.only or spec.name in options.only:
            index += make(spec, options.out)
            print(spec.name)
    if not options.only:
        write_json(options.out / "index.json", index)


if __name__ == "__main__":
    main()
