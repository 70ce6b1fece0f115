"""What Hugging Face makes of a checkpoint: logits, greedy tokens, token ids, rendered templates."""

import json

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from golden_text import CONVERSATIONS, PROMPT_TEXT, SAMPLE_TEXTS, SHORT_PROMPT_TEXT

PROMPT_TOKENS = 64
NEW_TOKENS = 32
SHORT_PROMPT_TOKENS = (3, 17, 40)

# Logits are to be exact within 2e-4 of their range: two of them may approach each other by twice that.
MIN_GAP = 5e-4


def load_model(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def _greedy(model, prompt_ids):
    model.generation_config = GenerationConfig(eos_token_id=None)
    with torch.no_grad():
        out = model.generate(
            torch.tensor([prompt_ids]),
            attention_mask=torch.ones(1, len(prompt_ids), dtype=torch.long),
            generation_config=GenerationConfig(
                do_sample=False, use_cache=True, max_new_tokens=NEW_TOKENS, eos_token_id=None, pad_token_id=0
            ),
        )
    return out[0, len(prompt_ids) :].tolist()


def _logits(model, prompt_ids, new_ids):
    """[len(prompt_ids) + len(new_ids), vocab]: the prompt in one pass, then each new token through the cache."""
    rows = []
    with torch.no_grad():
        step = model(torch.tensor([prompt_ids]), use_cache=True)
        rows.append(step.logits[0])
        for token in new_ids:
            step = model(torch.tensor([[token]]), past_key_values=step.past_key_values, use_cache=True)
            rows.append(step.logits[0])
    return torch.cat(rows).numpy().astype("<f4")


def _check_greedy(name, logits, prompt_ids, new_ids):
    """The golden is of use only where no sound engine can disagree: the best two logits well apart, no short loop."""
    deciding = logits[len(prompt_ids) - 1 : -1]
    if deciding.argmax(axis=1).tolist() != new_ids:
        raise ValueError(f"{name}: generate and the decode steps disagree")
    best_two = np.sort(deciding, axis=1)[:, -2:]
    gap = float((best_two[:, 1] - best_two[:, 0]).min() / (logits.max() - logits.min()))
    if gap < MIN_GAP:
        raise ValueError(f"{name}: a greedy step is decided by {gap:.1e} of the logit range; choose another seed")
    if len(set(new_ids)) < NEW_TOKENS // 2:
        raise ValueError(f"{name}: {len(set(new_ids))} different greedy tokens of {NEW_TOKENS}; choose another seed")
    return gap


def logits_and_greedy(name, model, tokenizer):
    """The numeric half of a golden, and the logits of the 64-token prompt with its 32 greedy tokens."""
    prompt_ids = tokenizer(PROMPT_TEXT)["input_ids"][:PROMPT_TOKENS]
    short_ids = tokenizer(SHORT_PROMPT_TEXT)["input_ids"]
    greedy_ids = _greedy(model, prompt_ids)
    logits = _logits(model, prompt_ids, greedy_ids)
    gaps = [_check_greedy(name, logits, prompt_ids, greedy_ids)]
    short_prompts = []
    for n in SHORT_PROMPT_TOKENS:
        ids = short_ids[:n]
        new_ids = _greedy(model, ids)
        gaps.append(_check_greedy(name, _logits(model, ids, new_ids), ids, new_ids))
        short_prompts.append({"prompt_ids": ids, "greedy_ids": new_ids})
    golden = {
        "prompt_ids": prompt_ids,
        "greedy_ids": greedy_ids,
        "greedy_text": tokenizer.decode(greedy_ids),  # random ids: mostly bytes that are no UTF-8
        "logit_range": float(logits.max() - logits.min()),
        "smallest_gap": min(gaps),
        "short_prompts": short_prompts,
    }
    return golden, logits


def _without_stripping(tokenizer_json):
    """The tokenizer as GGUF can tell it: token types, but no lstrip or rstrip."""
    parsed = json.loads(tokenizer_json)
    for token in parsed["added_tokens"]:
        token["lstrip"] = token["rstrip"] = False
    return Tokenizer.from_str(json.dumps(parsed))


def text_golden(folder):
    """The text half of a golden: tokenizer vectors and rendered templates."""
    hf = AutoTokenizer.from_pretrained(folder)
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain = _without_stripping((folder / "tokenizer.json").read_text(encoding="utf-8"))

    def ids_of(text, special):
        ids = raw.encode(text, add_special_tokens=special).ids
        if hf(text, add_special_tokens=special)["input_ids"] != ids:
            raise ValueError(f"{folder.name}: transformers and tokenizers disagree on {text!r}")
        entry = {"ids": ids}
        gguf_ids = plain.encode(text, add_special_tokens=special).ids
        if gguf_ids != ids:
            entry["gguf_ids"] = gguf_ids
        return entry

    vectors = []
    for text in SAMPLE_TEXTS:
        entry = {"text": text, **ids_of(text, True)}
        entry["ids_without_special"] = raw.encode(text, add_special_tokens=False).ids
        entry["tokens"] = raw.encode(text).tokens
        entry["decoded"] = hf.decode(entry["ids"])
        entry["decoded_skip_special"] = hf.decode(entry["ids"], skip_special_tokens=True)
        vectors.append(entry)
    templates = []
    for conversation in CONVERSATIONS if hf.chat_template else []:
        prompt = hf.apply_chat_template(**_arguments(conversation), tokenize=False)
        entry = {**conversation, "prompt": prompt, **ids_of(prompt, False)}
        if hf.apply_chat_template(**_arguments(conversation), tokenize=True, return_dict=False) != entry["ids"]:
            raise ValueError(f"{folder.name}: apply_chat_template gives other ids than its own text")
        templates.append(entry)
    return {"tokenizer": vectors, "templates": templates}


def _arguments(conversation):
    return {
        "conversation": conversation["messages"],
        "add_generation_prompt": conversation["add_generation_prompt"],
    }


def write_golden(folder, golden, logits):
    folder.mkdir(parents=True, exist_ok=True)
    # One member a line: a changed golden shows in a diff as what changed.
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
    (folder / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    np.save(folder / "logits.npy", np.ascontiguousarray(logits, dtype="<f4"))
