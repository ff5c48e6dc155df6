"""Says what Pillow makes of the frames of animations and of the pages of files: frames.json, and files for it in frames/.

    python -m pip install -r requirements.txt && python make_frames.py

A line for each file of frames/, and for each of formats/ that has more than one frame: its name, and of each frame how many
milliseconds it is shown and the digest of make_jpegs.py of `convert("RGBA")`. Of JPEG XL, which Pillow does not read, it is
what libjxl decodes with the package imagecodecs, and the time is null.

The files are written chunk by chunk where Pillow's writers would choose parts and disposals by themselves. Of PNG, the digests are
those of the frames as the specification lays them, without partial transparency, which is left out here. They are Pillow's too, but
for the files of UNLIKE_PILLOW: it begins on an image that is not part of the animation, and restores what it has already blended.
"""

import io
import json
import struct
import warnings
import zlib

import imagecodecs
import numpy
import PIL
from make_jpegs import HERE, digest, image_digest
from PIL import Image

FRAMES = HERE / "frames"
WIDTH, HEIGHT = 24, 18
UNLIKE_PILLOW = {"png_small_first.png", "png_previous_over.png", "png_mixed_over.png"}
# Of GIF, the disposals; of PNG they begin with 0.
KEEP, BACKGROUND, PREVIOUS = 1, 2, 3
PALETTE = bytes(component for index in range(256) for component in (index, 255 - index, index * 7 % 256))


def gif(frames, size=(WIDTH, HEIGHT), background=5, trailer=True) -> bytes:
    """Frames are (left, top, indices, disposal, transparent index or None, palette of its own or None, centiseconds)."""
    data = b"GIF89a" + struct.pack("<HHBBB", *size, 0xF7, background, 0) + PALETTE
    for left, top, indices, disposal, transparent, palette, delay in frames:
        flags = disposal << 2 | (transparent is not None)
        data += b"\x21\xf9\x04" + struct.pack("<BHBB", flags, delay, transparent or 0, 0)
        height, width = indices.shape
        data += b"," + struct.pack("<HHHHB", left, top, width, height, 0x87 if palette else 0) + (palette or b"")
        data += b"\x08"
        # Codes of 9 bits; with a clear code before there are too many for these.
        codes = []
        for place, index in enumerate(indices.flatten().tolist()):
            codes += [256, index] if place % 200 == 0 else [index]
        number = sum(code << 9 * place for place, code in enumerate(codes + [257]))
        packed = number.to_bytes((9 * (len(codes) + 1) + 7) // 8, "little")
        for at in range(0, len(packed), 255):
            block = packed[at : at + 255]
            data += bytes([len(block)]) + block
        data += b"\0"
    return data + (b";" if trailer else b"")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(frames, colour=6, depth=8, image=None, orientation=None, size=(WIDTH, HEIGHT)) -> bytes:
    """Frames are (left, top, samples, disposal from 0, whether it is blended, delay as a fraction)."""

    def rows(samples):
        samples = samples.astype(">u2" if depth == 16 else "u1")
        return zlib.compress(b"".join(b"\0" + row.tobytes() for row in samples))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    if orientation:
        exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0, 0, 0, 0, 0])
        data += chunk(b"eXIf", exif)
    data += chunk(b"acTL", struct.pack(">II", len(frames), 0))
    if image is not None:
        data += chunk(b"IDAT", rows(image))
    number = 0
    for index, (left, top, samples, disposal, blended, delay) in enumerate(frames):
        height, width = samples.shape[:2]
        control = struct.pack(">IIIIIHHBB", number, width, height, left, top, *delay, disposal, blended)
        data += chunk(b"fcTL", control)
        number += 1
        if index == 0 and image is None:
            data += chunk(b"IDAT", rows(samples))
        else:
            data += chunk(b"fdAT", struct.pack(">I", number) + rows(samples))
            number += 1
    return data + chunk(b"IEND", b"")


