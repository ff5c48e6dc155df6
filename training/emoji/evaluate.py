"""Measures the model against its bars.

    python -m training.emoji.evaluate --model models/clip-search/emoji

Ends with status 1 where the exported model is below a bar.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from transformers import CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from . import data
from .tokenizer import CONTEXT

BARS = {
    "text→Noto R@1": 0.75, "text→Noto R@5": 0.95, "keyword P@5": 0.65,
    "text→Twemoji R@5": 0.40, "Noto→Twemoji R@5": 0.40,
}
QUERIES = ["red fruit", "a happy cat", "sailing boat", "music"]


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def recall(queries: np.ndarray, answers: np.ndarray, right: np.ndarray, k: int) -> float:
    """Share of queries whose own answer (`right`) is among the best k."""
    scores = queries @ answers.T
    own = scores[np.arange(len(queries)), right]
    return float(((scores > own[:, None]).sum(1) < k).mean())


def keyword_precision(embed_texts, emoji, pictures: np.ndarray) -> float:
    """Over all keywords of at least five emoji: how many of the best five pictures have every word of it."""
    shared = {}
    for one in emoji:
        for keyword in one.keywords:
            shared.setdefault(keyword.lower(), set(data.words_of(keyword)))
    found = []
    keywords = [(keyword, words) for keyword, words in sorted(shared.items()) if words]
    true = {keyword: np.array([words <= one.words for one in emoji]) for keyword, words in keywords}
    keywords = [keyword for keyword, _ in keywords if true[keyword].sum() >= 5]
    scores = embed_texts(keywords) @ pictures.T
    for keyword, row in zip(keywords, scores):
        found.append(true[keyword][np.argsort(-row)[:5]].mean())
    return float(np.mean(found))


def measure(embed_texts, embed_pictures, emoji, pictures) -> dict[str, float]:
    """`embed_*` give unit vectors; `pictures` as data.load has them."""
    names = embed_texts([one.name.lower() for one in emoji])
    noto = embed_pictures(pictures["noto"])
    there = [i for i, picture in enumerate(pictures["twemoji"]) if picture is not None]
    twemoji = embed_pictures([pictures["twemoji"][i] for i in there])
    every, known = np.arange(len(emoji)), np.arange(len(there))
    return {
        "text→Noto R@1": recall(names, noto, every, 1),
        "text→Noto R@5": recall(names, noto, every, 5),
        "keyword P@5": keyword_precision(embed_texts, emoji, noto),
        "text→Twemoji R@1": recall(names[there], twemoji, known, 1),
        "text→Twemoji R@5": recall(names[there], twemoji, known, 5),
        "Noto→Twemoji R@1": recall(noto[there], twemoji, known, 1),
        "Noto→Twemoji R@5": recall(noto[there], twemoji, known, 5),
    }


def summary(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def batches(items: list, size: int = 64):
    return (items[start:start + size] for start in range(0, len(items), size))


@torch.no_grad()
def measure_torch(model, tokenizer, emoji, pictures, normalisation) -> dict[str, float]:
    """The model in training, in fp32."""
    mean, std = normalisation
    side = model.config.vision_config.image_size
    plain = lambda answer: getattr(answer, "pooler_output", answer)

    def texts(items):
        ids = tokenizer(items, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")["input_ids"]
        return unit(torch.cat([plain(model.get_text_features(input_ids=part)) for part in ids.split(256)]))

    def images(items):
        pixels = (torch.from_numpy(data.as_array(items, side)).float() / 255 - mean) / std
        return unit(torch.cat([plain(model.get_image_features(pixel_values=part)) for part in pixels.split(128)]))

    return measure(texts, images, emoji, pictures)


class Exported:
    """A model directory, run as users run it: one text at a time, unpadded."""

    def __init__(self, directory: Path):
        self.tokenizer = CLIPTokenizer.from_pretrained(directory)
        self.processor = CLIPImageProcessorPil.from_pretrained(directory)
        self.text = onnxruntime.InferenceSession(directory / "onnx/text_model.onnx")
        self.vision = onnxruntime.InferenceSession(directory / "onnx/vision_model.onnx")

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, truncation=True, max_length=CONTEXT)["input_ids"]

    def run_text(self, ids: list[int]) -> np.ndarray:
        return unit(self.text.run(["text_embeds"], {"input_ids": np.array([ids], dtype=np.int64)})[0][0])

    def texts(self, items: list[str]) -> np.ndarray:
        return np.stack([self.run_text(self.ids(text)) for text in items])

    def padded_text(self, text: str) -> np.ndarray:
        ids = self.ids(text)
        return self.run_text(ids + [self.tokenizer.pad_token_id] * (CONTEXT - len(ids)))

    def pictures(self, items: list) -> np.ndarray:
        rows = []
        for part in batches(items):
            pixels = self.processor(part, return_tensors="np")["pixel_values"].astype(np.float32)
            rows.append(self.vision.run(["image_embeds"], {"pixel_values": pixels})[0])
        return unit(np.concatenate(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("models/clip-search/emoji"))
    parser.add_argument("--cache", type=Path, default=Path("target/training"))
    arguments = parser.parse_args()
    emoji, pictures = data.load(arguments.cache)
    model = Exported(arguments.model)
    figures = measure(model.texts, model.pictures, emoji, pictures)
    failed = False
    for name, value in figures.items():
        bar = BARS.get(name)
        below = bar is not None and value < bar
        failed |= below
        print(f"{name:20} {value:.3f}" + (f"  (bar {bar:.2f}{', NOT REACHED' if below else ''})" if bar else ""))
    noto = model.pictures(pictures["noto"])
    worst = min(float(model.padded_text(one.name) @ model.run_text(model.ids(one.name))) for one in emoji)
    size = sum(path.stat().st_size for path in (arguments.model / "onnx").iterdir())
    print(f"padded against unpadded text: worst cosine {worst:.6f}  (bar 0.999)")
    print(f"ONNX files: {size:,} bytes  (bar 4,000,000)")
    failed |= worst < 0.999 or size > 4_000_000
    for query in QUERIES:
        best = np.argsort(-(noto @ model.texts([query])[0]))[:5]
        print(f"{query:15} {', '.join(emoji[i].name for i in best)}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
