"""Makes the golden model, images and values that crates/clip is compared with.

    python -m pip install -r requirements.txt && python make_golden.py

The reference is transformers: CLIPModel in fp32, CLIPImageProcessorPil, CLIPTokenizer. What comes out is committed, so
that the tests need no Python. Running this again changes the last digits of floating-point numbers, and more often than
not the ids of a few tokens, with all that follows from them: see learn_merges in training/bpe.py.

    models/golden/small/   a CLIP with random weights, in the layout of the hub's ONNX exports, with fp32 and fp16 files
    variants/*.onnx        its text encoder with other inputs
    images/*             images of many kinds
    golden.json            text -> ids -> embedding; image -> embedding
    pixels.bin             each image after resizing and cropping, 8-bit, height x width x 3
    resize.json, .bin      sizes, filters and PIL's results on noise that the test makes for itself
"""

import io
import json
import math
import shutil
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image, ImageDraw
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
from training import bpe  # noqa: E402
from training.clip_onnx import Text, Vision, export  # noqa: E402

MODEL = HERE / "models/golden/small"
CONTEXT, SIDE, PATCH = 77, 48, 8


def make_tokenizer() -> CLIPTokenizer:
    """A byte-level BPE of CLIP's kind, with merges learned from corpus.txt."""
    with (HERE / "corpus.txt").open() as lines:
        return bpe.make_tokenizer(bpe.learn_merges(lines, 420)[:120], CONTEXT)


