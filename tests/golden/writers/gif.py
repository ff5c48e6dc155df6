"""GIF, by an encoder of our own: Pillow writes no interlaced ones, and optimises the rest."""

import struct

import numpy as np

from .scene import HEIGHT, WIDTH, indexed

TRANSPARENT = 3


def lzw(indices: bytes, bits: int) -> bytes:
    """GIF's variant: codes grow from `bits + 1` to 12 bits, lowest bit first."""
    clear, end = 1 << bits, (1 << bits) + 1
    codes, width = [], bits + 1
    table = {bytes([value]): value for value in range(clear)}
    codes.append((clear, width))
    word = b""
    for value in indices:
        longer = word + bytes([value])
        if longer in table:
            word = longer
            continue
        codes.append((table[word], width))
        following = len(table) + 2
        if following < 4096:
            table[longer] = following
            width += following == 1 << width
        else:
            codes.append((clear, width))
            table, width = {bytes([value]): value for value in range(clear)}, bits + 1
        word = bytes([value])
    codes += [(table[word], width), (end, width)]
    number, filled, out = 0, 0, bytearray()
    for code, width in codes:
        number |= code << filled
        filled += width
        while filled >= 8:
            out.append(number & 255)
            number, filled = number >> 8, filled - 8
    return bytes(out) + (bytes([number]) if filled else b"")


def table(palette: np.ndarray) -> tuple[bytes, int]:
    """A colour table of a power of two, and its size as the headers state it."""
    bits = max(1, (len(palette) - 1).bit_length())
    return palette.tobytes().ljust(3 << bits, b"\0"), bits - 1


def frame(indices, bits=8, at=(0, 0), local=None, interlaced=False, transparent=None, disposal=0) -> bytes:
    height, width = indices.shape
    flags = 0x40 * interlaced
    colours = b""
    if local is not None:
        colours, size = table(local)
        flags |= 0x80 | size
    if interlaced:
        indices = np.concatenate([indices[0::8], indices[4::8], indices[2::4], indices[1::2]])
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", disposal << 2 | (transparent is not None), 10, transparent or 0, 0)
    data = lzw(indices.astype(np.uint8).tobytes(), bits)
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
    return control + b"," + struct.pack("<HHHHB", *at, width, height, flags) + colours + bytes([bits]) + blocks + b"\0"


def gif(size, palette, *frames: bytes, version=b"89a", background=0) -> bytes:
    """`palette`: the global one, or None."""
    colours, flags = b"", 0
    if palette is not None:
        colours, bits = table(palette)
        flags = 0x80 | bits
    screen = struct.pack("<HHBBB", *size, flags, background, 0)
    if version == b"87a":
        frames = [frame[8:] for frame in frames]
    return b"GIF" + version + screen + colours + b"".join(frames) + b";"


def variants():
    size = (WIDTH, HEIGHT)
    indices, palette = indexed(200)
    yield "87a", "gif87a.gif", gif(size, palette, frame(indices), version=b"87a")
    indices, palette = indexed(200)
    yield "89a", "gif89a.gif", gif(size, palette, frame(indices))
    indices, palette = indexed(4)
    yield "4 colours", "colours4.gif", gif(size, palette, frame(indices, bits=2))
    indices, palette = indexed(200)
    yield "palette of its own in the frame", "local.gif", gif(size, None, frame(indices, local=palette))
    indices, palette = indexed(200)
    yield "interlaced", "interlaced.gif", gif(size, palette, frame(indices, interlaced=True))
    indices, palette = indexed(16)
    yield "transparency", "transparent.gif", gif(size, palette, frame(indices, transparent=TRANSPARENT))
    indices, palette = indexed(200)
    both = frame(indices, interlaced=True, transparent=TRANSPARENT)
    yield "interlaced, transparency", "interlaced_transparent.gif", gif(size, palette, both)
    indices, palette = indexed(200, 25, 18)
    part = frame(indices, at=(6, 5))
    yield "first frame smaller than the screen", "offset.gif", gif(size, palette, part, background=17)
    indices, palette = indexed(200, 25, 18)
    part = frame(indices, at=(6, 5), transparent=TRANSPARENT)
    yield "first frame smaller, transparency", "offset_transparent.gif", gif(size, palette, part, background=17)
    indices, palette = indexed(200, 25, 18)
    part = frame(indices, at=(6, 5), local=palette)
    yield "first frame smaller, palette of its own", "offset_local.gif", gif(size, None, part)
    indices, palette = indexed(200, 60, 40)
    yield "first frame larger than the screen", "larger.gif", gif(size, palette, frame(indices))
    (first, palette), (second, other) = indexed(200), indexed(200)
    frames = frame(first, disposal=2), frame(second[5:20, 5:30], at=(5, 5), local=other)
    yield "animation, first frame", "animated.gif", gif(size, palette, *frames)
