"""Which pixels of a depth image can be believed: flying pixels at edges, and what the mirrored picture contradicts."""

from __future__ import annotations

import cv2
import numpy as np

from scdepth_core.geometry.camera import Camera


def only(depth: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Depth (H, W) float32 where `valid` (H, W) bool says so, NaN elsewhere; the same array when all of it is."""
    if valid.all():
        return depth
    return cv2.copyTo(depth, valid.view(np.uint8), np.full_like(depth, np.nan))


def steep(depth: np.ndarray, camera: Camera, slope: float) -> np.ndarray:
    """True (H, W) where depth changes by more than `slope` metres for each metre sideways.

    Over 3x3 pixels, two pixel widths of depth / f metres each: (max - min) f / 2 > slope depth.
    """
    window = np.ones((3, 3), np.uint8)
    change = cv2.dilate(depth, window) - cv2.erode(depth, window)
    return change * np.float32(0.5 * min(camera.K[0, 0], camera.K[1, 1])) > slope * depth


def agreement(one: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """True (H, W) where two depths differ by no more than this share of the smaller one."""
    return np.abs(one - other) <= tolerance * np.minimum(one, other)
