"""What the networks expect of pixel values."""

from __future__ import annotations

from torch import Tensor

MEAN, STD = 0.45, 0.225


def normalize(image: Tensor) -> Tensor:
    """uint8 (..., H, W) to float32 (x / 255 - 0.45) / 0.225."""
    return image.float().mul_(1 / (255 * STD)).sub_(MEAN / STD)


def denormalize(image: Tensor) -> Tensor:
    """Back to [0, 1] for pictures."""
    return (image * STD + MEAN).clamp(0, 1)