def webp(frames, flags) -> bytes:
    """Frames are (left, top, samples), all even; flags are whether it is blended, and whether it is disposed of."""

    def riff(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)

    number = lambda value: struct.pack("<I", value)[:3]
    chunks = riff(b"VP8X", bytes([0x12, 0, 0, 0]) + number(WIDTH - 1) + number(HEIGHT - 1))
    chunks += riff(b"ANIM", bytes([9, 99, 199, 255, 0, 0]))
    for place, ((left, top, samples), (blended, disposed)) in enumerate(zip(frames, flags)):
        data = io.BytesIO()
        Image.fromarray(samples).save(data, "WEBP", lossless=True, exact=True)
        image = data.getvalue()
        image = image[image.index(b"VP8L") :]
        height, width = samples.shape[:2]
        head = number(left // 2) + number(top // 2) + number(width - 1) + number(height - 1) + number(40 + place)
        chunks += riff(b"ANMF", head + bytes([(not blended) << 1 | disposed]) + image)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def opaque_or_not(samples, depth: int):
    samples = (samples >> 8 if depth == 16 else samples).astype("u1")
    samples = samples.reshape(*samples.shape[:2], -1)
    if samples.shape[2] == 1:
        samples = samples.repeat(3, axis=2)
    return samples if samples.shape[2] == 4 else numpy.dstack([samples, numpy.full(samples.shape[:2], 255, "u1")])


def png_frames(frames, colour=6, depth=8, image=None, orientation=None, size=(WIDTH, HEIGHT)) -> list[list]:
    """Of the arguments of png(), time and digest of each frame."""
    canvas = numpy.zeros((size[1], size[0], 4), "u1")
    seen = [[None, image_digest(Image.fromarray(opaque_or_not(image, depth)))]] if image is not None else []
    for index, (left, top, samples, disposal, blended, (numerator, denominator)) in enumerate(frames):
        samples = opaque_or_not(samples, depth)
        height, width = samples.shape[:2]
        part = canvas[top : top + height, left : left + width]
        before = part.copy()
        shown = samples[..., 3] == 255 if blended else numpy.full((height, width), True)
        part[shown] = samples[shown]
        seen.append([round(1000 * numerator / (denominator or 100)), image_digest(Image.fromarray(canvas))])
        if disposal == 1 or disposal == 2 and index == 0:
            part[:] = 0
        elif disposal == 2:
            part[:] = before
    return seen


def gifs():
    random = numpy.random.default_rng(1)
    part = lambda width, height: random.integers(0, 256, (height, width), dtype="u1")
    full, holes = part(WIDTH, HEIGHT), part(WIDTH, HEIGHT)
    holes[4:12, 6:20] = 9
    other = bytes(255 - component for component in PALETTE)
    few = part(8, 6) % 4 + 30
    for name, disposals in [("keep", [KEEP] * 4), ("background", [BACKGROUND] * 4), ("previous", [KEEP, PREVIOUS, PREVIOUS, KEEP]),
                            ("mixed", [KEEP, BACKGROUND, PREVIOUS, BACKGROUND, KEEP, PREVIOUS])]:
        for alpha, transparent in [("", None), ("_transparent", 9), ("_holes", 31)]:
            first = (0, 0, holes if transparent == 9 else full, disposals[0], 9 if transparent == 9 else None, None, 10)
            later = [
                (3 * place, 2 * place, few if place % 2 else part(9, 7), disposal, transparent, other if place == 2 else None, place)
                for place, disposal in enumerate(disposals[1:], 1)
            ]
            yield f"gif_{name}{alpha}.gif", gif([first, *later])
    small = (4, 3, part(10, 8), BACKGROUND, 9, None, 7)
    yield "gif_small_first.gif", gif([small, (8, 6, part(10, 8), KEEP, 9, None, 7), (0, 0, few, KEEP, None, None, 7)])
    yield "gif_previous_first.gif", gif([(4, 3, part(10, 8), PREVIOUS, 9, None, 7), (8, 6, few, KEEP, 31, None, 7)])
    yield "gif_no_trailer.gif", gif([(0, 0, full, KEEP, None, None, 3), (5, 5, few, KEEP, None, None, 4)], trailer=False)
    yield "gif_one.gif", gif([(2, 2, few, KEEP, 31, None, 3)])


def pngs():
    random = numpy.random.default_rng(2)

    def part(width, height, channels=4, high=256):
        samples = random.integers(0, high, (height, width, channels))
        if channels in (2, 4):
            samples[..., -1] = numpy.where(random.random((height, width)) < 0.5, 0, high - 1)
        return samples

    def animation(disposals, blended, **kwargs):
        first = (0, 0, part(WIDTH, HEIGHT, **kwargs), disposals[0], 0, (1, 10))
        return [first] + [
            (3 * place, 2 * place, part(9, 7, **kwargs), disposal, blended, (place, 0 if place == 2 else 30))
            for place, disposal in enumerate(disposals[1:], 1)
        ]

    for name, disposals in [("keep", [0] * 4), ("background", [1] * 4), ("previous", [0, 2, 2, 0]), ("mixed", [0, 1, 2, 1, 0, 2])]:
        for blended in (0, 1):
            yield f"png_{name}_{'over' if blended else 'source'}.png", animation(disposals, blended), {}
    yield "png_previous_first.png", animation([2, 0, 2], 1), {}
    small = [(5, 4, part(8, 6), 1, 0, (1, 4)), (2, 3, part(9, 9), 0, 1, (1, 4))]
    yield "png_small_first.png", small, {"image": part(WIDTH, HEIGHT)}
    yield "png_apart.png", animation([0, 1, 0], 1), {"image": part(WIDTH, HEIGHT)}
    yield "png_rgb.png", animation([0, 0, 0], 0, channels=3), {"colour": 2}
    yield "png_gray.png", animation([0, 0, 0], 0, channels=1), {"colour": 0}
    yield "png_deep.png", animation([0, 0, 0], 0, channels=4, high=65536), {"depth": 16}
    yield "png_turned.png", animation([0, 1, 0], 1), {"orientation": 6}


def webps():
    random = numpy.random.default_rng(3)
    images = []
    base = random.integers(0, 256, (HEIGHT, WIDTH, 4), dtype="u1")
    base[..., 3] = 255
    for place in range(5):
        base = base.copy()
        base[2 + place : 9 + place, 3 * place : 3 * place + 9] = random.integers(0, 256, (7, 9, 4), dtype="u1")
        images.append(Image.fromarray(base))
    for name, options in [("lossless", {"lossless": True}), ("lossy", {"quality": 60}), ("mixed", {"allow_mixed": True})]:
        for alpha, mode in [("", "RGB"), ("_alpha", "RGBA")]:
            data = io.BytesIO()
            first, *others = [image.convert(mode) for image in images]
            first.save(data, "WEBP", save_all=True, append_images=others, duration=[40, 50, 60, 70, 80], background=(9, 99, 199, 255), **options)
            yield f"webp_{name}{alpha}.webp", data.getvalue()
    part = lambda width, height: random.integers(0, 256, (height, width, 4), dtype="u1")
    for blended in (0, 1):
        for disposed in (0, 1):
            frames = [(0, 0, part(WIDTH, HEIGHT))] + [(4 * place, 2 * place, part(9, 7)) for place in range(1, 4)] + [(0, 0, part(WIDTH, HEIGHT))]
            yield f"webp_{'over' if blended else 'source'}{disposed}.webp", webp(frames, [(blended, disposed)] * 5)
    frames = [(2, 4, part(8, 6)), (6, 6, part(9, 9)), (0, 0, part(WIDTH, HEIGHT)), (8, 2, part(9, 9))]
    yield "webp_small_first.webp", webp(frames, [(1, 1), (1, 1), (0, 1), (1, 0)])


def tiffs():
    random = numpy.random.default_rng(4)
    pages = [random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype="u1"), random.integers(0, 256, (9, 30), dtype="u1"), random.integers(0, 256, (20, 5, 4), dtype="u1")]
    for name, options in [("plain", {}), ("big", {"big_tiff": True}), ("lzw", {"compression": "tiff_lzw"})]:
        data = io.BytesIO()
        first, *others = [Image.fromarray(page) for page in pages]
        first.save(data, "TIFF", save_all=True, append_images=others, **options)
        yield f"tiff_{name}.tiff", data.getvalue()


