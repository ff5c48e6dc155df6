"""TIFF, by tifffile, and by Pillow's libtiff where its codecs are wanted."""

import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image, TiffImagePlugin

from .jpeg import cmyk, other, turned, xmp
from .png import with_alpha
from .scene import bilevel, deep, gray, indexed, pack, pil, scene

ORIENTATION, PHOTOMETRIC = 274, 262


def tiff(pixels: np.ndarray, *, big_endian: bool = False, **options) -> bytes:
    file = io.BytesIO()
    options = dict(photometric="rgb" if pixels.ndim == 3 else "minisblack", metadata=None, software=False) | options
    with tifffile.TiffWriter(file, byteorder=">" if big_endian else "<", bigtiff=options.pop("bigtiff", False)) as writer:
        for page in options.pop("pages", [pixels]):
            writer.write(page, **options)
    return file.getvalue()


def colour_map(palette: np.ndarray, size: int) -> np.ndarray:
    """TIFF's palettes have 16 bits."""
    return np.pad(palette.astype(np.uint16) * 257, ((0, size - len(palette)), (0, 0))).T


def small_palette(indices: np.ndarray, palette: np.ndarray, bits: int) -> bytes:
    """A palette of fewer than 8 bits, which tifffile does not write: one strip, uncompressed."""
    strip, colours = pack(indices, bits).tobytes(), colour_map(palette, 1 << bits).astype("<u2").tobytes()
    height, width = indices.shape
    # Tag, type (3: 16 bits, 4: 32 bits), count, value.
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, bits), (259, 3, 1, 1), (PHOTOMETRIC, 3, 1, 3), (273, 4, 1, 8),
            (277, 3, 1, 1), (278, 3, 1, height), (279, 4, 1, len(strip)), (320, 3, 3 << bits, 8 + len(strip))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(strip) + len(colours))
    return head + strip + colours + struct.pack("<H", len(tags)) + entries + bytes(4)


def libtiff(pixels, compression: str, **tags) -> bytes:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        info[{"photometric": PHOTOMETRIC, "orientation": ORIENTATION}[name]] = value
    return pil(pixels, "TIFF", compression=compression, tiffinfo=info)


def raw(data: list[bytes], width: int, height: int, *extra: tuple, order: str = "<", rows: int | None = None, photometric: int = 1, bits: int = 8, channels: int = 1, compression: int = 1) -> bytes:
    """Any file of strips. `extra`: tags as (number, kind, values)."""
    size = {1: 1, 3: 2, 4: 4, 7: 1}
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    starts, at = [], 8
    for strip in data:
        starts.append(at)
        at += len(strip)
    tags = [(256, 3, [width]), (257, 3, [height]), (258, 3, [bits] * channels), (259, 3, [compression]), (262, 3, [photometric]),
            (273, 4, starts), (277, 3, [channels]), (278, 3, [rows or height]), (279, 4, [len(strip) for strip in data]), *extra]  # fmt: skip
    behind, entries = b"", b""
    at += at % 2
    table = at
    at += 2 + 12 * len(tags) + 4
    for number, kind, values in sorted(tags):
        if kind == 7:
            packed, count = bytes(values), len(values)
        else:
            packed, count = struct.pack(order + str(len(values)) + {1: "B", 3: "H", 4: "I"}[kind], *values), len(values)
        if len(packed) > 4:
            entries += struct.pack(order + "HHII", number, kind, count, at + len(behind))
            behind += packed + b"\0" * (len(packed) % 2)
        else:
            entries += struct.pack(order + "HHI", number, kind, count) + packed.ljust(4, b"\0")
    body = head + struct.pack(order + "I", table) + b"".join(data)
    return body.ljust(table, b"\0") + struct.pack(order + "H", len(tags)) + entries + bytes(4) + behind


FILL_ORDER = 266


def mirrored(data: bytes) -> bytes:
    """Each byte with its bits in the other order."""
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)


