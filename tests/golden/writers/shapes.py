"""Extreme shapes, and sizes about the input sizes of the models: 48 of the golden one, 224 of OpenAI's."""

from .scene import pil, scene

SIZES = [(1, 1), (2, 1), (1, 5000), (5000, 1), (3, 2000), (47, 48), (48, 48), (49, 48), (48, 49), (24, 24), (96, 96),
         (223, 224), (225, 224), (150, 100)]  # fmt: skip


def variants():
    for width, height in SIZES:
        # The larger ones without grain, for the size of the file.
        name, file = f"{width} x {height}", f"{width}x{height}"
        if width * height > 20_000:
            yield name, f"{file}.webp", pil(scene(width, height), "WEBP", lossless=True)
        else:
            yield name, f"{file}.png", pil(scene(width, height), "PNG", optimize=True)
