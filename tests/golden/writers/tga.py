"""TGA, by an encoder of our own for its row orders, 16 bits, palettes and run lengths."""

import struct

import numpy as np

from .bmp import packed
from .png import with_alpha
from .scene import gray, indexed, scene

FOOTER = struct.pack("<II", 0, 0) + b"TRUEVISION-XFILE.\0"
TOP_DOWN = 0x20


def runs(pixels: np.ndarray) -> bytes:
    """Runs and literal stretches of up to 128 pixels, within the rows."""
    out = bytearray()
    for row in pixels:
        units, at = [bytes(unit) for unit in row], 0
        while at < len(units):
            run = next((i for i in range(at, len(units)) if units[i] != units[at]), len(units)) - at
            if run > 1:
                out += bytes([0x80 | run - 1]) + units[at]
            else:
                run = next((i for i in range(at + 1, len(units)) if i + 1 < len(units) and units[i] == units[i + 1]), len(units)) - at
                out += bytes([run - 1]) + b"".join(units[at : at + run])
            at += run
    return bytes(out)


def tga(pixels: np.ndarray, kind: int, bits: int, *, palette=None, top_down=False, alpha_bits=0, footer=True) -> bytes:
    """`pixels`: height x width x bytes of a pixel."""
    height, width = pixels.shape[:2]
    rows = pixels if top_down else pixels[::-1]
    body = runs(rows) if kind >= 8 else rows.tobytes()
    table, length = (b"", 0) if palette is None else (palette[:, ::-1].tobytes(), len(palette))
    head = struct.pack("<BBBHHBHHHHBB", 0, length > 0, kind, 0, length, 24 if length else 0, 0, 0, width, height, bits,
                       alpha_bits | (TOP_DOWN if top_down else 0))  # fmt: skip
    return head + table + body + (FOOTER if footer else b"")


def variants():
    bgr = lambda: scene()[..., ::-1]
    bgra = lambda: with_alpha(scene())[..., [2, 1, 0, 3]]
    flat = lambda pixels: pixels // 64 * 64
    yield "type 2, 24 bits, bottom-up", "rgb24.tga", tga(bgr(), 2, 24)
    yield "type 2, 24 bits, top-down", "rgb24_top.tga", tga(bgr(), 2, 24, top_down=True)
    yield "type 2, 32 bits", "rgb32.tga", tga(bgra(), 2, 32, alpha_bits=8)
    words = packed(scene(), "555")[..., None].view(np.uint8)
    yield "type 2, 16 bits", "rgb16.tga", tga(words, 2, 16)
    yield "type 3, gray", "gray.tga", tga(gray()[..., None], 3, 8)
    yield "type 3, gray, top-down", "gray_top.tga", tga(gray()[..., None], 3, 8, top_down=True)
    indices, palette = indexed(200)
    yield "type 1, palette", "palette.tga", tga(indices[..., None], 1, 8, palette=palette)
    yield "type 10, RLE, 24 bits", "rle24.tga", tga(flat(bgr()), 10, 24)
    yield "type 10, RLE, 24 bits, top-down", "rle24_top.tga", tga(flat(bgr()), 10, 24, top_down=True)
    yield "type 10, RLE, 32 bits", "rle32.tga", tga(flat(bgra()), 10, 32, alpha_bits=8)
    yield "type 11, RLE, gray", "rle_gray.tga", tga(flat(gray())[..., None], 11, 8)
    indices, palette = indexed(16)
    yield "type 9, RLE, palette", "rle_palette.tga", tga(indices[..., None], 9, 8, palette=palette)
    yield "without the footer of version 2", "no_footer.tga", tga(bgr(), 2, 24, footer=False)
