"""TIFF, by tifffile, and by Pillow's libtiff where its codecs are wanted."""

import io
import struct

import numpy as np
import tifffile
from PIL import Image, TiffImagePlugin

from .jpeg import cmyk, turned
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
