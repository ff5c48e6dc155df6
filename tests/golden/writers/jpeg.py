"""JPEG, by Pillow and, for what Pillow does not write, imagecodecs: both are libjpeg-turbo."""

import struct

import imagecodecs
import numpy as np
from PIL import Image

from .scene import gray, pil, scene

APP14 = 0xEE


def without_segment(data: bytes, marker: int) -> bytes:
    """Leaves out a segment before the scan."""
    at, out = 2, data[:2]
    while data[at + 1] != 0xDA:
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        out += b"" if data[at + 1] == marker else data[at:end]
        at = end
    return out + data[at:]


def exif(orientation: int, order: str) -> bytes:
    """An Exif segment that states the orientation and nothing else. `order`: "<" or ">"."""
    mark = b"II" if order == "<" else b"MM"
    value = struct.pack(order + "HHIHH", 0x112, 3, 1, orientation, 0)
    return b"Exif\0\0" + mark + struct.pack(order + "HIH", 42, 8, 1) + value + struct.pack(order + "I", 0)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What is stored so that a viewer that heeds the orientation shows `pixels`."""
    flip = Image.Transpose
    undo = {2: flip.FLIP_LEFT_RIGHT, 3: flip.ROTATE_180, 4: flip.FLIP_TOP_BOTTOM, 5: flip.TRANSPOSE,
            6: flip.ROTATE_90, 7: flip.TRANSVERSE, 8: flip.ROTATE_270}  # fmt: skip
    image = Image.fromarray(pixels)
    return np.asarray(image.transpose(undo[orientation]) if orientation in undo else image)


def cmyk() -> np.ndarray:
    """Inks of an image, with black where all three are: 0 is none."""
    inks = 255 - scene().astype(np.int32)
    black = inks.min(-1, keepdims=True) * 3 // 4
    return np.concatenate([inks - black, black], -1).astype(np.uint8)


def other(pixels: np.ndarray, quality: int = 88, **options) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), quality, **options))


def twelve_megapixels() -> bytes:
    """As large as a phone's photo, and smooth, so that it is small."""
    small = Image.fromarray(scene(40, 30, seed=4000))
    return pil(small.resize((4000, 3000), Image.Resampling.BICUBIC), "JPEG", quality=30, subsampling="4:2:0", optimize=True)


def variants():
    for sampling in ["4:4:4", "4:2:2", "4:2:0"]:
        file = sampling.replace(":", "")
        yield f"baseline, {sampling}", f"baseline_{file}.jpg", pil(scene(), "JPEG", quality=88, subsampling=sampling)
        yield f"progressive, {sampling}", f"progressive_{file}.jpg", pil(scene(), "JPEG", quality=88, subsampling=sampling, progressive=True)
    for sampling in ["411", "440"]:
        name = ":".join(sampling)
        yield f"baseline, {name}", f"baseline_{sampling}.jpg", other(scene(), subsampling=sampling)
    yield "optimised tables", "optimised.jpg", pil(scene(), "JPEG", quality=75, optimize=True)
    yield "quality 10", "quality10.jpg", pil(scene(), "JPEG", quality=10)
    yield "grayscale", "gray.jpg", pil(gray(), "JPEG", quality=88)
    yield "grayscale, progressive", "gray_progressive.jpg", pil(gray(), "JPEG", quality=88, progressive=True)
    yield "RGB without a colour transform", "rgb.jpg", pil(scene(), "JPEG", quality=88, keep_rgb=True)
    yield "restart markers, each 3 blocks", "restart.jpg", pil(scene(), "JPEG", quality=88, subsampling="4:2:0", restart_marker_blocks=3)
    yield "restart markers, each row, progressive", "restart_progressive.jpg", pil(
        scene(), "JPEG", quality=88, restart_marker_rows=1, progressive=True)  # fmt: skip
    for width, height in [(1, 1), (8, 8), (17, 15), (16, 16), (31, 2), (3, 47)]:
        for sampling in ["4:4:4", "4:2:0"]:
            file = f"{width}x{height}_{sampling.replace(':', '')}.jpg"
            yield f"{width} x {height}, {sampling}", file, pil(scene(width, height), "JPEG", quality=88, subsampling=sampling)
    yield "CMYK, Adobe marker", "cmyk.jpg", other(255 - cmyk(), colorspace="CMYK", outcolorspace="CMYK")
    yield "CMYK, Adobe marker, progressive", "cmyk_progressive.jpg", pil(Image.fromarray(cmyk(), "CMYK"), "JPEG", quality=88, progressive=True)
    yield "CMYK, no Adobe marker", "cmyk_plain.jpg", without_segment(other(cmyk(), colorspace="CMYK", outcolorspace="CMYK"), APP14)
    yield "YCCK, Adobe marker", "ycck.jpg", other(255 - cmyk(), colorspace="CMYK", outcolorspace="YCCK")
    yield "YCCK, Adobe marker, 4:2:0", "ycck_420.jpg", other(255 - cmyk(), colorspace="CMYK", outcolorspace="YCCK", subsampling="420")
    yield "lossless", "lossless.jpg", other(scene(), 100, lossless=True)
    yield "12 megapixels", "large.jpg", twelve_megapixels()
    for orientation in range(1, 9):
        # Whole blocks and no subsampling, so that turning the image turns what is lost too.
        pixels = turned(scene(48, 32, seed=77), orientation)
        segment = exif(orientation, "<>"[orientation % 2])
        yield f"EXIF orientation {orientation}", f"orientation{orientation}.jpg", pil(
            np.ascontiguousarray(pixels), "JPEG", quality=95, subsampling="4:4:4", exif=segment)  # fmt: skip
