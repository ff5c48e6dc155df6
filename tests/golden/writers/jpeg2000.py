"""JPEG 2000, by Pillow, and by imagecodecs what Pillow does not write."""

import imagecodecs
import numpy as np
from PIL import Image

from .png import with_alpha
from .scene import alpha, deep, gray, pil, scene


def variants():
    yield "lossless, RGB", "rgb.jp2", pil(scene(), "JPEG2000")
    yield "lossless, gray", "gray.jp2", pil(gray(), "JPEG2000")
    yield "lossless, gray and alpha", "gray_alpha.jp2", pil(two_channels(), "JPEG2000")
    yield "lossless, RGB and alpha", "rgba.jp2", pil(with_alpha(scene()), "JPEG2000")
    yield "lossless, gray of 16 bits", "gray16.jp2", pil(deep()[..., 0], "JPEG2000")
    yield "lossless, RGB of 16 bits", "rgb16.jp2", encoded(deep())
    yield "lossless, gray of 12 bits", "gray12.jp2", encoded(deep()[..., 0] >> 4, bitspersample=12)
    yield "lossless, without a colour transform", "rgb_no_mct.jp2", pil(scene(), "JPEG2000", mct=0)
    yield "bare code stream", "rgb.j2k", pil(scene(), "JPEG2000", no_jp2=True)
    yield "bare code stream, gray", "gray.j2k", pil(gray(), "JPEG2000", no_jp2=True)
    for rate in [4, 20]:
        options = dict(irreversible=True, quality_mode="rates", quality_layers=[rate])
        yield f"lossy, RGB, 1:{rate}", f"rgb_lossy{rate}.jp2", pil(scene(97, 61), "JPEG2000", **options)
        yield f"lossy, gray, 1:{rate}", f"gray_lossy{rate}.jp2", pil(gray(97, 61), "JPEG2000", **options)
    yield "lossy, layers", "layers.jp2", pil(scene(97, 61), "JPEG2000", irreversible=True, quality_layers=[40, 20, 10])
    yield "lossy, reversible wavelet", "reversible_lossy.jp2", pil(scene(97, 61), "JPEG2000", quality_layers=[10])
    for order in ["LRCP", "RLCP", "RPCL", "PCRL", "CPRL"]:
        options = dict(progression=order, precinct_size=(32, 32), codeblock_size=(16, 16), num_resolutions=4)
        yield f"progression {order}", f"{order.lower()}.jp2", pil(scene(97, 61), "JPEG2000", **options)
    yield "tiles", "tiles.jp2", pil(scene(97, 61), "JPEG2000", tile_size=(32, 32))
    yield "tiles, lossy", "tiles_lossy.jp2", pil(scene(97, 61), "JPEG2000", tile_size=(40, 24), irreversible=True, quality_layers=[8])
    yield "one resolution", "one_resolution.jp2", pil(scene(), "JPEG2000", num_resolutions=1)
    yield "lengths of packets", "plt.jp2", pil(scene(), "JPEG2000", plt=True)
    whole = pil(scene(97, 61), "JPEG2000")
    yield "cut off", "cut.jp2", whole[: len(whole) // 2]


def two_channels():
    return Image.merge("LA", [Image.fromarray(gray()), Image.fromarray(alpha())])


def encoded(pixels: np.ndarray, **options) -> bytes:
    return imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="jp2", **options)
