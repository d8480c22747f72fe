"""Pictures of depth."""

from __future__ import annotations

import cv2
import numpy as np

NO_VALUE = (40, 40, 40)


def colorize_depth(depth: np.ndarray, near: float, far: float) -> np.ndarray:
    """Depth (H, W) as a picture (H, W, 3) uint8 RGB: near is bright, far is dark, no value is grey.

    Colours are even in inverse depth, as in disparity pictures, between `near` and `far` (same unit as the depth).
    """
    near, far = max(float(near), 1e-6), max(float(far), float(near) + 1e-6)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (1 / depth - 1 / far) / (1 / near - 1 / far)
    known = np.isfinite(depth) & (depth > 0)
    grey = (255 * np.clip(np.where(known, share, 0), 0, 1)).astype(np.uint8)
    picture = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_MAGMA), cv2.COLOR_BGR2RGB)
    picture[~known] = NO_VALUE
    return picture
