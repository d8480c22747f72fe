"""What the networks expect of an image: its size and its pixel values, the same in training and in use."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

MEAN, STD = 0.45, 0.225


def normalize(image: Tensor) -> Tensor:
    """uint8 (..., H, W) to float32 (x / 255 - 0.45) / 0.225."""
    return image.float().mul_(1 / (255 * STD)).sub_(MEAN / STD)


def resize_for_network(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W, 3) at the network's input size, writable; averaged where it shrinks to less than half, bilinear otherwise.

    At half its size the two are the same, and OpenCV's averaging is five times slower where the other side shrinks by
    a fraction: 640x480 to 320x256.
    """
    if rgb.shape[:2] == (height, width):
        return np.require(rgb, requirements=("C", "W"))
    less_than_half = rgb.shape[1] > 2 * width or rgb.shape[0] > 2 * height
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if less_than_half else cv2.INTER_LINEAR)


def denormalize(image: Tensor) -> Tensor:
    """Back to [0, 1] for pictures."""
    return (image * STD + MEAN).clamp(0, 1)
