"""Says what Pillow makes of the images that lie about on a machine, for a comparison that is not committed.

    python -m pip install -r requirements.txt
    python find_images.py OUT FOLDER... && cargo run --release -p parity --bin compare-found OUT

Every file below the folders that is an image by its ending is read as users have it: `convert("RGB")`, first frame, orientation
not applied. OUT gets `found.json`, a list of path, Pillow's format and what it says where it refuses the file, and one PNG file
for each image that it reads, numbered as the list is. Copies of a file are left out.
"""

import hashlib
import io
import json
import sys
import warnings
from pathlib import Path

import pillow_jxl  # noqa: F401  Pillow reads JPEG XL with it.
from PIL import Image, ImageFile

ENDINGS = {f".{ending}" for ending in
           "jpg jpeg jpe png apng gif webp bmp dib tif tiff ico cur tga qoi pbm pgm ppm pnm jp2 j2k jxl".split()}  # fmt: skip


def main():
    warnings.simplefilter("ignore")
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    out, seen, found = Path(sys.argv[1]), set(), []
    out.mkdir(parents=True, exist_ok=True)
    for folder in sys.argv[2:]:
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix.lower() not in ENDINGS or not path.is_file() or path.is_symlink():
                continue
            data = path.read_bytes()
            digest = hashlib.sha256(data).digest()
            if digest in seen:
                continue
            seen.add(digest)
            entry = dict(path=str(path), format=None, refused=None)
            try:
                image = Image.open(io.BytesIO(data))
                entry["format"] = image.format
                image.convert("RGB").save(out / f"{len(found)}.png", compress_level=1)
            except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:
                entry["refused"] = str(error)
            found.append(entry)
    (out / "found.json").write_text(json.dumps(found))
    print(len(found), "images,", sum(entry["refused"] is not None for entry in found), "refused by Pillow")


if __name__ == "__main__":
    main()
