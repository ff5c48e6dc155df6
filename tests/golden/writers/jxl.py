"""JPEG XL, by imagecodecs; Pillow's reader is the package pillow-jxl-plugin."""

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401  Pillow reads the format with it.

from .png import with_alpha
from .scene import alpha, deep, gray, pil, scene


def variants():
    yield "lossless, RGB", "rgb.jxl", encoded(scene(), lossless=True)
    yield "lossless, gray", "gray.jxl", encoded(gray(), lossless=True)
    yield "lossless, gray and alpha", "gray_alpha.jxl", encoded(np.stack([gray(), alpha()], -1), lossless=True)
    yield "lossless, RGB and alpha", "rgba.jxl", encoded(with_alpha(scene()), lossless=True)
    yield "lossless, gray of 16 bits", "gray16.jxl", encoded(deep()[..., 0], lossless=True)
    yield "lossless, RGB of 16 bits", "rgb16.jxl", encoded(deep(), lossless=True)
    for effort in [1, 3, 7, 9]:
        yield f"lossless, effort {effort}", f"effort{effort}.jxl", encoded(scene(97, 61), lossless=True, effort=effort)
    for distance in [0.5, 1.0, 3.0, 8.0]:
        name = f"lossy{distance:g}".replace(".", "_")
        yield f"lossy, distance {distance:g}", f"{name}.jxl", encoded(scene(97, 61), distance=distance)
    yield "lossy, gray", "gray_lossy.jxl", encoded(gray(97, 61), distance=1.0)
    yield "lossy, RGB and alpha", "rgba_lossy.jxl", encoded(with_alpha(scene()), distance=1.0)
    yield "in a container", "container.jxl", encoded(scene(), lossless=True, usecontainer=True)
    yield "decoded in steps", "progressive.jxl", encoded(scene(300, 280), distance=2.0, effort=7, decodingspeed=4)
    yield "of a JPEG", "of_jpeg.jxl", imagecodecs.jpegxl_encode_jpeg(pil(scene(97, 61), "JPEG"))
    yield "a million pixels of one level", "flat.jxl", encoded(np.zeros((1000, 1000), np.uint8), lossless=True, effort=3)
    whole = encoded(scene(97, 61), lossless=True)
    yield "cut off", "cut.jxl", whole[: len(whole) // 2]


def encoded(pixels: np.ndarray, **options) -> bytes:
    return imagecodecs.jpegxl_encode(pixels, **options)
