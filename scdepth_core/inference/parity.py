"""How far one way of running the network is from another, in depth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

BOUNDS = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 2e-2}  # largest relative error that passes


@dataclass(frozen=True)
class DepthChange:
    """Relative depth error |d' / d - 1| over all pixels of some frames.

    Attributes:
        frames: how many were compared.
        max, mean: of the error.
    """

    frames: int
    max: float
    mean: float


def depth_change(
    reference: Callable[[np.ndarray], np.ndarray], other: Callable[[np.ndarray], np.ndarray], frames: Iterable
) -> DepthChange:
    """Compare two functions from pixels (1, H, W, 3) to depth (1, H, W); what is not finite is infinitely wrong."""
    largest, sums, pixels, count = 0.0, 0.0, 0, 0
    for frame in frames:
        depth = np.array(reference(frame), np.float64)
        error = np.nan_to_num(np.abs(other(frame) / depth - 1), nan=np.inf)
        largest, sums = max(largest, float(error.max())), sums + float(error.sum())
        pixels, count = pixels + error.size, count + 1
    return DepthChange(count, largest, sums / max(pixels, 1))


def random_frames(height: int, width: int, seed: int = 0) -> list[np.ndarray]:
    """Four (1, H, W, 3) uint8 frames that no camera takes: two of noise, two of smooth blobs."""
    rng = np.random.default_rng(seed)
    noise = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(2)]
    coarse = [rng.integers(0, 256, (6, 8, 3), np.uint8) for _ in range(2)]
    blobs = [cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) for grid in coarse]
    return [frame[None] for frame in (*noise, *blobs)]
