"""Prepares images with Pillow and numpy, in the steps of transformers' CLIPImageProcessorPil for ViT-B/32, and times it.

Reads requests from standard input, one JSON object a line, and answers each with a line:
    {"encode": {"from": FILE, "to": FILE}}           a JPEG file as cameras write it: quality 85, 4:2:0
    {"input": {"file": FILE, "draft": false}}        {"values": [...]}, the model's input
    {"time": {"files": [FILE, ...], "draft": false}} {"decode": seconds, "prepare": seconds}
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, features

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
from preparation import Preparation  # noqa: E402

VIT = Preparation(224, mean=[0.48145466, 0.4578275, 0.40821073], std=[0.26862954, 0.26130258, 0.27577711])


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
            return {"values": VIT.prepare(read(file), draft).flatten().tolist()}
        case {"time": {"files": files, "draft": draft}}:
            files = [read(file) for file in files]
            return {"decode": seconds(VIT.decode, files, draft), "prepare": seconds(VIT.prepare, files, draft)}
    raise ValueError(f"unknown request: {request}")


turbo = features.version_feature("libjpeg_turbo")
print(json.dumps({"about": f"Pillow {PIL.__version__} with libjpeg-turbo {turbo}, numpy {np.__version__}"}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
