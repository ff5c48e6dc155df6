"""QOI, by Pillow."""

from .png import with_alpha
from .scene import pil, scene


def variants():
    yield "3 channels", "rgb.qoi", pil(scene(), "QOI")
    yield "4 channels", "rgba.qoi", pil(with_alpha(scene()), "QOI")
