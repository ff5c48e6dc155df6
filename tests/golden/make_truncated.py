"""Says what Pillow makes of the beginnings of the PNG files of make_formats.py with LOAD_TRUNCATED_IMAGES: truncated.json.

    python -m pip install -r requirements.txt && python make_truncated.py

A line for each beginning that Pillow reads with that option alone: the file, the length of the beginning in bytes, and the
SHA-256, cut to 16 digits, of "WIDTHxHEIGHT" and the bytes of `convert("RGB")`. Images of one colour are left out: nothing
was read of them. JPEG has a list of its own, jpegs.json.
"""

import json
import warnings

import PIL
from make_jpegs import HERE, image_digest, open_rgb

PARTS = 8


def main():
    warnings.simplefilter("ignore")
    lines = []
    for path in sorted((HERE / "formats/png").iterdir()):
        data = path.read_bytes()
        if open_rgb(data, "PNG", False) is None:
            continue
        for length in [len(data) * part // PARTS for part in range(1, PARTS)]:
            if open_rgb(data[:length], "PNG", False) is not None:
                continue
            image = open_rgb(data[:length], "PNG", True)
            if image and any(least < most for least, most in image.getextrema()):
                lines.append(json.dumps([f"png/{path.name}", length, image_digest(image)]))
    versions = json.dumps({"Pillow": PIL.__version__})
    (HERE / "truncated.json").write_text(f'{{"versions": {versions},\n"files": [\n' + ",\n".join(lines) + "\n]}\n")
    print(len(lines), "beginnings")


if __name__ == "__main__":
    main()
