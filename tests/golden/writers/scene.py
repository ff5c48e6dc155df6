"""The images that the variants show: gradients, edges, and a patch of grain. Small, and cheap to compress."""

import io
import itertools

import numpy as np
from PIL import Image

# Odd, and no multiple of any block or tile.
WIDTH, HEIGHT = 33, 25

# Each variant takes the next, so that no two files show the same image unless they ask for it.
_seeds = itertools.count(1)


def restart(seed: int):
    """Where the seeds go on, so that a new variant of one format leaves the other formats' files alone."""
    global _seeds
    _seeds = itertools.count(seed)


def scene(width: int = WIDTH, height: int = HEIGHT, seed: int | None = None) -> np.ndarray:
    """Height x width x 3, 8 bits."""
    random = np.random.default_rng(next(_seeds) if seed is None else seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    planes = []
    for _ in range(3):
        a, b, c, d = random.uniform(-5, 5, 4)
        planes.append(128 + 70 * np.sin(a * x + b * y + c) + 45 * np.cos(d * x * y * 3 + a))
    pixels = np.stack(planes, -1)
    for _ in range(3):
        x0, y0, radius = random.uniform(0, 1), random.uniform(0, height / max(width, height)), random.uniform(0.08, 0.3)
        if random.random() < 0.5:
            inside = (x - x0) ** 2 + (y - y0) ** 2 < radius**2
        else:
            inside = (abs(x - x0) < radius) & (abs(y - y0) < radius)
        pixels[inside] = random.uniform(0, 255, 3)
    patch = pixels[height // 3 : height // 2, width // 4 : width // 2]
    patch += random.normal(0, 12, patch.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def gray(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Height x width, 8 bits."""
    return np.asarray(Image.fromarray(scene(width, height)).convert("L"))


def alpha(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A mask with transparent, opaque and half-transparent parts."""
    y, x = np.mgrid[0:height, 0:width]
    return np.clip((x + y) * 6 - 120, 0, 255).astype(np.uint8)


def deep(width: int = WIDTH, height: int = HEIGHT, channels: int = 3) -> np.ndarray:
    """Height x width x channels, 16 bits whose lower bytes mean something."""
    pixels = np.concatenate([scene(width, height), alpha(width, height)[..., None]], -1)[..., :channels].astype(np.uint16)
    y, x = np.mgrid[0:height, 0:width]
    return pixels * 256 + ((x * 37 + y * 101) % 256).astype(np.uint16)[..., None]


def indexed(colours: int, width: int = WIDTH, height: int = HEIGHT) -> tuple[np.ndarray, np.ndarray]:
    """Indices (height x width) into a palette (colours x 3)."""
    image = Image.fromarray(scene(width, height)).quantize(colours, dither=Image.Dither.NONE)
    palette = np.frombuffer(image.palette.tobytes(), np.uint8).reshape(-1, 3)
    palette = np.concatenate([palette, np.zeros((colours, 3), np.uint8)])[:colours]
    return np.asarray(image), palette


def bilevel(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Height x width of 0 and 1: the pattern of dithering."""
    return np.asarray(Image.fromarray(scene(width, height)).convert("1")).astype(np.uint8)


def pack(samples: np.ndarray, depth: int) -> np.ndarray:
    """Rows (height x samples) of `depth` bits each to rows of bytes, first sample in the highest bits."""
    if depth == 16:
        return samples.astype(">u2").view(np.uint8).reshape(len(samples), -1)
    if depth == 8:
        return samples.astype(np.uint8)
    shifts = np.arange(depth - 1, -1, -1)
    return np.packbits(((samples[..., None] >> shifts) & 1).reshape(len(samples), -1).astype(np.uint8), axis=1)


def pil(pixels: np.ndarray | Image.Image, format: str, **options) -> bytes:
    """Pillow's writer."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
