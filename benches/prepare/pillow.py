"""Prepares images with Pillow and numpy, in the steps of transformers' CLIPImageProcessorPil for ViT-B/32, and times it.

Reads requests from standard input, one JSON object a line, and answers each with a line:
    {"encode": {"from": FILE, "to": FILE}}           a JPEG file as cameras write it: quality 85, 4:2:0
    {"input": {"file": FILE, "draft": false}}        {"values": [...]}, the model's input
    {"time": {"files": [FILE, ...], "draft": false}} {"decode": seconds, "prepare": seconds}
"""

import io
import json
import sys
import time

import numpy as np
import PIL
from PIL import Image, features

EDGE = 224
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


def decode(encoded, draft):
    image = Image.open(io.BytesIO(encoded))
    if draft:
        width, height = resized(*image.size)
        image.draft("RGB", (2 * width, 2 * height))
    return image.convert("RGB")


def resized(width, height):
    """The shortest edge becomes 224."""
    if width <= height:
        return EDGE, int(EDGE * height / width)
    return int(EDGE * width / height), EDGE


def prepare(encoded, draft):
    image = decode(encoded, draft)
    image = image.resize(resized(*image.size), Image.Resampling.BICUBIC)
    left, top = (image.width - EDGE) // 2, (image.height - EDGE) // 2
    levels = np.asarray(image.crop((left, top, left + EDGE, top + EDGE)))
    # Channel by channel and in place: with the channels last, as transformers has them, numpy takes several times as long.
    values = np.ascontiguousarray(levels.transpose(2, 0, 1)).astype(np.float32)
    values *= np.float32(1 / 255)
    values -= MEAN[:, None, None]
    values /= STD[:, None, None]
    return values


def seconds(function, files, draft):
    start = time.perf_counter()
    for encoded in files:
        function(encoded, draft)
    return time.perf_counter() - start


def read(file):
    with open(file, "rb") as opened:
        return opened.read()


def answer(request):
    match request:
        case {"encode": {"from": source, "to": target}}:
            Image.open(source).save(target, "JPEG", quality=85, subsampling="4:2:0")
            return {}
        case {"input": {"file": file, "draft": draft}}:
            return {"values": prepare(read(file), draft).flatten().tolist()}
        case {"time": {"files": files, "draft": draft}}:
            files = [read(file) for file in files]
            return {"decode": seconds(decode, files, draft), "prepare": seconds(prepare, files, draft)}
    raise ValueError(f"unknown request: {request}")


turbo = features.version_feature("libjpeg_turbo")
print(json.dumps({"about": f"Pillow {PIL.__version__} with libjpeg-turbo {turbo}, numpy {np.__version__}"}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
