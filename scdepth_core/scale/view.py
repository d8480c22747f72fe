"""What a scale is measured on, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """One rectified frame with everything that may be known about it.

    Attributes:
        depth: (H, W) float32 predicted depth, network units; NaN where invalid.
        K: (3, 3) intrinsics of these images, pixels.
        grey: (H, W) uint8 picture; odometry needs it.
        reference: (H, W) float32 measured depth in metres, NaN where there is none (nearly everywhere, if it comes
            from projected lidar points); None when there is none at all.
        pose: (4, 4) measured pose of the optical frame in a fixed one, metres; None when unknown.
        ground_pose: (4, 4) pose of the rectified camera in a frame whose z = 0 plane is the ground, z up, metres; None
            when unknown.
    """

    depth: np.ndarray
    K: np.ndarray
    grey: np.ndarray | None = None
    reference: np.ndarray | None = None
    pose: np.ndarray | None = None
    ground_pose: np.ndarray | None = None


@dataclass(frozen=True)
class Measurement:
    """The scale of one frame.

    Attributes:
        log_scale: ln(metres per network unit); NaN when the frame says nothing about it.
        sigma: standard deviation of `log_scale`: 0.02 is 2 % of the scale.
        refused: why there is no measurement, in a few words that are the same for the same reason; else empty.
    """

    log_scale: float
    sigma: float
    refused: str = ""

    @classmethod
    def none(cls, reason: str) -> Measurement:
        return cls(float("nan"), float("inf"), reason)
