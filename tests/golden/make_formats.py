"""Makes the images of all formats and variants that crates/clip is compared with, and what Pillow makes of them.

    python -m pip install -r requirements.txt && python make_formats.py

The reference is `Image.open(...).convert("RGB")`, the first frame, and the golden model of make_golden.py on that, behind
the reference's preprocessing. What comes out is committed:

    formats/<format>/*        the images, a few hundred bytes to a few kilobytes each
    formats/reference/*.png   Pillow's pixels of them, named after their contents
    formats.json              format, variant, file -> reference, size, embedding, or what Pillow says where it refuses
"""

import hashlib
import io
import json
import shutil
import struct
import warnings
from importlib.metadata import version
from pathlib import Path

import imagecodecs
import numpy as np
import PIL
import tifffile
import torch
from make_golden import HERE, SIDE, make_model, make_tokenizer, numbers, unit
from PIL import Image, ImageOps, features
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from writers import bmp, gif, ico, jpeg, jpeg2000, jxl, png, pnm, qoi, scene, shapes, tga, tiff, webp

FOLDER = HERE / "formats"
FORMATS = {"JPEG": jpeg, "PNG": png, "GIF": gif, "WebP": webp, "BMP": bmp, "TIFF": tiff, "PNM": pnm, "ICO": ico, "TGA": tga,
           "QOI": qoi, "Shapes": shapes, "JPEG 2000": jpeg2000, "JPEG XL": jxl}  # fmt: skip
# Of larger images only each 61st pixel of each 61st row is kept.
LARGE, STEP = 1_000_000, 61


class Reference:
    """Pillow's pixels, and the golden model's embedding of them."""

    def __init__(self):
        self.model = make_model(make_tokenizer())
        self.processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})

    def check(self):
        """The model is the one whose graph is committed."""
        golden = json.loads((HERE / "golden.json").read_text())["images"]
        entry = next(entry for entry in golden if entry["file"] == "wide.png")
        found = self.embedding(Image.open(HERE / "images/wide.png").convert("RGB"))
        assert np.dot(found, entry["embedding"]) > 0.999999, "make_golden.py makes another model than the committed one"

    def embedding(self, image: Image.Image) -> list[float]:
        with torch.no_grad():
            answer = self.model.get_image_features(**self.processor(image, return_tensors="pt"))
        answer = answer.pooler_output if hasattr(answer, "pooler_output") else answer
        return [float(f"{value:.7g}") for value in unit(answer[0].numpy())]

    def of(self, image: Image.Image) -> dict:
        # Of some images convert("RGB") remembers a transparent colour, which the processor would lay on white.
        image = Image.fromarray(np.asarray(image))
        step = STEP if image.width * image.height > LARGE else 1
        kept = np.ascontiguousarray(np.asarray(image)[::step, ::step])
        name = hashlib.sha256(repr(kept.shape).encode() + kept.tobytes()).hexdigest()[:12] + ".png"
        Image.fromarray(kept).save(FOLDER / "reference" / name, optimize=True)
        entry = dict(width=image.width, height=image.height, pixels=name)
        return entry | (dict(step=step) if step > 1 else {}) | dict(embedding=self.embedding(image))


def entry(reference: Reference, format: str, variant: str, file: str, data: bytes) -> dict:
    """A line of formats.json."""
    start = dict(format=format, variant=variant, file=file)
    try:
        image = Image.open(io.BytesIO(data))
        plain = image.convert("RGB")
        made = reference.of(plain)
        try:
            turned = ImageOps.exif_transpose(image).convert("RGB")
        except (ValueError, SyntaxError, struct.error):
            # Of EXIF that is none.
            turned = plain
        if turned.size != plain.size or turned.tobytes() != plain.tobytes():
            made["turned"] = reference.of(turned)
    except (OSError, ValueError, SyntaxError, RuntimeError) as error:
        # Such an error names the object that holds the bytes, with its address; that of libjxl says nothing of the file.
        said = "it cannot identify the file" if isinstance(error, PIL.UnidentifiedImageError) else str(error).splitlines()[0]
        return start | dict(refused=said)
    return start | made


def main():
    warnings.simplefilter("ignore")
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "reference").mkdir(parents=True)
    reference = Reference()
    reference.check()
    entries = []
    for number, (format, writer) in enumerate(FORMATS.items()):
        scene.restart(1000 * (number + 1))
        folder = FOLDER / format.lower().replace(" ", "")
        folder.mkdir()
        for variant, file, data in writer.variants():
            assert not (folder / file).exists(), f"{file} twice"
            (folder / file).write_bytes(data)
            entries.append(entry(reference, format, variant, f"{folder.name}/{file}", data))
    versions = {"Pillow": PIL.__version__, "libjpeg-turbo": features.version("libjpeg_turbo"), "libwebp": features.version("webp"),
                "libtiff": features.version("libtiff"), "tifffile": tifffile.__version__, "imagecodecs": imagecodecs.__version__,
                "OpenJPEG": features.version("jpg_2000"), "pillow-jxl-plugin": version("pillow-jxl-plugin")}  # fmt: skip
    lines = ",\n".join("  " + json.dumps(line, ensure_ascii=False) for line in entries)
    (HERE / "formats.json").write_text(f'{{"versions": {json.dumps(versions)},\n"images": [\n{lines}\n]}}\n')
    for line in entries:
        if "refused" in line:
            print(f"refused: {line['format']}, {line['variant']}: {line['refused']}")
    print(len(entries), "images,", sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()), "bytes")


if __name__ == "__main__":
    main()