def make_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Random weights, large enough that different inputs give clearly different vectors."""
    torch.manual_seed(5)
    tokens = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    config = CLIPConfig(
        text_config=dict(vocab_size=len(tokenizer), hidden_size=24, intermediate_size=96, num_hidden_layers=2,
                         num_attention_heads=4, max_position_embeddings=CONTEXT, projection_dim=32, **tokens),
        vision_config=dict(hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                           image_size=SIDE, patch_size=PATCH, projection_dim=32),
        projection_dim=32,
    )
    model = CLIPModel._from_config(config, attn_implementation="eager").eval().float()
    # The image encoder is a little tamer: a model that turns one 8-bit level into another image measures nothing either.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            is_image, noise = name.startswith("vis"), torch.randn_like(weight)
            if name == "logit_scale":
                weight.fill_(math.log(20.0))
            elif "norm" in name:
                weight.add_(noise, alpha=0.1 if is_image else 0.2)
            elif "position_embedding" in name or "class_embedding" in name:
                weight.copy_(noise * (0.2 if is_image else 0.4))
            elif "token_embedding" in name:
                weight.copy_(noise)
            elif weight.dim() > 1:
                weight.copy_(noise * (1.1 if is_image else 1.5) / math.sqrt(weight[0].numel()))
            else:
                weight.copy_(noise * (0.05 if is_image else 0.2))
    return model


def export_all(model: CLIPModel):
    text, vision = Text(model), Vision(model)
    ids = torch.full((2, CONTEXT), model.config.text_config.eos_token_id)
    mask, short = torch.ones_like(ids), ids[:, :9]
    batch, both = {0: "batch_size"}, {0: "batch_size", 1: "sequence_length"}
    pixels = torch.zeros(2, 3, SIDE, SIDE)
    export(text, {"input_ids": short}, "text_embeds", MODEL / "onnx/text_model.onnx", {"input_ids": both})
    export(vision, {"pixel_values": pixels}, "image_embeds", MODEL / "onnx/vision_model.onnx", {"pixel_values": batch})

    variants = HERE / "variants"
    export(text, {"input_ids": short, "attention_mask": mask[:, :9]}, "text_embeds", variants / "free_mask.onnx",
           {"input_ids": both, "attention_mask": both})
    export(text, {"input_ids": ids}, "text_embeds", variants / "fixed.onnx", {"input_ids": batch})
    export(text, {"input_ids": ids.int(), "attention_mask": mask.int()}, "text_embeds", variants / "fixed_mask_int32.onnx",
           {"input_ids": batch, "attention_mask": batch})

    class WithPositions(Text):
        def forward(self, input_ids, position_ids):
            return super().forward(input_ids, None, position_ids)

    export(WithPositions(model), {"input_ids": ids[:1].int(), "position_ids": torch.arange(CONTEXT)[None]}, "embeddings",
           variants / "batch1_positions.onnx", {})

    model.half()
    export(text, {"input_ids": short}, "text_embeds", MODEL / "onnx/text_model_fp16.onnx", {"input_ids": both})
    export(vision, {"pixel_values": pixels.half()}, "image_embeds", MODEL / "onnx/vision_model_fp16.onnx", {"pixel_values": batch})


def noise(width: int, height: int, seed: int) -> np.ndarray:
    """Noise that the Rust test makes in the same way: a hash of each byte's number."""
    x = np.arange(width * height * 3, dtype=np.uint64) + np.uint64(seed * 1000003)
    x = (x * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
    return ((x >> np.uint64(13)) & np.uint64(255)).astype(np.uint8).reshape(height, width, 3)


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Something like a photo: smooth areas, edges, and a little grain."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    planes = []
    for _ in range(3):
        a, b, c, d = random.uniform(-6, 6, 4)
        planes.append(128 + 70 * np.sin(a * x + b * y + c) + 50 * np.cos(d * x * y * 4 + a))
    pixels = np.stack(planes, -1) + random.normal(0, 4, (height, width, 3))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x0, y0 = random.integers(0, width), random.integers(0, height)
        size = int(random.integers(4, max(5, min(width, height) // 2)))
        colour = tuple(int(v) for v in random.integers(0, 256, 3))
        (draw.ellipse if random.random() < 0.5 else draw.rectangle)((x0, y0, x0 + size, y0 + size), fill=colour)
    return image


def make_images(folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    gradient = np.stack(np.broadcast_arrays(np.arange(64)[None] * 4, np.arange(80)[:, None] * 3, np.array([[90]])), -1)
    alpha = photo(70, 50, 21)
    alpha.putalpha(Image.fromarray((noise(70, 50, 3)[..., 0] // 2 + np.arange(70)[None] * 1).astype(np.uint8)))
    deep = (np.arange(60 * 40, dtype=np.uint32).reshape(40, 60) * 27 % 700).astype(np.uint16)
    images = {
        "exact.png": photo(48, 48, 1),
        "wide.png": photo(97, 50, 2),
        "tall.png": photo(49, 120, 3),
        "small.png": photo(20, 31, 4),
        "tiny.png": photo(7, 5, 5),
        "one_pixel.png": Image.new("RGB", (1, 1), (200, 30, 90)),
        "line.png": photo(300, 2, 6),
        "gradient.png": Image.fromarray(gradient.astype(np.uint8)),
        "noise.png": Image.fromarray(noise(61, 53, 7)),
        "black.png": Image.new("RGB", (64, 64)),
        "white.png": Image.new("RGB", (50, 64), "white"),
        "gray.png": photo(66, 80, 8).convert("L"),
        "gray_alpha.png": photo(50, 50, 9).convert("LA"),
        "palette.png": photo(90, 60, 10).quantize(16),
        "one_bit.png": photo(64, 70, 11).convert("1"),
        "alpha.png": alpha,
        "deep_gray.png": Image.fromarray(deep),
        "photo_444.jpg": (photo(160, 120, 12), dict(quality=92, subsampling=0)),
        "photo_420.jpg": (photo(120, 163, 13), dict(quality=85, subsampling=2)),
        "photo_422.jpg": (photo(121, 90, 14), dict(quality=75, subsampling=1)),
        "progressive.jpg": (photo(150, 99, 15), dict(quality=80, progressive=True)),
        "gray.jpg": (photo(80, 80, 16).convert("L"), dict(quality=85)),
        "photo.gif": photo(64, 50, 17).quantize(32),
        "photo.bmp": photo(33, 40, 18),
        "photo.tiff": (photo(52, 45, 19), dict(compression="tiff_lzw")),
        "lossless.webp": (photo(60, 70, 20), dict(lossless=True)),
        "photo.webp": (photo(90, 70, 22), dict(quality=85)),
    }
    for name, image in images.items():
        image, options = image if isinstance(image, tuple) else (image, {})
        image.save(folder / name, **options)
    # PIL writes no 16-bit RGB.
    rgb = np.repeat(deep[:, :, None], 3, 2) ^ np.array([0, 21845, 43690], np.uint16)
    rows = b"".join(b"\0" + row.tobytes() for row in rgb.astype(">u2"))
    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 16, 2, 0, 0, 0)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    (folder / "deep_rgb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


TEXTS = [
    "a photo of a cat", "a photo of a dog", "a dog", "A DOG ON THE BEACH", "red fruit", "a happy cat", "sailing boat", "music",
    "", " ", "the", "the the the", "a cup of coffee and a piece of cake", "snow covered trees in the winter forest",
    "  spaces \t and\nlines  ", "it's the dog's, we'll say they've", "1234567890", "naïve café Ångström", "e\u0301 is é",
    "猫の写真", "صورة قطة", "😀🏳️‍🌈👩‍👩‍👧", "&amp; &lt;b&gt;", "a\u200bb\u0007c", "<|endoftext|> in the middle",
    "a man riding a bicycle down the hill " * 8, "x" * 500, "the night sky " * 40, "ẞ İ ﬁ Ⅷ ½",
]


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def spread(name: str, rows: np.ndarray):
    cosine = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    print(f"{name}: pairwise cosine min {cosine.min():.3f}, median {np.median(cosine):.3f}, max {cosine.max():.3f}")


def numbers(row) -> list[float]:
    return [float(f"{value:.9g}") for value in row]


def make_resize_cases():
    """Images of noise: sizes in and out, filter, and what PIL makes of them."""
    random, cases, results = np.random.default_rng(5), [], []
    for number in range(60):
        width, height = (int(v) for v in random.integers(1, 90, 2))
        out_width, out_height = (int(v) for v in random.integers(1, 33, 2))
        if number % 10 == 0:
            out_width = width
        if number % 10 == 5:
            width, out_height = int(random.integers(300, 900)), 20
        resample = number % 6
        image = Image.fromarray(noise(width, height, number))
        results.append(np.asarray(image.resize((out_width, out_height), resample=resample)).tobytes())
        cases.append(dict(width=width, height=height, out_width=out_width, out_height=out_height, resample=resample, seed=number))
    # Shortest edge and crop, through the processor.
    for number in range(60, 90):
        width, height = (int(v) for v in random.integers(1, 120, 2))
        edge, crop = int(random.integers(1, 40)), int(random.integers(1, 30))
        processor = CLIPImageProcessorPil(size={"shortest_edge": edge}, crop_size={"height": crop, "width": crop + number % 3},
                                          do_rescale=False, do_normalize=False)
        pixels = processor(Image.fromarray(noise(width, height, number)), return_tensors="np")["pixel_values"][0]
        results.append(np.moveaxis(pixels, 0, -1).astype(np.uint8).tobytes())
        cases.append(dict(width=width, height=height, edge=edge, out_width=crop + number % 3, out_height=crop, resample=3, seed=number))
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "resize.json").write_text(f"[\n{lines}\n]\n")
    (HERE / "resize.bin").write_bytes(b"".join(results))


def main():
    for folder in ["models", "variants", "images"]:
        shutil.rmtree(HERE / folder, ignore_errors=True)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    levels = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, do_rescale=False, do_normalize=False)
    MODEL.mkdir(parents=True)
    tokenizer.save_pretrained(MODEL)
    model.config.to_json_file(MODEL / "config.json", use_diff=False)
    config = json.loads((MODEL / "config.json").read_text()) | {"logit_scale": 20.0}
    (MODEL / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    processor.save_pretrained(MODEL)
    make_images(HERE / "images")

    embedding = lambda answer: (answer.pooler_output if hasattr(answer, "pooler_output") else answer)[0].numpy()
    texts, images, pixels = [], [], []
    with torch.no_grad():
        for text in TEXTS:
            tokens = tokenizer(text, truncation=True, max_length=CONTEXT, return_tensors="pt")
            vector = unit(embedding(model.get_text_features(**tokens)))
            full = tokenizer(text)["input_ids"]
            texts.append(dict(text=text, tokens=len(full), ids=tokens["input_ids"][0].tolist(), embedding=numbers(vector)))
        for path in sorted((HERE / "images").iterdir()):
            image = Image.open(path)
            # As PIL's convert("RGB") has it, which leaves alpha out; and as the processor itself does, which lays it on white.
            plain = image.convert("RGB")
            features = lambda image: unit(embedding(model.get_image_features(**processor(image, return_tensors="pt"))))
            entry = dict(file=path.name, width=image.width, height=image.height, embedding=numbers(features(plain)))
            over_white = numbers(features(image))
            if over_white != entry["embedding"]:
                entry["embedding_on_white"] = over_white
            images.append(entry)
            pixels.append(np.moveaxis(levels(plain, return_tensors="np")["pixel_values"][0], 0, -1).astype(np.uint8))
    spread("texts", np.array([text["embedding"] for text in texts if text["ids"]]))
    spread("images", np.array([image["embedding"] for image in images]))
    (HERE / "pixels.bin").write_bytes(b"".join(image.tobytes() for image in pixels))
    lines = lambda entries: ",\n".join("  " + json.dumps(entry) for entry in entries)
    (HERE / "golden.json").write_text(f'{{"texts": [\n{lines(texts)}\n],\n"images": [\n{lines(images)}\n]}}\n')
    make_resize_cases()
    export_all(model)

    # The exported graphs against the reference.
    session = onnxruntime.InferenceSession(MODEL / "onnx/text_model.onnx")
    worst = min(float(unit(session.run(["text_embeds"], {"input_ids": np.array([text["ids"]])})[0][0]) @ text["embedding"]) for text in texts)
    print(f"text graph against CLIPModel: worst cosine {worst:.9f}")
    print("bytes:", sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()))


if __name__ == "__main__":
    main()
