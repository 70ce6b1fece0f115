"""The three byte-level BPE recipes, trained on a few kilobytes of text.

Pipelines are those of the published models' tokenizer.json files; vocabularies are ours.
"""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from golden_text import TRAINING_TEXT

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _train(tokenizer, size, first_tokens):
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=first_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TRAINING_TEXT, trainer)
    if tokenizer.get_vocab_size() != size:
        raise ValueError(f"the training text gives {tokenizer.get_vocab_size()} pieces, wanted {size}")
    return tokenizer


def smollm(size):
    """SmolLM2: digits alone, then GPT-2's pattern; special tokens first in the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _train(tokenizer, size, ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>"])


def llama3(size):
    """Llama 3: one regex, whole words before merges, special tokens last, <|begin_of_text|> put in front."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    special += [f"<|reserved_special_token_{i}|>" for i in range(3)]
    # Words that no merge leads to, as the conversion of a tiktoken vocabulary leaves some: only ignore_merges finds them.
    whole_words = ["quartz", "\u0120quartz"]
    trained = json.loads(_train(tokenizer, size - len(special) - len(whole_words), []).to_str())
    for word in whole_words:
        trained["model"]["vocab"][word] = len(trained["model"]["vocab"])
    trained["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(trained))
    tokenizer.add_special_tokens(special)
    bos = special[0]
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{bos} $A",
                pair=f"{bos} $A {bos}:1 $B:1",
                special_tokens=[(bos, tokenizer.token_to_id(bos))],
            ),
        ]
    )
    return tokenizer


def _gpt2(size, first_tokens):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return _train(tokenizer, size, first_tokens)


def gpt2_phi3(size):
    """GPT-2's pipeline with the special tokens of Phi-3's chat format, which swallow white space to their right."""
    special = ["<|endoftext|>", "<|assistant|>", "<|end|>", "<|system|>", "<|user|>"]
    tokenizer = _gpt2(size - len(special), [])
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False, rstrip=text != "<|endoftext|>") for text in special]
    )
    return tokenizer


def codegen(size):
    """Phi-2: GPT-2's pipeline; runs of spaces and tabs are added tokens that are not special."""
    runs = [" " * n for n in range(8, 1, -1)] + ["\t" * n for n in range(4, 1, -1)]
    tokenizer = _gpt2(size - 1 - len(runs), [])
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken(run, normalized=True) for run in runs])
    return tokenizer
