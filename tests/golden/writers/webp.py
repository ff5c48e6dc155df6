"""WebP, by Pillow's libwebp."""

import struct

import numpy as np
from PIL import Image

from .jpeg import exif, turned
from .png import with_alpha
from .scene import HEIGHT, WIDTH, pil, scene


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def small_first_frame() -> bytes:
    """An animation whose only frame covers a part of the canvas, which Pillow does not write."""
    image = pil(scene(25, 18), "WEBP", lossless=True)
    assert image[12:16] == b"VP8L"
    u24 = lambda value: struct.pack("<I", value)[:3]
    canvas = chunk(b"VP8X", bytes([0x02, 0, 0, 0]) + u24(WIDTH - 1) + u24(HEIGHT - 1))
    animation = chunk(b"ANIM", bytes([50, 100, 150, 255]) + b"\0\0")
    frame = chunk(b"ANMF", u24(8 // 2) + u24(6 // 2) + u24(24) + u24(17) + u24(100) + b"\0" + image[12:])
    body = b"WEBP" + canvas + animation + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def animated(images: list[np.ndarray], **options) -> bytes:
    first, *rest = [Image.fromarray(image) for image in images]
    return pil(first, "WEBP", save_all=True, append_images=rest, duration=100, **options)


def variants():
    rgba = lambda: with_alpha(scene())
    yield "lossy", "lossy.webp", pil(scene(), "WEBP", quality=85)
    yield "lossy, quality 20", "lossy20.webp", pil(scene(), "WEBP", quality=20)
    yield "lossy, even size", "lossy_even.webp", pil(scene(64, 48), "WEBP", quality=85)
    yield "lossy, simple filter and many segments", "lossy_method0.webp", pil(scene(90, 70), "WEBP", quality=60, method=0)
    yield "lossless", "lossless.webp", pil(scene(), "WEBP", lossless=True)
    yield "lossless, few colours", "lossless_palette.webp", pil(scene() // 64 * 64, "WEBP", lossless=True)
    yield "lossy, alpha", "lossy_alpha.webp", pil(rgba(), "WEBP", quality=85)
    yield "lossless, alpha", "lossless_alpha.webp", pil(rgba(), "WEBP", lossless=True)
    yield "lossless, alpha, colours below it kept", "lossless_exact.webp", pil(rgba(), "WEBP", lossless=True, exact=True)
    yield "animation, lossy, first frame", "animated_lossy.webp", animated([scene(), scene()], quality=85)
    yield "animation, lossless, first frame", "animated_lossless.webp", animated([scene(), scene()], lossless=True)
    yield "animation, alpha, first frame", "animated_alpha.webp", animated([rgba(), rgba()], lossless=True, exact=True)
    yield "animation, first frame smaller than the canvas", "animated_offset.webp", small_first_frame()
    stored = np.ascontiguousarray(turned(scene(48, 32), 6))
    yield "EXIF orientation 6", "orientation6.webp", pil(stored, "WEBP", lossless=True, exif=exif(6, ">"))
