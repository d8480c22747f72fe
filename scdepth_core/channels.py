"""Pictures of one channel and of three."""

from __future__ import annotations

import cv2
import numpy as np


def to_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a picture, which may be grey (H, W): then its three channels are equal."""
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image


def to_grey(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of a picture, (H, W, 3) RGB or grey already."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
