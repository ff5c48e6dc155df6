"""The model's input of an image with Pillow and numpy, in the steps of transformers' CLIPImageProcessorPil."""

import io

import numpy as np
from PIL import Image


class Preparation:
    """Of a model whose input is a square of `edge` pixels."""

    def __init__(self, edge, mean, std):
        self.edge = edge
        self.mean = np.array(mean, dtype=np.float32)[:, None, None]
        self.std = np.array(std, dtype=np.float32)[:, None, None]

    def decode(self, encoded, draft=False):
        image = Image.open(io.BytesIO(encoded))
        if draft:
            width, height = self.resized(*image.size)
            image.draft("RGB", (2 * width, 2 * height))
        return image.convert("RGB")

    def resized(self, width, height):
        """The shortest edge becomes that of the input."""
        if width <= height:
            return self.edge, int(self.edge * height / width)
        return int(self.edge * width / height), self.edge

    def prepare(self, encoded, draft=False, out=None):
        image = self.decode(encoded, draft)
        image = image.resize(self.resized(*image.size), Image.Resampling.BICUBIC)
        left, top = (image.width - self.edge) // 2, (image.height - self.edge) // 2
        levels = np.asarray(image.crop((left, top, left + self.edge, top + self.edge)))
        if out is None:
            out = np.empty((3, self.edge, self.edge), dtype=np.float32)
        # Channel by channel and in place: with the channels last, as transformers has them, numpy takes several times as long.
        out[:] = levels.transpose(2, 0, 1)
        out *= np.float32(1 / 255)
        out -= self.mean
        out /= self.std
        return out
