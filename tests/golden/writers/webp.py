"""WebP, by Pillow's libwebp."""

import struct

import numpy as np
from PIL import Image

from .jpeg import directory, exif, orientations, tiff_entry, turned, xmp
from .png import with_alpha
from .scene import HEIGHT, WIDTH, pil, scene


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def u24(value: int) -> bytes:
    return struct.pack("<I", value)[:3]


def small_first_frame(image: bytes | None = None, flags: int = 0x02, ways: int = 0) -> bytes:
    """An animation whose only frame covers a part of the canvas, which Pillow does not write."""
    image = image or pil(scene(25, 18), "WEBP", lossless=True)
    if image[12:16] == b"VP8X":
        image = image[18:]
    canvas = chunk(b"VP8X", bytes([flags, 0, 0, 0]) + u24(WIDTH - 1) + u24(HEIGHT - 1))
    animation = chunk(b"ANIM", bytes([50, 100, 150, 255]) + b"\0\0")
    frame = chunk(b"ANMF", u24(8 // 2) + u24(6 // 2) + u24(24) + u24(17) + u24(100) + bytes([ways]) + image[12:])
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
    patch = lambda: with_alpha(scene())[:18, 8:33]
    for ways, way in enumerate(["blended", "blended, disposed of", "laid over", "laid over, disposed of"]):
        file = f"animated_small{ways}"
        yield f"animation, small first frame, lossy, {way}", f"{file}_lossy.webp", small_first_frame(pil(scene(25, 18), "WEBP", quality=80), 0x02, ways)
        yield f"animation, small first frame, alpha, {way}", f"{file}_alpha.webp", small_first_frame(pil(patch(), "WEBP", lossless=True, exact=True), 0x12, ways)
        yield f"animation, small first frame, lossy, alpha, {way}", f"{file}_lossy_alpha.webp", small_first_frame(pil(patch(), "WEBP", quality=80), 0x12, ways)
    yield "animation, alpha that its header does not announce", "animated_no_flag.webp", small_first_frame(pil(patch(), "WEBP", lossless=True, exact=True), 0x02)
    yield "animation, announced alpha that it has not", "animated_flag.webp", small_first_frame(None, 0x12)
    stored = np.ascontiguousarray(turned(scene(48, 32, seed=79), 6))
    image = pil(stored, "WEBP", lossless=True)[12:]
    six = directory(tiff_entry("<", 0x112, 3, 1, b"\6"))

    def extended(flags: int, *chunks: bytes) -> bytes:
        size = stored.shape[1] - 1, stored.shape[0] - 1
        body = b"WEBP" + chunk(b"VP8X", bytes([flags, 0, 0, 0]) + u24(size[0]) + u24(size[1])) + image + b"".join(chunks)
        return b"RIFF" + struct.pack("<I", len(body)) + body

    yield "EXIF orientation 6, with a prefix", "exif_prefix.webp", extended(8, chunk(b"EXIF", b"Exif\0\0" + six))
    yield "EXIF orientation 6, as long", "exif_long.webp", extended(8, chunk(b"EXIF", orientations()["as long"]))
    yield "EXIF orientation 6 that the header does not announce", "exif_no_flag.webp", extended(0, chunk(b"EXIF", six))
    yield "EXIF orientation 6, then 3", "exif_twice.webp", extended(8, chunk(b"EXIF", six), chunk(b"EXIF", directory(tiff_entry("<", 0x112, 3, 1, b"\3"))))
    yield "XMP orientation 6", "xmp.webp", extended(4, chunk(b"XMP ", xmp(6)))
