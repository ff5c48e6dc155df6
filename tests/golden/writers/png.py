"""PNG of every colour type and depth, by an encoder of our own: Pillow writes neither interlaced ones nor 16-bit RGB."""

import struct
import zlib

import numpy as np

from .scene import HEIGHT, WIDTH, alpha, bilevel, deep, gray, indexed, pack, scene

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
# First column and row, and steps, of the seven passes.
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def filtered(rows: np.ndarray, step: int) -> bytes:
    """The rows' bytes with the five filters in turn. `step`: bytes of a pixel."""
    above, out = np.zeros(rows.shape[1], np.int32), bytearray()
    for number, row in enumerate(rows.astype(np.int32)):
        left, corner = (np.concatenate([np.zeros(step, np.int32), line])[: len(line)] for line in (row, above))
        estimate = left + above - corner
        distance = np.abs(estimate - [left, above, corner])
        nearest = np.where(distance[0] <= np.minimum(distance[1], distance[2]), left, np.where(distance[1] <= distance[2], above, corner))
        kind = number % 5
        out.append(kind)
        out += bytes(((row - [0 * left, left, above, (left + above) // 2, nearest][kind]) % 256).astype(np.uint8))
        above = row
    return bytes(out)


def image_data(samples: np.ndarray, depth: int, interlaced: bool) -> bytes:
    samples = samples.reshape(*samples.shape[:2], -1)
    step = max(1, samples.shape[2] * depth // 8)
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    rows = [filtered(pack(part.reshape(len(part), -1), depth), step) for part in parts if part.size]
    return zlib.compress(b"".join(rows), 9)


def header(samples: np.ndarray, depth: int, colour: int, interlaced: bool = False) -> bytes:
    height, width = samples.shape[:2]
    data = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", data)


def png(samples: np.ndarray, depth: int, colour: int, *chunks: bytes, interlaced: bool = False) -> bytes:
    """`chunks` go before the image data."""
    data = chunk(b"IDAT", image_data(samples, depth, interlaced))
    return header(samples, depth, colour, interlaced) + b"".join(chunks) + data + chunk(b"IEND", b"")


def palette_chunk(palette: np.ndarray) -> bytes:
    return chunk(b"PLTE", palette.tobytes())


def animated(in_animation: bool) -> bytes:
    """Two frames. The default image is the first, or not a part of the animation."""
    first, second = scene(), scene()
    control = lambda number: chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0))
    frames = [chunk(b"acTL", struct.pack(">II", 2 if in_animation else 1, 0))]
    frames += [control(0)] if in_animation else []
    number = len(frames) - 1
    frames += [chunk(b"IDAT", image_data(first, 8, False)), control(number)]
    frames += [chunk(b"fdAT", struct.pack(">I", number + 1) + image_data(second, 8, False)), chunk(b"IEND", b"")]
    return header(first, 8, RGB) + b"".join(frames)


def with_alpha(pixels: np.ndarray, depth: int = 8) -> np.ndarray:
    mask = alpha().astype(pixels.dtype) * (257 if depth == 16 else 1)
    return np.concatenate([pixels.reshape(HEIGHT, WIDTH, -1), mask[..., None]], -1)


def variants():
    for interlaced in [False, True]:
        name, file = (", interlaced", "_interlaced") if interlaced else ("", "")
        make = lambda *arguments: png(*arguments, interlaced=interlaced)
        for depth in [1, 2, 4, 8, 16]:
            samples = bilevel() if depth == 1 else deep(channels=1) if depth == 16 else gray() >> (8 - depth)
            yield f"gray, {depth} bits{name}", f"gray{depth}{file}.png", make(samples, depth, GRAY)
        # Most 16-bit gray of scanners and maps uses few of the levels.
        if not interlaced:
            yield "gray, 16 bits, dark", "gray16_dark.png", make(deep(channels=1) // 160, 16, GRAY)
        for depth in [1, 2, 4, 8]:
            indices, palette = indexed(1 << depth if depth < 8 else 200)
            yield f"palette, {depth} bits{name}", f"palette{depth}{file}.png", make(indices, depth, PALETTE, palette_chunk(palette))
        for depth in [8, 16]:
            pixels = scene() if depth == 8 else deep()
            yield f"RGB, {depth} bits{name}", f"rgb{depth}{file}.png", make(pixels, depth, RGB)
            pixels = with_alpha(gray() if depth == 8 else deep(channels=1), depth)
            yield f"gray and alpha, {depth} bits{name}", f"gray_alpha{depth}{file}.png", make(pixels, depth, GRAY_ALPHA)
            pixels = with_alpha(scene() if depth == 8 else deep(), depth)
            yield f"RGBA, {depth} bits{name}", f"rgba{depth}{file}.png", make(pixels, depth, RGBA)

    for depth in [2, 8]:
        indices, palette = indexed(1 << depth if depth < 8 else 200)
        transparent = chunk(b"tRNS", bytes([0, 100, 255] if depth == 2 else range(0, 150)))
        yield f"palette, {depth} bits, tRNS", f"palette{depth}_trns.png", png(indices, depth, PALETTE, palette_chunk(palette), transparent)
    for depth in [1, 4, 8, 16]:
        samples = bilevel() if depth == 1 else deep(channels=1) if depth == 16 else gray() >> (8 - depth)
        transparent = chunk(b"tRNS", struct.pack(">H", int(samples[10, 10].flat[0])))
        yield f"gray, {depth} bits, tRNS", f"gray{depth}_trns.png", png(samples, depth, GRAY, transparent)
    for depth in [8, 16]:
        pixels = scene() if depth == 8 else deep()
        transparent = chunk(b"tRNS", struct.pack(">3H", *(int(value) for value in pixels[5, 5])))
        yield f"RGB, {depth} bits, tRNS", f"rgb{depth}_trns.png", png(pixels, depth, RGB, transparent)
    yield "RGB, gAMA that PIL ignores", "gamma.png", png(scene(), 8, RGB, chunk(b"gAMA", struct.pack(">I", 100000)))
    yield "APNG, first frame", "animated.png", animated(True)
    yield "APNG, default image not in the animation", "animated_default.png", animated(False)
