"""Says what Pillow makes of the JPEG files that tests/parity writes: jpegs.json, and jpegs_scaled.json.

    python -m pip install -r requirements.txt
    cargo run --release -p parity --bin write-jpegs FOLDER && python make_jpegs.py FOLDER

A line for each file: its name, the SHA-256 of the file and of what Pillow makes of it, each cut to 16 digits. Of an image
that is the digest of "WIDTHxHEIGHT" and the bytes of `convert("RGB")`; of one that is refused null. The last digest is
that of what Pillow reads with LOAD_TRUNCATED_IMAGES, if that is not the same.

The other file has a line for each gray or RGB image and each part of its size that `draft` is asked for: its name, the
divisor, and the digest of what that makes.
"""

import hashlib
import io
import json
import sys
import warnings
from pathlib import Path

import PIL
from PIL import Image, ImageFile, features

HERE = Path(__file__).parent


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def open_rgb(data: bytes, format: str, truncated: bool) -> Image.Image | None:
    ImageFile.LOAD_TRUNCATED_IMAGES = truncated
    try:
        return Image.open(io.BytesIO(data), formats=[format]).convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None


def image_digest(image: Image.Image) -> str:
    return digest(f"{image.width}x{image.height}".encode() + image.tobytes())


def read(data: bytes, truncated: bool) -> str | None:
    image = open_rgb(data, "JPEG", truncated)
    # Black, or without ink, is what nothing was read of: with that option Pillow knows of no errors.
    if image is None or truncated and image.getextrema() in [((0, 0),) * 3, ((255, 255),) * 3]:
        return None
    return image_digest(image)


def scaled(path: Path) -> list[str]:
    lines = []
    for divisor in (2, 4, 8):
        image = Image.open(path)
        width, height = (side // divisor for side in image.size)
        if image.mode in ("L", "RGB") and width > 0 and height > 0:
            image.draft(None, (width, height))
            lines.append(json.dumps([path.stem, divisor, image_digest(image.convert("RGB"))]))
    return lines


def main():
    warnings.simplefilter("ignore")
    lines = []
    for path in sorted(Path(sys.argv[1]).glob("*.jpg")):
        data = path.read_bytes()
        plain, lenient = read(data, False), read(data, True)
        lines.append(json.dumps([path.stem, digest(data), plain] + ([lenient] if lenient != plain else [])))
    versions = {"Pillow": PIL.__version__, "libjpeg-turbo": features.version("libjpeg_turbo")}
    (HERE / "jpegs.json").write_text(f'{{"versions": {json.dumps(versions)},\n"files": [\n' + ",\n".join(lines) + "\n]}\n")
    lines_scaled = []
    for kind in ("sampling", "progressive", "restart", "large"):
        for path in sorted(Path(sys.argv[1]).glob(f"{kind}_*.jpg")):
            if not path.stem.rsplit("_", 1)[-1].startswith("cut") and read(path.read_bytes(), False):
                lines_scaled += scaled(path)
    (HERE / "jpegs_scaled.json").write_text("[\n" + ",\n".join(lines_scaled) + "\n]\n")
    print(len(lines), "files,", sum('null' in line for line in lines), "refused")


if __name__ == "__main__":
    main()
