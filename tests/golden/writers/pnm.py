"""PNM: plain and raw, with small, usual and 16-bit maxima, and PAM."""

import numpy as np

from .scene import bilevel, deep, gray, pack, scene


def plain(samples: np.ndarray) -> bytes:
    """Lines of at most 70 characters, as the format asks."""
    words, lines = [str(value) for value in samples.ravel()], []
    for start in range(0, len(words), 11):
        lines.append(" ".join(words[start : start + 11]))
    return "\n".join(lines).encode() + b"\n"


def head(kind: str, pixels: np.ndarray, maximum: int | None, comment: str = "") -> bytes:
    height, width = pixels.shape[:2]
    last = "" if maximum is None else f"{maximum}\n"
    return f"{kind}\n{comment}{width} {height}\n{last}".encode()


def pam(pixels: np.ndarray, kind: str, maximum: int) -> bytes:
    height, width = pixels.shape[:2]
    depth = pixels.shape[2] if pixels.ndim == 3 else 1
    start = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {maximum}\nTUPLTYPE {kind}\nENDHDR\n"
    return start.encode() + pack(pixels.reshape(height, -1), 16 if maximum > 255 else 8).tobytes()


def variants():
    # Here 1 is black.
    bits = bilevel()
    yield "P1, bilevel", "p1.pbm", head("P1", bits, None) + plain(1 - bits)
    bits = bilevel()
    yield "P4, raw bilevel", "p4.pbm", head("P4", bits, None) + pack(1 - bits, 1).tobytes()
    for number, make, raw in [(2, gray, False), (3, scene, False), (5, gray, True), (6, scene, True)]:
        name = f"P{number}, {'raw ' if raw else ''}{'gray' if make is gray else 'RGB'}"
        file = f"p{number}%s.{'pgm' if make is gray else 'ppm'}"
        body = lambda pixels, depth=8: pack(pixels.reshape(len(pixels), -1), depth).tobytes() if raw else plain(pixels)
        pixels = make()
        yield name, file % "", head(f"P{number}", pixels, 255, "# a comment\n") + body(pixels)
        pixels = (make().astype(np.uint16) * 100 // 255).astype(np.uint8)
        yield f"{name}, maximum 100", file % "_100", head(f"P{number}", pixels, 100) + body(pixels)
        pixels = deep(channels=1 if make is gray else 3)
        yield f"{name}, maximum 65535", file % "_65535", head(f"P{number}", pixels, 65535) + body(pixels, 16)
        pixels = pixels // 64
        yield f"{name}, maximum 1023", file % "_1023", head(f"P{number}", pixels, 1023) + body(pixels, 16)
    yield "PAM, RGB", "rgb.pam", pam(scene(), "RGB", 255)
    yield "PAM, gray", "gray.pam", pam(gray(), "GRAYSCALE", 255)
    yield "Pf, floating point", "float.pfm", head("Pf", gray(), None) + b"-1.0\n" + gray()[::-1].astype("<f4").tobytes()
