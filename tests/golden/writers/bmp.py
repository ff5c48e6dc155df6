"""BMP of every depth and header, by an encoder of our own: Pillow writes 1, 8, 24 and 32 bits with one header."""

import struct

import numpy as np

from .png import with_alpha
from .scene import HEIGHT, WIDTH, bilevel, indexed, pack, scene

RLE8, RLE4, BITFIELDS = 1, 2, 3
MASKS = {"555": (0x7C00, 0x3E0, 0x1F), "565": (0xF800, 0x7E0, 0x1F), "888": (0xFF0000, 0xFF00, 0xFF)}


def padded(rows: np.ndarray) -> bytes:
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()


def info(width: int, height: int, bits: int, compression=0, size=0, colours=0, header=40, masks=(0, 0, 0, 0)) -> bytes:
    """A BITMAPINFOHEADER, or with `header` 108 or 124 its fourth and fifth version."""
    data = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, size, 2835, 2835, colours, 0)
    if header > 40:
        data += struct.pack("<4I", *masks) + b"sRGB"[::-1]
    return data.ljust(header, b"\0")


def bmp(head: bytes, tables: bytes, pixels: bytes) -> bytes:
    """`tables`: masks and palette, between the header and the pixels."""
    start = 14 + len(head) + len(tables)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + tables + pixels


def colours(palette: np.ndarray, size: int = 4) -> bytes:
    return np.pad(palette[:, ::-1], ((0, 0), (0, size - 3))).tobytes()


def packed(pixels: np.ndarray, kind: str) -> np.ndarray:
    """Height x width of 16-bit words."""
    red, green, blue = (pixels[..., i].astype(np.uint16) for i in range(3))
    green_bits = int(kind[1])
    return (red >> 3) << (5 + green_bits) | (green >> (8 - green_bits)) << 5 | blue >> 3


def rle(indices: np.ndarray, four: bool) -> bytes:
    """Runs, literal stretches, and the end of each row; from the bottom."""
    out, joined = bytearray(), lambda values: pack(np.array([list(values)]), 4).tobytes() if four else bytes(values)
    for row in indices[::-1].tolist():
        at = 0
        while at < len(row):
            run = next((i for i in range(at, len(row)) if row[i] != row[at]), len(row)) - at
            if run >= 3 or len(row) - at < 3:
                run = min(run, 255)
                out += bytes([run, row[at] << 4 | row[at] if four else row[at]])
                at += run
                continue
            stretch = row[at : at + 9]
            if len(stretch) < 3:
                stretch = row[at:]
            data = joined(stretch + [0] * (four and len(stretch) % 2))
            out += bytes([0, len(stretch)]) + data + b"\0" * (len(data) % 2)
            at += len(stretch)
        out += b"\0\0"
    return bytes(out) + b"\0\1"


def deltas(indices: np.ndarray) -> bytes:
    """RLE8 that skips pixels, which stay as they were: of colour 0."""
    out = bytearray()
    for row in indices[::-1].tolist():
        out += bytes([0, 9]) + bytes(row[:9]) + b"\0" + b"\0\2\5\0" + bytes([15, row[14]]) + b"\0\0"
    return bytes(out) + b"\0\1"


def jumps(indices: np.ndarray, four: bool) -> bytes:
    """RLE with everything that it knows: rows that end early, skipped pixels and rows, and an end before the last row."""
    out, h = bytearray(), len(indices)
    for number, row in enumerate(indices[::-1].tolist()):
        stretch = row[: 6 + number % 5 * 2]
        out += bytes([0, len(stretch)]) + pack(np.array([stretch]), 4 if four else 8).tobytes()
        out += b"\0" * (len(out) % 2)
        if number == h - 5:
            break
        out += [b"\0\0", b"\0\2\3\0" + bytes([5, row[20] * (17 if four else 1)]) + b"\0\0", b"\0\2\4\1" + bytes([3, 17]) + b"\0\0"][number % 3]
    return bytes(out) + b"\0\1"


