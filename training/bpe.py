"""Tokenizers of CLIP's kind, a byte-level BPE: merges are learned from texts, and a tokenizer is made of merges."""

import json
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
PATTERN = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
# One for each byte; in CLIP's order, too.
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
WORD_END = "</w>"

Merge = tuple[str, str]


def learn_merges(lines: Iterable[str], size: int) -> list[Merge]:
    """The most useful merges first; those that are equally useful in no certain order, which differs from run to run.

    `size` is the trainer's own count: letters, inside and at the end of a word as far as the lines have them, and merges.
    """
    trained = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    trained.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    trained.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    trainer = trainers.BpeTrainer(vocab_size=size, end_of_word_suffix=WORD_END, initial_alphabet=LETTERS, show_progress=False)
    trained.train_from_iterator(lines, trainer)
    return [tuple(merge) for merge in json.loads(trained.to_str())["model"]["merges"]]


def room_for_merges(size: int) -> int:
    """How many merges fit into a vocabulary beside the letters, inside and at the end of a word, and the special tokens."""
    return size - 2 * len(LETTERS) - 2


def make_tokenizer(merges: list[Merge], context: int) -> CLIPTokenizer:
    """A tokenizer whose ids are in CLIP's order: letters, letters at the end of a word, merges, start, end."""
    # The trainer keeps only the letters that it saw: CLIP's vocabulary has all, inside and at the end of a word.
    words = LETTERS + [letter + WORD_END for letter in LETTERS] + ["".join(merge) for merge in merges] + [START, END]
    words = list(dict.fromkeys(words))
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=merges, model_max_length=context)
