"""Trains `clip-search/emoji` from scratch and exports it.

    python -m training.emoji.train --output models/clip-search/emoji

First the text tower alone learns to place captions where a latent semantic index of the emoji's words has them; then both
towers are trained with CLIP's contrastive loss, with multi-positive targets: an emoji is a positive of a caption if every
word of the caption is true of it. Plain CLIP with one positive is told that "music" is wrong for all musical emoji but one.
Last, the text tower alone is tuned against the pictures of all emoji at once: a batch of 128 has few of the two dozen emoji
that "music" is true of, and few of those that it is easily confused with.
"""

import argparse
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from . import augment, data, evaluate, export
from .tokenizer import CONTEXT, encode, make_tokenizer

SIDE, PATCH, WIDTH, DIMENSION = 64, 8, 128, 128
PATCHES = (SIDE // PATCH) ** 2
MEAN, STD = 0.5, 0.5


def make_model(tokenizer) -> CLIPModel:
    tokens = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    tower = dict(hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_attention_heads=4, projection_dim=DIMENSION, hidden_act="quick_gelu")
    config = CLIPConfig(
        text_config=dict(vocab_size=len(tokenizer), num_hidden_layers=2, max_position_embeddings=CONTEXT, **tower, **tokens),
        vision_config=dict(image_size=SIDE, patch_size=PATCH, num_hidden_layers=6, **tower),
        projection_dim=DIMENSION,
    )
    return CLIPModel._from_config(config, attn_implementation="sdpa")


class Captions:
    """Random captions of an emoji, and which emoji each is true of."""

    def __init__(self, emoji: list[data.Emoji]):
        self.emoji = emoji
        vocabulary = set().union(*(one.words for one in emoji))
        self.words = [sorted(one.words | data.parts_of(one.words, vocabulary)) for one in emoji]
        vocabulary = sorted(set().union(*self.words))
        self.index = {word: i for i, word in enumerate(vocabulary)}
        self.bases = {form: word for word in vocabulary for form in data.inflections(word) if form not in self.index}
        self.matrix = torch.zeros(len(emoji), len(vocabulary), dtype=torch.bool)
        for row, words in zip(self.matrix, self.words):
            row[[self.index[word] for word in words]] = True

    def name(self, i: int) -> str:
        return self.emoji[i].name.lower()

    def mixture(self, i: int) -> str:
        """Keywords, the name, the subgroup, in any order; sometimes behind a template, as people type."""
        one = self.emoji[i]
        parts = [one.name.lower()] * (random.random() < 0.3) + random.sample(one.keywords, min(len(one.keywords), random.choice([1, 1, 2, 2, 3])))
        if random.random() < 0.15:
            parts.append(one.subgroup.split("-", 1)[-1].replace("-", " "))
        random.shuffle(parts)
        text = " ".join(parts).lower() or self.name(i)
        if random.random() < 0.25:
            # Words of the name alone: "red apple" is also an apple.
            words = self.name(i).split()
            text = " ".join(sorted(random.sample(words, random.randint(1, len(words))), key=words.index))
        if random.random() < 0.25:
            text = " ".join(random.sample(self.words[i], min(len(self.words[i]), random.choice([1, 2, 2]))))
        text = " ".join(random.choice(data.inflections(word)) if random.random() < 0.15 else word for word in text.split())
        if random.random() < 0.15:
            text = random.choice(["a {}", "the {}", "a photo of a {}", "a picture of a {}", "emoji of {}"]).format(text)
        return text

    def positives(self, texts: list[str]) -> torch.Tensor:
        """bool (texts, emoji). Words that are said of no emoji ("photo") do not count."""
        rows = []
        for text in texts:
            words = [self.bases.get(word, word) for word in data.words_of(text)]
            ids = [self.index[word] for word in words if word in self.index and word not in ("photo", "picture", "emoji")]
            rows.append(self.matrix[:, ids].all(1) if ids else torch.zeros(len(self.emoji), dtype=torch.bool))
        return torch.stack(rows)

    def semantic_index(self) -> torch.Tensor:
        """(emoji, DIMENSION): truncated SVD of the IDF-weighted emoji × word matrix, rows of unit length."""
        counts = self.matrix.float()
        weighted = F.normalize(counts * torch.log(len(counts) / counts.sum(0)), dim=1)
        left, values, _ = torch.linalg.svd(weighted, full_matrices=False)
        return F.normalize(left[:, :DIMENSION] * values[:DIMENSION], dim=1)


def text_features(model: CLIPModel, ids: torch.Tensor) -> torch.Tensor:
    answer = model.get_text_features(input_ids=ids)
    return F.normalize(getattr(answer, "pooler_output", answer), dim=-1)


def image_features(model: CLIPModel, pixels: torch.Tensor, keep: int | None) -> torch.Tensor:
    """`keep`: so many random patches, for speed and as regularisation; None: all."""
    tower = model.vision_model
    hidden = tower.embeddings(pixels)
    if keep:
        chosen = torch.rand(len(pixels), PATCHES).topk(keep, dim=1).indices + 1
        chosen = torch.cat([torch.zeros(len(pixels), 1, dtype=torch.long), chosen], 1)
        hidden = hidden.gather(1, chosen[:, :, None].expand(-1, -1, hidden.shape[-1]))
    hidden = tower.encoder(inputs_embeds=tower.pre_layrnorm(hidden)).last_hidden_state
    return F.normalize(model.visual_projection(tower.post_layernorm(hidden[:, 0])), dim=-1)


def optimizers(model: CLIPModel, towers: list[torch.nn.Module]):
    """Muon on the matrices of the encoders, AdamW on the rest."""
    matrices = [p for tower in towers for p in tower.encoder.parameters() if p.dim() == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [torch.optim.Muon(matrices, lr=0.02, weight_decay=0.01, momentum=0.95),
            torch.optim.AdamW(rest, lr=1.5e-3, weight_decay=0.02, betas=(0.9, 0.98))]


def schedule(optimizer_list, step: int, steps: int, warm_up: int):
    """Linear warm-up, then a cosine to nothing."""
    factor = min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))
    for optimizer in optimizer_list:
        for group in optimizer.param_groups:
            group.setdefault("peak", group["lr"])
            group["lr"] = group["peak"] * max(factor, 0.01)