def variants():
    w, h = WIDTH, HEIGHT
    for depth in [1, 4, 8]:
        two_colours = np.array([[20, 30, 90], [250, 240, 200]], np.uint8)
        indices, palette = (bilevel(), two_colours) if depth == 1 else indexed(16 if depth == 4 else 200)
        head = info(w, h, depth, colours=len(palette))
        yield f"{depth} bits", f"palette{depth}.bmp", bmp(head, colours(palette), padded(pack(indices[::-1], depth)))
    for depth in [4, 8]:
        indices, palette = indexed(16 if depth == 4 else 64)
        data = rle(indices, depth == 4)
        head = info(w, h, depth, RLE4 if depth == 4 else RLE8, len(data), len(palette))
        yield f"RLE{depth}", f"rle{depth}.bmp", bmp(head, colours(palette), data)
    indices, palette = indexed(64)
    data = deltas(indices)
    yield "RLE8 with skipped pixels", "rle8_delta.bmp", bmp(info(w, h, 8, RLE8, len(data), 64), colours(palette), data)
    yield "16 bits (555)", "rgb555.bmp", bmp(info(w, h, 16), b"", padded(packed(scene(), "555")[::-1].view(np.uint8)))
    for kind in ["555", "565"]:
        words = padded(packed(scene(), kind)[::-1].view(np.uint8))
        yield f"16 bits (fields {kind})", f"fields{kind}.bmp", bmp(info(w, h, 16, BITFIELDS), struct.pack("<3I", *MASKS[kind]), words)
    bgr = lambda: scene()[..., ::-1].reshape(h, -1)
    yield "24 bits", "rgb24.bmp", bmp(info(w, h, 24), b"", padded(bgr()[::-1]))
    yield "24 bits, top-down", "topdown.bmp", bmp(info(w, -h, 24), b"", padded(bgr()))
    indices, palette = indexed(200)
    yield "8 bits, top-down", "topdown8.bmp", bmp(info(w, -h, 8, colours=200), colours(palette), padded(indices))
    bgra = lambda: with_alpha(scene())[::-1, :, [2, 1, 0, 3]].astype(np.uint8).tobytes()
    yield "32 bits", "rgb32.bmp", bmp(info(w, h, 32), b"", bgra())
    yield "32 bits (fields)", "fields32.bmp", bmp(info(w, h, 32, BITFIELDS), struct.pack("<3I", *MASKS["888"]), bgra())
    for size in [108, 124]:
        head = info(w, h, 32, BITFIELDS, header=size, masks=(*MASKS["888"], 0xFF000000))
        yield f"32 bits, alpha, header of {size} bytes", f"alpha{size}.bmp", bmp(head, b"", bgra())
    core = lambda bits: struct.pack("<IHHHH", 12, w, h, 1, bits)
    yield "24 bits, OS/2 header", "os2_24.bmp", bmp(core(24), b"", padded(bgr()[::-1]))
    indices, palette = indexed(256)
    yield "8 bits, OS/2 header", "os2_8.bmp", bmp(core(8), colours(palette, 3), padded(indices[::-1]))
    for depth in [4, 8]:
        indices, palette = indexed(16 if depth == 4 else 64)
        data = jumps(indices, depth == 4)
        head = info(w, h, depth, RLE4 if depth == 4 else RLE8, len(data), len(palette))
        whole = bmp(head, colours(palette), data)
        yield f"RLE{depth} with jumps", f"rle{depth}_jumps.bmp", whole
        yield f"RLE{depth} without an end", f"rle{depth}_no_end.bmp", whole[:-2]
        yield f"RLE{depth}, truncated", f"rle{depth}_cut.bmp", whole[: -len(data) // 3]
        over = rle(np.concatenate([indices, indices[:, :3]], 1), depth == 4)
        yield f"RLE{depth}, rows too long", f"rle{depth}_long.bmp", bmp(head, colours(palette), over)
    os2 = lambda bits, colours=0: struct.pack("<IiiHHIIiiII", 64, w, h, 1, bits, 0, 0, 2835, 2835, colours, 0).ljust(64, b"\0")
    yield "24 bits, OS/2 header of 64 bytes", "os2_64.bmp", bmp(os2(24), b"", padded(bgr()[::-1]))
    indices, palette = indexed(200)
    yield "8 bits, OS/2 header of 64 bytes", "os2_64_8.bmp", bmp(os2(8, 200), colours(palette), padded(indices[::-1]))
    short = struct.pack("<IiiHH", 16, w, h, 1, 24)
    yield "24 bits, OS/2 header of 16 bytes", "os2_16.bmp", bmp(short, b"", padded(bgr()[::-1]))
    for size in [52, 56]:
        head = info(w, h, 32, BITFIELDS, header=size, masks=(*MASKS["888"], 0xFF000000))[:size]
        yield f"32 bits, header of {size} bytes", f"header{size}.bmp", bmp(head, b"", bgra())
    whole = bmp(info(w, h, 24), b"", padded(bgr()[::-1]))
    with_ = lambda at, value: whole[:at] + value + whole[at + len(value) :]
    yield "no planes", "planes0.bmp", with_(26, b"\0\0")
    yield "three planes", "planes3.bmp", with_(26, b"\3\0")
    yield "last padding cut", "padding_cut.bmp", whole[:-1]
    yield "last pixel cut", "pixel_cut.bmp", whole[:-2]
    yield "last row cut", "row_cut.bmp", whole[:-100]
    yield "no offset", "offset0.bmp", with_(10, bytes(4))
    yield "offset into the header", "offset20.bmp", with_(10, struct.pack("<I", 20))
    yield "a gap before the pixels", "gap.bmp", with_(10, struct.pack("<I", 64))[:54] + b"gap" * 3 + b"g" + whole[54:]
    indices, palette = indexed(200)
    eight = bmp(info(w, h, 8, colours=200), colours(palette), padded(indices[::-1]))
    yield "8 bits, no offset", "offset0_8.bmp", eight[:10] + bytes(4) + eight[14:]
    yield "8 bits, fewer colours than are used", "palette_short.bmp", bmp(info(w, h, 8, colours=100), colours(palette[:100]), padded(indices[::-1]))
    yield "8 bits, more colours than 256", "palette_long.bmp", bmp(info(w, h, 8, colours=300), colours(np.concatenate([palette, palette])[:300]), padded(indices[::-1]))
    two, pair = indexed(4)
    yield "2 bits", "palette2.bmp", bmp(info(w, h, 2, colours=4), colours(pair), padded(pack(two[::-1], 2)))
    masks = lambda *values: struct.pack("<3I", *values)
    yield "32 bits (fields of other orders)", "fields32_bgr.bmp", bmp(info(w, h, 32, BITFIELDS), masks(0xFF, 0xFF00, 0xFF0000), bgra())
    yield "32 bits (fields, shifted)", "fields32_shifted.bmp", bmp(info(w, h, 32, BITFIELDS), masks(0xFF000000, 0xFF0000, 0xFF00), bgra())
    yield "16 bits (fields 444)", "fields444.bmp", bmp(info(w, h, 16, BITFIELDS), masks(0xF00, 0xF0, 0xF), padded(packed(scene(), "555")[::-1].view(np.uint8)))
    yield "size of the file is not so", "size.bmp", with_(2, struct.pack("<I", 7))
    yield "bytes behind the pixels", "trailer.bmp", whole + b"more" * 9