def twelve(samples: np.ndarray) -> bytes:
    """Rows of 12 bits."""
    bits = ((samples[..., None].astype(np.uint16) >> np.arange(11, -1, -1)) & 1).reshape(len(samples), -1).astype(np.uint8)
    return np.packbits(bits, axis=1).tobytes()


def jpeg_strips(pixels: np.ndarray, sampling: tuple[int, int], rows: int, quality: int = 85) -> bytes:
    """YCbCr as JPEG, in strips that have their tables, of whole MCUs but for the last."""
    names = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (1, 2): "440", (4, 1): "411"}
    height, width = pixels.shape[:2]
    strips = [other(pixels[y : y + rows], quality, subsampling=names[sampling]) for y in range(0, height, rows)]
    return raw(strips, width, height, (530, 3, list(sampling)), rows=rows, photometric=6, channels=3, compression=7)


def variants():
    yield "RGB, strips", "strips.tiff", tiff(scene(), rowsperstrip=10)
    yield "RGB, tiles", "tiles.tiff", tiff(scene(), tile=(16, 16))
    shown = {"lzw": "LZW", "deflate": "deflate", "adobe_deflate": "deflate (Adobe)", "packbits": "PackBits", "zstd": "Zstandard"}
    for name, variant in shown.items():
        yield f"RGB, {variant}", f"{name}.tiff", tiff(scene(), compression=name, rowsperstrip=12)
    for name in ["lzw", "deflate"]:
        yield f"RGB, {shown[name]}, predictor 2", f"{name}_predictor.tiff", tiff(scene(), compression=name, predictor=2)
    yield "RGB, deflate, tiles, predictor 2", "tiles_predictor.tiff", tiff(scene(), compression="deflate", predictor=2, tile=(16, 16))
    yield "RGB, big-endian", "big_endian.tiff", tiff(scene(), big_endian=True)
    yield "RGB, BigTIFF", "bigtiff.tiff", tiff(scene(), bigtiff=True)
    planes = lambda pixels: np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    yield "RGB, planes", "planes.tiff", tiff(planes(scene()), planarconfig="separate")
    yield "RGB, planes, LZW, tiles", "planes_tiles.tiff", tiff(planes(scene()), planarconfig="separate", compression="lzw", tile=(16, 16))
    yield "RGB, three pages", "pages.tiff", tiff(scene(), pages=[scene(), scene(20, 20), scene(60, 60)])
    yield "gray, 8 bits", "gray8.tiff", tiff(gray(), compression="lzw")
    yield "gray, 8 bits, 0 is white", "gray8_white.tiff", tiff(gray(), photometric="miniswhite", compression="lzw")
    yield "gray, 4 bits", "gray4.tiff", tiff(gray() >> 4, bitspersample=4)
    yield "gray and alpha, 8 bits", "gray_alpha8.tiff", tiff(
        with_alpha(gray()), photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig")
    for depth in [16, 32]:
        pixels = deep(channels=1)[..., 0] // 3
        pixels = pixels if depth == 16 else pixels.astype(np.uint32) // 200
        yield f"gray, {depth} bits", f"gray{depth}.tiff", tiff(pixels)
        yield f"gray, {depth} bits, big-endian", f"gray{depth}_big.tiff", tiff(pixels, big_endian=True)
    dark = deep(channels=1)[..., 0] // 200
    yield "gray, 16 bits, LZW, predictor 2", "gray16_predictor.tiff", tiff(dark, compression="lzw", predictor=2)
    signed = (deep(channels=1)[..., 0].astype(np.int32) - 3000).clip(-500, 400).astype(np.int16)
    yield "gray, 16 bits, signed", "gray16_signed.tiff", tiff(signed)
    yield "gray, floating point", "float.tiff", tiff(gray().astype(np.float32) * 1.2 - 20)
    yield "gray, floating point from 0 to 1", "float_unit.tiff", tiff((gray() / 255).astype(np.float32))
    yield "gray, floating point, deflate, predictor 3", "float_predictor.tiff", tiff(gray().astype(np.float32) + 0.7, compression="deflate", predictor=3)
    yield "gray, double precision", "double.tiff", tiff(gray().astype(np.float64))
    yield "RGB, 16 bits", "rgb16.tiff", tiff(deep())
    yield "RGB, 16 bits, big-endian, LZW", "rgb16_big.tiff", tiff(deep(), big_endian=True, compression="lzw")
    # Without compression Pillow 13 misreads them: it takes both bytes of a sample for samples.
    yield "RGB, 16 bits, planes, LZW", "rgb16_planes.tiff", tiff(planes(deep()), planarconfig="separate", compression="lzw")
    yield "RGB, floating point", "rgb_float.tiff", tiff((scene() / 255).astype(np.float32))
    yield "RGBA", "rgba.tiff", tiff(with_alpha(scene()), extrasamples=["unassalpha"])
    yield "RGBA, premultiplied", "rgba_premultiplied.tiff", tiff(
        np.minimum(with_alpha(scene()), with_alpha(scene())[..., 3:]), extrasamples=["assocalpha"])
    yield "RGBA, 16 bits", "rgba16.tiff", tiff(with_alpha(deep(), 16), extrasamples=["unassalpha"])
    yield "RGB and a channel without meaning", "rgbx.tiff", tiff(with_alpha(scene()), extrasamples=["unspecified"])
    for depth in [1, 2, 4]:
        yield f"palette, {depth} bits", f"palette{depth}.tiff", small_palette(*indexed(1 << depth), depth)
    indices, palette = indexed(200)
    yield "palette, 8 bits", "palette8.tiff", tiff(indices, photometric="palette", colormap=colour_map(palette, 256))
    indices, palette = indexed(200)
    yield "palette, LZW, tiles", "palette_tiles.tiff", tiff(
        indices, photometric="palette", colormap=colour_map(palette, 256), compression="lzw", tile=(16, 16))
    yield "bilevel", "bilevel.tiff", tiff(bilevel().astype(bool))
    yield "bilevel, 0 is white", "bilevel_white.tiff", tiff(bilevel().astype(bool), photometric="miniswhite")
    yield "bilevel, PackBits", "bilevel_packbits.tiff", tiff(bilevel().astype(bool), compression="packbits")
    for name, compression in [("CCITT group 4", "group4"), ("CCITT group 3", "group3")]:
        yield f"bilevel, {name}", f"{compression}.tiff", libtiff(Image.fromarray(bilevel().astype(bool)), compression)
    yield "bilevel, CCITT group 4, 0 is white", "group4_white.tiff", libtiff(Image.fromarray(bilevel().astype(bool)), "group4", photometric=0)
    yield "CMYK", "cmyk.tiff", tiff(cmyk(), photometric="separated")
    yield "CMYK, LZW, predictor 2", "cmyk_lzw.tiff", tiff(cmyk(), photometric="separated", compression="lzw", predictor=2)
    yield "CMYK, planes", "cmyk_planes.tiff", tiff(planes(cmyk()), photometric="separated", planarconfig="separate")
    yield "CMYK, 16 bits", "cmyk16.tiff", tiff(cmyk().astype(np.uint16) * 257, photometric="separated")
    for sampling in [(1, 1), (2, 2)]:
        file = f"jpeg_ycbcr{sampling[0]}{sampling[1]}.tiff"
        yield f"YCbCr as JPEG, {sampling[0]} x {sampling[1]}", file, tiff(
            scene(48, 32), compression="jpeg", compressionargs=dict(level=88), subsampling=sampling)
    yield "RGB as JPEG", "jpeg.tiff", pil(scene(), "TIFF", compression="jpeg", quality=88)
    yield "gray as JPEG", "jpeg_gray.tiff", pil(gray(), "TIFF", compression="jpeg", quality=88)
    yield "YCbCr without JPEG", "ycbcr.tiff", pil(Image.fromarray(scene()).convert("YCbCr"), "TIFF")
    yield "L*a*b*", "lab.tiff", pil(Image.fromarray(scene(), "LAB"), "TIFF")
    stored = np.ascontiguousarray(turned(scene(48, 32), 6))
    yield "orientation 6", "orientation6.tiff", pil(stored, "TIFF", tiffinfo={ORIENTATION: 6})
    stored = np.ascontiguousarray(turned(scene(48, 32, seed=80), 6))
    lines = [stored.tobytes()]
    yield "orientation 6, as long", "orientation_long.tiff", raw(lines, 32, 48, (ORIENTATION, 4, [6]), photometric=2, channels=3)
    yield "orientation 6, big-endian", "orientation_big.tiff", raw(lines, 32, 48, (ORIENTATION, 3, [6]), photometric=2, channels=3, order=">")
    yield "orientation 6, as byte", "orientation_byte.tiff", raw(lines, 32, 48, (ORIENTATION, 1, [6]), photometric=2, channels=3)
    yield "XMP orientation 6", "xmp.tiff", raw(lines, 32, 48, (700, 1, list(xmp(6))), photometric=2, channels=3)
    w, h = 33, 25
    for bits in [1, 2, 4, 8]:
        samples = bilevel() if bits == 1 else gray() >> (8 - bits)
        data = pack(samples, bits).tobytes()
        for white in [False, True]:
            for fill in [1, 2]:
                name = f"gray, {bits} bits{', 0 is white' * white}{', bits reversed' * (fill == 2)}"
                file = f"gray{bits}{'_white' * white}{'_reversed' * (fill == 2)}_raw.tiff"
                yield name, file, raw([data if fill == 1 else mirrored(data)], w, h, (FILL_ORDER, 3, [fill]), bits=bits, photometric=1 - white)
    for bits in [1, 2, 4, 8]:
        indices, palette = indexed(1 << bits if bits < 8 else 200)
        colours = (320, 3, [int(value) for value in colour_map(palette, 1 << bits).reshape(-1)])
        data = mirrored(pack(indices, bits).tobytes())
        yield f"palette, {bits} bits, bits reversed", f"palette{bits}_reversed.tiff", raw([data], w, h, colours, (FILL_ORDER, 3, [2]), bits=bits, photometric=3)
    yield "RGB, bits reversed", "rgb_reversed.tiff", raw([mirrored(scene().tobytes())], w, h, (FILL_ORDER, 3, [2]), photometric=2, channels=3)
    rows = pack(gray() >> 4, 4)
    strips = [rows[y : y + 7].tobytes() for y in range(0, h, 7)]
    yield "gray, 4 bits, strips", "gray4_strips.tiff", raw(strips, w, h, rows=7, bits=4)
    for predictor in [1, 2]:
        extra = [(317, 3, [predictor])] if predictor > 1 else []
        yield f"gray, 4 bits, deflate, predictor {predictor}", f"gray4_deflate{predictor}.tiff", raw([zlib.compress(rows.tobytes())], w, h, *extra, bits=4, compression=8)
    yield "gray, 4 bits, deflate, bits reversed", "gray4_deflate_reversed.tiff", raw([mirrored(zlib.compress(rows.tobytes()))], w, h, (FILL_ORDER, 3, [2]), bits=4, compression=8)
    yield "gray, 4 bits, deflate, 0 is white", "gray4_deflate_white.tiff", raw([zlib.compress(rows.tobytes())], w, h, bits=4, compression=8, photometric=0)
    deep12 = deep(channels=1)[..., 0] >> 4
    for name, values in [("", deep12), (", dark", deep12 // 12)]:
        for order in "<>":
            yield f"gray, 12 bits{name}{', big-endian' * (order == '>')}", f"gray12{name[2:]}{'_big' * (order == '>')}.tiff", raw([twelve(values)], w, h, bits=12, order=order)
    even = deep(34, 24, channels=1)[..., 0] // 160
    yield "gray, 12 bits, even width", "gray12_even.tiff", raw([twelve(even)], 34, 24, bits=12)
    yield "gray, 12 bits, 0 is white", "gray12_white.tiff", raw([twelve(deep12 // 12)], w, h, bits=12, photometric=0)
    yield "gray, 12 bits, deflate", "gray12_deflate.tiff", raw([zlib.compress(twelve(deep12 // 12))], w, h, bits=12, compression=8)
    yield "gray, 16 bits, 0 is white", "gray16_white.tiff", raw([(deep(channels=1)[..., 0] // 160).astype("<u2").tobytes()], w, h, bits=16, photometric=0)
    yield "gray, 16 bits, bits reversed", "gray16_reversed.tiff", raw([mirrored((deep(channels=1)[..., 0] // 160).astype("<u2").tobytes())], w, h, (FILL_ORDER, 3, [2]), bits=16)
    signed = lambda kind: (gray().astype(np.int32) - 100).clip(-128, 127).astype(kind)
    sample_format = (339, 3, [2])
    for kind, bits in [("<i1", 8), ("<i2", 16), ("<i4", 32)]:
        yield f"gray, {bits} bits, signed, strip", f"signed{bits}.tiff", raw([signed(kind).tobytes()], w, h, sample_format, bits=bits)
        yield f"gray, {bits} bits, signed, deflate", f"signed{bits}_deflate.tiff", raw([zlib.compress(signed(kind).tobytes())], w, h, sample_format, bits=bits, compression=8)
    yield "gray, 16 bits, signed, big-endian", "signed16_big.tiff", raw([signed(">i2").tobytes()], w, h, sample_format, bits=16, order=">")
    yield "RGB, signed", "rgb_signed.tiff", raw([(scene().astype(np.int32) - 128).astype(np.int8).tobytes()], w, h, (339, 3, [2, 2, 2]), photometric=2, channels=3)
    for options, name, file in [(0, "CCITT group 3, one dimension", "group3_1d"), (1, "CCITT group 3, two dimensions", "group3_2d"),
                                (4, "CCITT group 3, filled to bytes", "group3_fill")]:  # fmt: skip
        for white in [0, 1]:
            image = Image.fromarray(bilevel(70, 40).astype(bool))
            info = TiffImagePlugin.ImageFileDirectory_v2()
            info[PHOTOMETRIC], info[292] = 1 - white, options
            yield f"bilevel, {name}{', 0 is white' * white}", f"{file}{'_white' * white}.tiff", pil(image, "TIFF", compression="group3", tiffinfo=info)
    yield "bilevel, CCITT run lengths", "ccitt_rle.tiff", libtiff(Image.fromarray(bilevel(70, 40).astype(bool)), "tiff_ccitt")
    for sampling in [(1, 1), (2, 1), (2, 2), (1, 2), (4, 1)]:
        for rows in [16, 48]:
            yield f"YCbCr as JPEG, {sampling[0]} x {sampling[1]}, strips of {rows} rows", f"jpeg_strips{sampling[0]}{sampling[1]}_{rows}.tiff", jpeg_strips(scene(49, 45), sampling, rows)
    yield "YCbCr as JPEG, 2 x 2, tiles", "jpeg_tiles.tiff", tiff(scene(50, 40), compression="jpeg", compressionargs=dict(level=88), subsampling=(2, 2), tile=(16, 16))
    yield "CMYK as JPEG", "jpeg_cmyk.tiff", pil(Image.fromarray(cmyk(), "CMYK"), "TIFF", compression="jpeg", quality=88)
    yield "gray as JPEG, strips", "jpeg_gray_strips.tiff", tiff(gray(60, 50), compression="jpeg", compressionargs=dict(level=85), rowsperstrip=16)
    yield "RGB as JPEG, strips", "jpeg_rgb_strips.tiff", raw([other(scene(40, 32)[y : y + 16], 85, colorspace="RGB", outcolorspace="RGB") for y in [0, 16]], 40, 32, photometric=2, channels=3, rows=16, compression=7)
