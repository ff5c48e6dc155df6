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
    # Imported here: those of other formats import this module.
    from .jpeg import directory, orientations, tiff_entry, turned, xmp

    stored = np.ascontiguousarray(turned(scene(48, 32, seed=78), 6))
    six = directory(tiff_entry("<", 0x112, 3, 1, b"\6"))
    profile = b"\nexif\n%8d\n" % (len(six) + 6) + (b"Exif\0\0" + six).hex().encode() + b"\n"
    international = lambda text, packed: b"XML:com.adobe.xmp\0" + bytes([packed, 0]) + b"\0\0" + (zlib.compress(text) if packed else text)
    for name, file, extra in [("eXIf", "exif", chunk(b"eXIf", six)), ("eXIf with a prefix", "exif_prefix", chunk(b"eXIf", b"Exif\0\0" + six)),
                              ("eXIf, as long", "exif_long", chunk(b"eXIf", orientations()["as long"])),
                              ("profile in tEXt", "profile", chunk(b"tEXt", b"Raw profile type exif\0" + profile)),
                              ("profile in zTXt", "profile_packed", chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))),
                              ("XMP", "xmp", chunk(b"iTXt", international(xmp(6), 0))),
                              ("XMP, compressed", "xmp_packed", chunk(b"iTXt", international(xmp(6, True), 1)))]:  # fmt: skip
        whole = png(stored, 8, RGB, extra)
        yield f"orientation 6, {name}", f"orientation_{file}.png", whole
        late = png(stored, 8, RGB)
        yield f"orientation 6, {name} behind the image", f"orientation_{file}_late.png", late[:-12] + extra + late[-12:]
    bad = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    text = chunk(b"tEXt", b"Comment\0words")
    plain = png(scene(), 8, RGB)
    yield "no IEND", "no_end.png", plain[:-12]
    yield "IEND cut", "end_cut.png", plain[:-6]
    yield "IEND without checksum", "end_no_checksum.png", plain[:-4]
    yield "IDAT without checksum", "data_no_checksum.png", plain[:-16]
    yield "bad checksum of text", "text_checksum.png", png(scene(), 8, RGB, bad(text))
    yield "bad checksum of text behind the image", "late_text_checksum.png", plain[:-12] + bad(text) + plain[-12:]
    yield "bad checksum of gamma", "gamma_checksum.png", png(scene(), 8, RGB, bad(chunk(b"gAMA", struct.pack(">I", 45455))))
    yield "bad checksum of a private chunk", "private_checksum.png", png(scene(), 8, RGB, bad(chunk(b"prVt", b"abc")))
    yield "bad checksum of IHDR", "header_checksum.png", plain[:29] + b"\0" + plain[30:]
    yield "bad checksum of IDAT", "data_checksum.png", bad(plain[:-12]) + plain[-12:]
    yield "bad checksum of IEND", "end_checksum.png", bad(plain)
    yield "text behind the image cut", "late_text_cut.png", plain[:-12] + text[:-6]
    yield "text cut before the image", "text_cut.png", plain[:33] + text[:9]
    packed = lambda data: header(scene(), 8, RGB) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    rows = filtered(scene().reshape(HEIGHT, -1), 3)
    row = 1 + 3 * WIDTH
    yield "one row missing", "row_missing.png", packed(zlib.compress(rows[:-row]))
    yield "half a row missing", "half_row_missing.png", packed(zlib.compress(rows[: -row // 2]))
    yield "one row too many", "row_too_many.png", packed(zlib.compress(rows + rows[-row:]))
    yield "bad checksum of the compressed data", "adler.png", packed(bad(zlib.compress(rows)))
    yield "compressed data without checksum", "no_adler.png", packed(zlib.compress(rows)[:-4])
    yield "bytes behind the compressed data", "data_trailer.png", packed(zlib.compress(rows) + b"more")
    yield "bytes behind IEND", "trailer.png", plain + b"trailer" * 9
    yield "empty IDAT first", "empty_data.png", plain[:33] + chunk(b"IDAT", b"") + plain[33:]
    yield "unknown filter", "filter.png", packed(zlib.compress(b"\x09" + rows[1:]))
    indices, palette = indexed(200)
    ragged = chunk(b"PLTE", palette.tobytes() + b"\x80")
    yield "palette of 200 colours and a third", "palette_ragged.png", png(indices, 8, PALETTE, ragged)
    yield "palette of fewer colours than are used", "palette_short.png", png(indices, 8, PALETTE, palette_chunk(palette[:100]))
    yield "no palette", "palette_missing.png", png(indices, 8, PALETTE)
    yield "palette behind IDAT", "palette_late.png", header(indices, 8, PALETTE) + chunk(b"IDAT", image_data(indices, 8, False)) + palette_chunk(palette) + chunk(b"IEND", b"")
    yield "palette in an RGB image, ragged", "rgb_palette_ragged.png", png(scene(), 8, RGB, ragged)
    yield "two palettes", "palettes.png", png(indices, 8, PALETTE, palette_chunk(palette[::-1].copy()), palette_chunk(palette))
    yield "more tRNS than colours", "trns_long.png", png(indices, 8, PALETTE, palette_chunk(palette[:200]), chunk(b"tRNS", bytes(range(256))))
    yield "RGB, tRNS too short", "trns_short.png", png(scene(), 8, RGB, chunk(b"tRNS", b"\0\1"))
