"""ICO with bitmaps and with PNG inside, by an encoder of our own: Pillow writes 32 bits only."""

import struct

import numpy as np

from .bmp import colours, info, padded
from .png import GRAY, GRAY_ALPHA, PALETTE, RGB, RGBA, chunk, palette_chunk, png, with_alpha
from .scene import alpha, bilevel, deep, gray, indexed, pack, pil, scene


def bitmap(rows: np.ndarray, bits: int, width: int, height: int, palette=None, mask=None) -> bytes:
    """A bitmap without its file header, twice as high as it is: the mask (1: transparent) lies above it."""
    mask = np.zeros((height, width), np.uint8) if mask is None else mask
    table = b"" if palette is None else colours(np.pad(palette, ((0, (1 << bits) - len(palette)), (0, 0))))
    return info(width, height * 2, bits) + table + padded(rows[::-1]) + padded(pack(mask[::-1], 1))


def ico(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Entries of (width, height, bits per pixel, image)."""
    at, directory, data = 6 + 16 * len(entries), b"", b""
    for width, height, bits, image in entries:
        directory += struct.pack("<BBBBHHII", width % 256, height % 256, 0, 0, 1, bits, len(image), at + len(data))
        data += image
    return struct.pack("<HHH", 0, 1, len(entries)) + directory + data


def bgra(side: int) -> np.ndarray:
    return with_alpha_of(side)[..., [2, 1, 0, 3]].reshape(side, -1)


def with_alpha_of(side: int) -> np.ndarray:
    return np.concatenate([scene(side, side), alpha(side, side)[..., None]], -1)


def of_depth(side: int, bits: int, mask=None) -> tuple[int, int, int, bytes]:
    """An entry with a bitmap."""
    if bits == 32:
        return side, side, bits, bitmap(bgra(side), 32, side, side, mask=mask)
    if bits == 24:
        return side, side, bits, bitmap(scene(side, side)[..., ::-1].reshape(side, -1), 24, side, side, mask=mask)
    two_colours = np.array([[9, 30, 99], [240, 220, 10]], np.uint8)
    indices, palette = (bilevel(side, side), two_colours) if bits == 1 else indexed(1 << min(bits, 7), side, side)
    return side, side, bits, bitmap(pack(indices, bits), bits, side, side, palette, mask)


def variants():
    corner = lambda side: (alpha(side, side) < 40).astype(np.uint8)
    for bits in [1, 4, 8, 24, 32]:
        yield f"bitmap, {bits} bits", f"bitmap{bits}.ico", ico(of_depth(32, bits))
    for bits in [8, 24, 32]:
        yield f"bitmap, {bits} bits, mask", f"mask{bits}.ico", ico(of_depth(40, bits, corner(40)))
    yield "PNG, RGBA", "png_rgba.ico", ico((48, 48, 32, png(with_alpha_of(48), 8, RGBA)))
    yield "PNG, RGB", "png_rgb.ico", ico((48, 48, 24, png(scene(48, 48), 8, RGB)))
    yield "several sizes", "sizes.ico", ico(of_depth(16, 32), of_depth(48, 32), of_depth(32, 32))
    yield "several sizes, the largest of fewer bits", "depths.ico", ico(of_depth(16, 32), of_depth(48, 8), of_depth(32, 32))
    yield "one size with several depths", "same_size.ico", ico(of_depth(32, 8), of_depth(32, 32), of_depth(32, 24))
    small = of_depth(16, 32)
    large = np.repeat(np.repeat(with_alpha_of(32), 8, 0), 8, 1)
    yield "bitmap and PNG of 256 x 256", "png256.ico", ico(small, (256, 256, 32, pil(large, "PNG")))
    five = lambda pixels: np.repeat(np.repeat(pixels, 5, 0), 5, 1)
    indices, palette = indexed(100, 48, 48)
    yield "PNG, palette", "png_palette.ico", ico((48, 48, 8, png(indices, 8, PALETTE, palette_chunk(palette))))
    transparent = chunk(b"tRNS", bytes(range(0, 100)))
    yield "PNG, palette, tRNS", "png_palette_trns.ico", ico((48, 48, 8, png(indices, 8, PALETTE, palette_chunk(palette), transparent)))
    yield "PNG, gray", "png_gray.ico", ico((48, 48, 8, png(gray(48, 48), 8, GRAY)))
    yield "PNG, gray and alpha", "png_gray_alpha.ico", ico((48, 48, 8, png(with_alpha_of(48)[..., 2:], 8, GRAY_ALPHA)))
    yield "PNG, gray, 16 bits", "png_gray16.ico", ico((48, 48, 8, png(deep(48, 48, 1) // 150, 16, GRAY)))
    yield "PNG, RGB, 16 bits", "png_rgb16.ico", ico((48, 48, 8, png(deep(48, 48), 16, RGB)))
    yield "PNG, bilevel", "png_bilevel.ico", ico((48, 48, 1, png(bilevel(48, 48), 1, GRAY)))
    yield "PNG, larger than its entry says", "png_larger.ico", ico((24, 24, 32, png(with_alpha_of(48), 8, RGBA)))
    yield "PNG, smaller than its entry says", "png_smaller.ico", ico((96, 96, 32, png(with_alpha_of(48), 8, RGBA)))
    yield "PNG of 300 x 300 as 0 x 0", "png300.ico", ico((0, 0, 32, pil(five(with_alpha_of(60)), "PNG")))
    yield "PNG, not square", "png_wide.ico", ico((48, 24, 24, png(scene(48, 24), 8, RGB)))
    yield "PNG without IEND", "png_no_end.ico", ico((48, 48, 24, png(scene(48, 48), 8, RGB)[:-12]))