def pretrain_text(model, tokenizer, captions: Captions, steps: int):
    target = captions.semantic_index()
    chosen = optimizers(model, [model.text_model])
    for step in range(steps):
        schedule(chosen, step, steps, 20)
        texts = [captions.mixture(random.randrange(len(captions.emoji))) for _ in range(256)]
        positives = captions.positives(texts).float()
        known = positives.sum(1) > 0
        goal = F.normalize(positives @ target, dim=1)
        loss = 1 - (text_features(model, encode(tokenizer, texts)) * goal).sum(1)[known].mean()
        take_step(chosen, loss)
        if step % 50 == 0:
            print(f"text {step:5d}  loss {loss.item():.3f}", flush=True)


def take_step(chosen, loss):
    for optimizer in chosen:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for optimizer in chosen:
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
        optimizer.step()


def multi_positive(logits: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
    """Cross-entropy against the even distribution over the positives of each row."""
    share = positives.float() / positives.sum(1, keepdim=True).clamp(min=1)
    return -(share * logits.log_softmax(1)).sum(1).mean()


def contrast(model, tokenizer, captions: Captions, renderers: list[np.ndarray], steps: int, batch: int, report):
    count, bank = len(captions.emoji), None
    chosen = optimizers(model, [model.text_model, model.vision_model])
    stacks = [torch.from_numpy(pictures) for pictures in renderers]
    has_second = (stacks[1].flatten(1) > 0).any(1) if len(stacks) > 1 else None
    names = encode(tokenizer, [captions.name(i) for i in range(count)])
    full_from = int(0.82 * steps)
    order, began = [], time.time()
    for step in range(steps):
        schedule(chosen, step, steps, 60)
        if len(order) < batch:
            order = random.sample(range(count), count)
        rows = torch.tensor([order.pop() for _ in range(batch)])
        pictures = stacks[0][rows].clone()
        if len(stacks) > 1:
            other = (torch.rand(batch) < 0.4) & has_second[rows]
            pictures[other] = stacks[1][rows[other]]
        pixels = augment.augment(pictures, SIDE, strength=min(1.0, 0.3 + step / (0.5 * steps)), plain=0.3)
        images = image_features(model, (pixels - MEAN) / STD, 20 if step < full_from else None)
        texts = [captions.name(i) for i in rows.tolist()] + [captions.mixture(i) for i in rows.tolist()]
        ids = encode(tokenizer, texts)
        features = text_features(model, ids)
        positives = captions.positives(texts)[:, rows]
        positives[torch.arange(2 * batch), torch.arange(2 * batch) % batch] = True
        scale = model.logit_scale.exp().clamp(max=100)
        logits = scale * features @ images.T
        loss = 0.5 * (multi_positive(logits, positives) + multi_positive(logits[:batch].T, positives[:batch].T)) \
            + 0.5 * multi_positive(logits[batch:].T, positives[batch:].T)
        if step % 60 == 0:
            with torch.no_grad():
                bank = text_features(model, names)
        if step >= 60:
            loss = loss + 0.5 * F.cross_entropy(scale * images @ bank.T, rows)
        take_step(chosen, loss)
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if step % 50 == 0:
            print(f"clip {step:5d}  loss {loss.item():.3f}  scale {scale.item():.1f}  {time.time() - began:.0f} s", flush=True)
        if step and step % 400 == 0:
            report(step)


def stretch(tokenizer, text: str) -> str:
    """Puts in a word that is said of no emoji, as people do: the other words still say what is meant."""
    words = text.split()
    noise = tokenizer.decode([random.randrange(512, len(tokenizer) - 2)]).strip()
    words.insert(random.randint(0, len(words)), noise + random.choice(["", "ing", "s", "ed", "y"]))
    return " ".join(words)


def tune_text(model, tokenizer, captions: Captions, renderers: list[np.ndarray], steps: int, batch: int = 256):
    """The image tower is frozen: its pictures of all emoji, plain and augmented, of each renderer, are the classes."""
    stacks = [torch.from_numpy(pictures) for pictures in renderers]
    has_second = (stacks[1].flatten(1) > 0).any(1)
    matrices = [p for p in model.text_model.encoder.parameters() if p.dim() == 2]
    chosen_ids = {id(p) for p in matrices}
    rest = [p for p in [*model.text_model.parameters(), *model.text_projection.parameters()] if id(p) not in chosen_ids]
    chosen = [torch.optim.Muon(matrices, lr=0.006, weight_decay=0.01, momentum=0.95),
              torch.optim.AdamW(rest, lr=6e-4, weight_decay=0.02, betas=(0.9, 0.98))]
    scale, banks = model.logit_scale.exp().item(), []
    for step in range(steps):
        schedule(chosen, step, steps, 30)
        if step % 100 == 0:
            with torch.no_grad():
                banks = [picture_bank(model, stacks[0], plain=1.0), picture_bank(model, stacks[0], plain=0.0)]
                banks.append(torch.where(has_second[:, None], picture_bank(model, stacks[1], plain=0.5), banks[0]))
        rows = random.sample(range(len(captions.emoji)), batch)
        texts = [captions.name(i) if j % 3 == 0 else captions.mixture(i) for j, i in enumerate(rows)]
        texts = [text if random.random() < 0.8 else stretch(tokenizer, text) for text in texts]
        positives = captions.positives(texts)
        positives[torch.arange(batch), torch.tensor(rows)] = True
        features = text_features(model, encode(tokenizer, texts))
        loss = sum(multi_positive(scale * features @ bank.T, positives) for bank in banks) / len(banks)
        take_step(chosen, loss)
        if step % 50 == 0:
            print(f"tune {step:5d}  loss {loss.item():.3f}", flush=True)


def picture_bank(model, pictures: torch.Tensor, plain: float) -> torch.Tensor:
    """(emoji, DIMENSION)"""
    parts = []
    for part in pictures.split(128):
        pixels = augment.augment(part, SIDE, strength=0.7, plain=plain)
        parts.append(image_features(model, (pixels - MEAN) / STD, None))
    return torch.cat(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("models/clip-search/emoji"))
    parser.add_argument("--cache", type=Path, default=Path("target/training"), help="folder of the npm packages and the checkpoint")
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--text-steps", type=int, default=400)
    parser.add_argument("--tune-steps", type=int, default=600)
    parser.add_argument("--resume", action="store_true", help="start at the tuning, from the checkpoint in the cache folder")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random.seed(arguments.seed), np.random.seed(arguments.seed), torch.manual_seed(arguments.seed)

    emoji, pictures = data.load(arguments.cache)
    # For the demo and the tests, which search what the model was trained on, whatever Unicode's latest list is.
    listed = "".join(f"{one.code_points}\t{one.name}\t{one.subgroup}\n" for one in emoji)
    Path(__file__).with_name("emoji.txt").write_text(listed)
    captions = Captions(emoji)
    tokenizer = make_tokenizer(emoji)
    model = make_model(tokenizer)
    print(f"{len(emoji)} emoji, {len(tokenizer)} tokens, {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    renderers = [data.as_array(pictures[name], 96) for name in ("noto", "fluent")]

    def report(step):
        print(f"{step}:", evaluate.summary(evaluate.measure_torch(model, tokenizer, emoji, pictures, (MEAN, STD))), flush=True)

    checkpoint = arguments.cache / "checkpoint.pt"
    if arguments.resume:
        model.load_state_dict(torch.load(checkpoint))
        tokenizer = CLIPTokenizer.from_pretrained(arguments.cache / "tokenizer")
    else:
        pretrain_text(model, tokenizer, captions, arguments.text_steps)
        contrast(model, tokenizer, captions, renderers, arguments.steps, arguments.batch, report)
        report("contrast")
        arguments.cache.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), checkpoint)
        # The trainer of the vocabulary breaks ties at random: ids belong to this checkpoint alone.
        tokenizer.save_pretrained(arguments.cache / "tokenizer")
    tune_text(model, tokenizer, captions, renderers, arguments.tune_steps)
    report("tuned")
    export.export(model, tokenizer, arguments.output, SIDE, MEAN, STD)


if __name__ == "__main__":
    main()
