"""Says what Pillow makes of the beginnings of the PNG files of make_formats.py with LOAD_TRUNCATED_IMAGES: truncated.json.

    python -m pip install -r requirements.txt && python make_truncated.py

A line for each beginning that Pillow reads with that option alone: the file, the length of the beginning in bytes, and the
SHA-256, cut to 16 digits, of "WIDTHxHEIGHT" and the bytes of `convert("RGB")`. Images of one colour are left out: nothing
was read of them. JPEG has a list of its own, jpegs.json.
"""

import io
import json
import warnings

import PIL
from make_jpegs import HERE, digest
from PIL import Image, ImageFile

PARTS = 8


def read(path, length: int, lenient: bool) -> str | None:
    ImageFile.LOAD_TRUNCATED_IMAGES = lenient
    try:
        image = Image.open(io.BytesIO(path.read_bytes()[:length])).convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    if lenient and all(least == most for least, most in image.getextrema()):
        return None
    return digest(f"{image.width}x{image.height}".encode() + image.tobytes())


def main():
    warnings.simplefilter("ignore")
    lines = []
    for path in sorted((HERE / "formats/png").iterdir()):
        size = path.stat().st_size
        if read(path, size, False) is None:
            continue
        for length in [size * part // PARTS for part in range(1, PARTS)]:
            if read(path, length, False) is None and (found := read(path, length, True)):
                lines.append(json.dumps([f"png/{path.name}", length, found]))
    versions = json.dumps({"Pillow": PIL.__version__})
    (HERE / "truncated.json").write_text(f'{{"versions": {versions},\n"files": [\n' + ",\n".join(lines) + "\n]}\n")
    print(len(lines), "beginnings")


if __name__ == "__main__":
    main()
