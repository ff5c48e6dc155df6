"""Random views of pictures, a batch at a time: small turns, shifts and scales, colours, blur, mirror."""

import torch
import torch.nn.functional as F


def augment(pictures: torch.Tensor, side: int, strength: float, plain: float) -> torch.Tensor:
    """uint8 (n, 3, s, s) to float (n, 3, side, side) in 0..1. A share `plain` is only resized, as in evaluation."""
    n = len(pictures)
    pixels = pictures.float() / 255
    untouched = F.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    angle = uniform(n, 0.30 * strength)
    scale = torch.exp(uniform(n, 0.22 * strength) + 0.06 * strength)
    stretch = torch.exp(uniform(n, 0.12 * strength))
    cosine, sine = torch.cos(angle), torch.sin(angle)
    theta = torch.stack([
        torch.stack([cosine * scale * stretch, -sine * scale, uniform(n, 0.18 * strength)], 1),
        torch.stack([sine * scale * stretch, cosine * scale, uniform(n, 0.18 * strength)], 1),
    ], 1)
    grid = F.affine_grid(theta, (n, 3, side, side), align_corners=False)
    # The background is white: inverted, what lies outside becomes it.
    moved = 1 - F.grid_sample(1 - pixels, grid, padding_mode="zeros", align_corners=False)
    moved = colours(moved, strength)
    blurred = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, 1)
    amount = (torch.rand(n, 1, 1, 1) * 0.9 * strength) * (torch.rand(n, 1, 1, 1) < 0.4)
    moved = moved * (1 - amount) + blurred * amount
    keep = torch.rand(n, 1, 1, 1) < plain
    return torch.where(keep, untouched, moved.clamp(0, 1))


def uniform(n: int, limit: float) -> torch.Tensor:
    return (torch.rand(n) * 2 - 1) * limit


def colours(pixels: torch.Tensor, strength: float) -> torch.Tensor:
    """Hue turned in YIQ, saturation and contrast scaled around white, so that the background stays white."""
    n = len(pixels)
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    turn, saturation = uniform(n, 0.22 * strength), torch.exp(uniform(n, 0.4 * strength))
    zero, one = torch.zeros(n), torch.ones(n)
    mix = torch.stack([
        torch.stack([one, zero, zero], 1),
        torch.stack([zero, saturation * torch.cos(turn), -saturation * torch.sin(turn)], 1),
        torch.stack([zero, saturation * torch.sin(turn), saturation * torch.cos(turn)], 1),
    ], 1)
    matrix = torch.linalg.inv(to_yiq) @ mix @ to_yiq
    changed = torch.einsum("nij,njhw->nihw", matrix, pixels)
    contrast = torch.exp(uniform(n, 0.3 * strength))[:, None, None, None]
    return 1 - (1 - changed) * contrast


