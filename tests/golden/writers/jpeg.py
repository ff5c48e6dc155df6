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


def tiff_entry(order: str, tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")


def directory(*entries: bytes, order: str = "<", at: int = 8, mark: bytes | None = None, behind: bytes = b"") -> bytes:
    """EXIF with a directory at a place, and what lies behind it."""
    mark = mark or {"<": b"II*\0", ">": b"MM\0*"}[order]
    head = (mark + struct.pack(order + "I", at)).ljust(at, b"\x55")
    return head + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4) + behind


def orientations() -> dict[str, bytes]:
    """EXIF that states orientation 6 in an unusual way, or seems to."""
    entry = lambda kind, count, value, order="<": tiff_entry(order, 0x112, kind, count, value)
    short, other = entry(3, 1, b"\6\0"), entry(3, 1, b"\3\0")
    make = tiff_entry("<", 0x10F, 2, 200, struct.pack("<I", 5000))
    found = {}
    for name, kind, value in [("byte", 1, b"\6"), ("text", 2, b"6\0"), ("long", 4, b"\6\0\0\0"), ("signed byte", 6, b"\6"),
                              ("undefined", 7, b"\6"), ("signed short", 8, b"\6\0"), ("signed long", 9, b"\6\0\0\0"),
                              ("directory", 13, b"\6\0\0\0"), ("unknown type", 99, b"\6\0\0\0")]:  # fmt: skip
        found[f"as {name}"] = directory(entry(kind, 1, value))
    found["as long, big-endian"] = directory(entry(4, 1, b"\0\0\0\6", ">"), order=">")
    found["two values"] = directory(entry(3, 2, b"\6\0\3\0"))
    found["four values elsewhere"] = directory(entry(3, 4, struct.pack("<I", 26)), behind=struct.pack("<4H", 6, 1, 1, 1))
    found["no value"] = directory(entry(3, 0, b"\6\0"))
    found["nine"] = directory(entry(3, 1, b"\x09\0"))
    found["minus two"] = directory(entry(8, 1, b"\xfe\xff"))
    found["twice"] = directory(short, other)
    found["twice, of an unknown type first"] = directory(entry(77, 1, b"\3\0"), short)
    found["behind text that is not there"] = directory(make, short)
    found["behind text that ends too late"] = directory(tiff_entry("<", 0x10F, 2, 40, struct.pack("<I", 30)), short)
    found["directory at the end"] = directory(short, at=120)
    found["directory behind the end"] = directory(short)[:4] + struct.pack("<I", 4000) + directory(short)[8:]
    found["more entries than there are"] = directory(short)[:8] + b"\xff\0" + directory(short)[10:]
    found["entry cut"] = directory(other, short)[:-8]
    found["tags out of order"] = directory(tiff_entry("<", 0x8298, 2, 2, b"x\0"), short, tiff_entry("<", 0x100, 3, 1, b"\1\0"))
    found["signature of the other order"] = directory(short, mark=b"II\0*")
    found["no signature"] = directory(short, mark=b"II\1\1")
    found["second prefix"] = b"Exif\0\0" + directory(short)
    return found


def xmp(orientation: int, as_element: bool = False) -> bytes:
    text = f"<tiff:Orientation>{orientation}</tiff:Orientation>" if as_element else f'<x tiff:Orientation="{orientation}"/>'
    return f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{text}</x:xmpmeta>".encode()


def marked_segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + struct.pack(">BH", marker, len(data) + 2) + data


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
    stored = np.ascontiguousarray(turned(scene(48, 32, seed=77), 6))
    plain = pil(stored, "JPEG", quality=60, subsampling="4:2:0")
    marked = lambda *segments: plain[:2] + b"".join(marked_segment(0xE1, data) for data in segments) + plain[2:]
    prefixed = lambda data: b"Exif\0\0" + data
    adobe = lambda data: b"http://ns.adobe.com/xap/1.0/\0" + data
    for name, data in orientations().items():
        file = name.replace(", ", "_").replace(" ", "_").replace("-", "_")
        yield f"EXIF orientation 6, {name}", f"exif_{file}.jpg", marked(prefixed(data))
    six, three, nothing = (directory(tiff_entry("<", tag, 3, 1, value)) for tag, value in [(0x112, b"\6"), (0x112, b"\3"), (0x100, b"\6")])
    yield "EXIF orientation 6, then 3", "exif_segments.jpg", marked(prefixed(six), prefixed(three))
    split = directory(tiff_entry("<", 0x112, 3, 1, b"\6"), at=200)
    yield "EXIF in two segments", "exif_split.jpg", marked(prefixed(split[:150]), prefixed(split[150:]))
    yield "EXIF behind fill bytes and noise", "exif_fill.jpg", plain[:2] + b"\xff\xff" + marked_segment(0xFE, b"x")[1:] + b"noise" + marked_segment(0xE1, prefixed(six)) + plain[2:]
    yield "XMP orientation 6", "xmp.jpg", marked(adobe(xmp(6)))
    yield "XMP orientation 6, as element", "xmp_element.jpg", marked(adobe(xmp(6, True)))
    yield "XMP orientation 6 and EXIF without one", "xmp_exif.jpg", marked(prefixed(nothing), adobe(xmp(6)))
    yield "XMP orientation 6 and EXIF orientation 3", "xmp_exif3.jpg", marked(prefixed(three), adobe(xmp(6)))
    yield "XMP orientation 3, then 6", "xmp_twice.jpg", marked(adobe(xmp(3)), adobe(xmp(6)))
