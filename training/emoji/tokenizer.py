"""A byte-level BPE of CLIP's kind with a vocabulary of its own."""

import json

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from .data import Emoji

CONTEXT, VOCABULARY = 32, 2000
START, END = "<|startoftext|>", "<|endoftext|>"
PATTERN = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
# Words that people put around a query, so that they are whole tokens.
COMMON = "a an the of on in with and or for to photo picture image emoji drawing small big happy very".split()


def make_tokenizer(emoji: list[Emoji]) -> CLIPTokenizer:
    """Merges learned from the words of the emoji."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    trained.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    # The trainer keeps only the letters that it saw: CLIP's vocabulary has all, inside and at the end of a word.
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, end_of_word_suffix="</w>", initial_alphabet=letters, show_progress=False)
    lines = [" ".join([one.name, *one.keywords, one.subgroup.replace("-", " ")]) for one in emoji]
    trained.train_from_iterator(lines + [" ".join(COMMON)] * 20, trainer)
    room = VOCABULARY - 2 * len(letters) - 2
    merges = [tuple(merge) for merge in json.loads(trained.to_str())["model"]["merges"]][:room]
    words = letters + [letter + "</w>" for letter in letters] + ["".join(merge) for merge in merges] + [START, END]
    words = list(dict.fromkeys(words))
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=merges, model_max_length=CONTEXT)


def encode(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Token ids (texts, longest), padded behind the end-of-text token."""
    return tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")["input_ids"]
