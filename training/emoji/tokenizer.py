"""The tokenizer of the emoji model: CLIP's kind, with a vocabulary of its own."""

import torch
from transformers import CLIPTokenizer

from training import bpe

from .data import Emoji

CONTEXT, VOCABULARY = 32, 2000
# Words that people put around a query, so that they are whole tokens.
COMMON = "a an the of on in with and or for to photo picture image emoji drawing small big happy very".split()


def make_tokenizer(emoji: list[Emoji]) -> CLIPTokenizer:
    """Merges learned from the words of the emoji."""
    lines = [" ".join([one.name, *one.keywords, one.subgroup.replace("-", " ")]) for one in emoji]
    merges = bpe.learn_merges(lines + [" ".join(COMMON)] * 20, VOCABULARY)
    return bpe.make_tokenizer(merges[: bpe.room_for_merges(VOCABULARY)], CONTEXT)


def encode(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Token ids (texts, longest), padded behind the end-of-text token."""
    return tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")["input_ids"]