def jpegxls():
    frames = numpy.random.default_rng(5).integers(0, 256, (3, HEIGHT, WIDTH, 3), dtype="u1")
    yield "jxl_rgb.jxl", imagecodecs.jpegxl_encode(frames, lossless=True)


def described(name: str, data: bytes) -> list | None:
    """Of files with one frame, only those of frames/."""
    if name.endswith(".jxl"):
        if not name.startswith("jxl_"):
            return None
        return [[None, image_digest(Image.fromarray(frame).convert("RGBA"))] for frame in imagecodecs.jpegxl_decode(data)]
    try:
        image = Image.open(io.BytesIO(data))
    except (OSError, ValueError, SyntaxError):
        return None
    count = getattr(image, "n_frames", 1)
    if count == 1 and not (FRAMES / name).exists():
        return None
    frames = []
    for index in range(count):
        image.seek(index)
        image.load()
        delay = None if image.format == "TIFF" else round(image.info.get("duration", 0))
        # What stands before an animation is shown for no time.
        if image.format == "PNG" and index == 0 and image.default_image:
            delay = None
        frames.append([delay, image_digest(image.convert("RGBA"))])
    return frames


def main():
    warnings.simplefilter("ignore")
    for old in FRAMES.glob("*"):
        old.unlink()
    made = list(pngs())
    composed = {name: png_frames(frames, **options) for name, frames, options in made}
    made = [(name, png(frames, **options)) for name, frames, options in made]
    for name, data in [*gifs(), *made, *webps(), *tiffs(), *jpegxls()]:
        (FRAMES / name).write_bytes(data)
    lines = []
    for path in [*sorted(FRAMES.iterdir()), *sorted((HERE / "formats").glob("*/*"))]:
        file = str(path.relative_to(HERE))
        frames = described(path.name, path.read_bytes())
        if path.name in composed:
            assert (frames == composed[path.name]) != (path.name in UNLIKE_PILLOW), path
            frames = composed[path.name]
        if frames:
            lines.append(json.dumps([file, frames]))
    versions = json.dumps({"Pillow": PIL.__version__, "imagecodecs": imagecodecs.__version__})
    (HERE / "frames.json").write_text(f'{{"versions": {versions},\n"files": [\n' + ",\n".join(lines) + "\n]}\n")
    print(len(lines), "files")


if __name__ == "__main__":
    main()
