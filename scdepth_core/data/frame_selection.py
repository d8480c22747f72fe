"""Choose the frames of a video that are worth training on, and say how much of its motion is rotation.

A pair of frames teaches depth through parallax. A frame that did not move since the last one kept teaches
nothing, a blurred one teaches wrongly. Motion is measured in pixels by sparse optical flow: corners of the last
kept frame, tracked forwards and back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from scdepth_core.channels import to_grey
from scdepth_core.errors import ConfigError

STATIC, BLURRED = "static", "blurred"

_WINDOW = 15  # pixels: side of the square around a corner that is followed
_LUCAS_KANADE = {
    "maxLevel": 3,
    "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.03),
}
_CORNERS = {"maxCorners": 250, "qualityLevel": 0.01, "minDistance": 6, "blockSize": 5}
_FEWEST_TRACKS = 12
_ROUND_TRIP = 0.7  # pixels by which a corner may miss its start when tracked back
_SAME_PICTURE = 2.0  # mean difference in grey levels below which an untrackable picture counts as unchanged
_FEWEST_FRAMES_FOR_BLUR = 5


@dataclass(frozen=True)
class SelectionSettings:
    """What makes a frame worth keeping.

    Attributes:
        min_motion: median motion since the last kept frame, pixels of the image as trained on; 0 keeps all.
        min_sharpness: sharpness relative to the running median of the stretch, 0 to 1; 0 keeps all.
        memory: frames that the running median looks back on.

    Raises:
        ConfigError: for a value outside its range.
    """

    min_motion: float = 2.0
    min_sharpness: float = 0.55
    memory: int = 90

    def __post_init__(self):
        if not self.min_motion >= 0:
            raise ConfigError(f"min_motion is {self.min_motion}, expected pixels of 0 or more")
        if not 0 <= self.min_sharpness < 1:
            raise ConfigError(f"min_sharpness is {self.min_sharpness}, expected a share of 0 or more, below 1")
        if self.memory < _FEWEST_FRAMES_FOR_BLUR:
            raise ConfigError(f"memory is {self.memory}, expected at least {_FEWEST_FRAMES_FOR_BLUR} frames")


@dataclass(frozen=True)
class Verdict:
    """What was found about one frame.

    Attributes:
        reason: why it is dropped, STATIC or BLURRED; None when it is kept.
        motion: median motion since the last kept frame, pixels; None where there is no earlier frame, inf where
            nothing of it can be found again.
        sharpness: relative to the running median; None for the first few frames.
        rotation_share: the part of `motion` that a turn of the camera on the spot explains, 0 to 1; None for a
            dropped frame, where motion is unknown, and without intrinsics.
    """

    reason: str | None
    motion: float | None
    sharpness: float | None
    rotation_share: float | None

    @property
    def keep(self) -> bool:
        return self.reason is None


class FrameSelector:
    """Judge the frames of one continuous stretch, in time order.

    Args:
        K: (3, 3) intrinsics of the images; None to do without the rotation share.
    """

    def __init__(self, K: np.ndarray | None, settings: SelectionSettings | None = None):
        self.settings = settings or SelectionSettings()
        self._K = None if K is None else np.asarray(K, np.float64)
        self._sharpness = deque(maxlen=self.settings.memory)
        self._kept: np.ndarray | None = None
        self._corners: np.ndarray | None = None

    def judge(self, image: np.ndarray) -> Verdict:
        """Keep or drop this frame; (H, W, 3) uint8 RGB or (H, W) uint8."""
        grey = to_grey(image)
        sharpness = self._relative_sharpness(grey)
        if sharpness is not None and sharpness < self.settings.min_sharpness:
            return Verdict(BLURRED, None, sharpness, None)
        if self._kept is None:
            return self._keep(grey, Verdict(None, None, sharpness, None))
        start, end = track(self._kept, grey, self._corners)
        if len(start) < max(_FEWEST_TRACKS, 0.1 * len(self._corners)):
            unchanged = mean_difference(self._kept, grey) < _SAME_PICTURE
            if unchanged and self.settings.min_motion > 0:
                return Verdict(STATIC, 0.0, sharpness, None)
            return self._keep(grey, Verdict(None, np.inf, sharpness, None))
        motion = float(np.median(np.linalg.norm(end - start, axis=1)))
        if motion < self.settings.min_motion:
            return Verdict(STATIC, motion, sharpness, None)
        share = None if self._K is None else rotation_share(start, end, self._K)
        return self._keep(grey, Verdict(None, motion, sharpness, share))

    def _keep(self, grey: np.ndarray, verdict: Verdict) -> Verdict:
        self._kept = grey.copy()
        self._corners = find_corners(grey)
        return verdict

    def _relative_sharpness(self, grey: np.ndarray) -> float | None:
        self._sharpness.append(sharpness(grey))
        if len(self._sharpness) < _FEWEST_FRAMES_FOR_BLUR:
            return None
        return self._sharpness[-1] / max(float(np.median(self._sharpness)), 1e-9)


def sharpness(grey: np.ndarray) -> float:
    """How fine the detail is, in the direction where it is coarsest: blur by motion has a direction.

    Along rows, columns and both diagonals, the energy of second differences over that of first differences, which
    is the mean squared frequency of what there is to see; of these four the least. A plain wall has few edges,
    but sharp ones: the variance of the Laplacian would call it blurred, this does not. A little smoothing first
    keeps the sensor's noise from passing for detail. 0 without any edge.
    """
    grey = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.8)
    centre = 2 * grey[1:-1, 1:-1]
    second = (
        grey[1:-1, 2:] + grey[1:-1, :-2] - centre,
        grey[2:, 1:-1] + grey[:-2, 1:-1] - centre,
        grey[2:, 2:] + grey[:-2, :-2] - centre,
        grey[2:, :-2] + grey[:-2, 2:] - centre,
    )
    first = (
        grey[:, 1:] - grey[:, :-1],
        grey[1:] - grey[:-1],
        grey[1:, 1:] - grey[:-1, :-1],
        grey[1:, :-1] - grey[:-1, 1:],
    )
    return min(_energy(fine) / max(_energy(edges), 1e-3) for fine, edges in zip(second, first))


def find_corners(grey: np.ndarray) -> np.ndarray:
    """Corners worth tracking, (N, 2) float32 pixels; N may be 0."""
    corners = cv2.goodFeaturesToTrack(grey, **_CORNERS)
    return np.empty((0, 2), np.float32) if corners is None else corners.reshape(-1, 2)


def track(
    first: np.ndarray, second: np.ndarray, corners: np.ndarray, window: int = _WINDOW
) -> tuple[np.ndarray, np.ndarray]:
    """Follow corners from one picture to another, keeping those that lead back to where they began.

    Args:
        first, second: (H, W) uint8.
        corners: (N, 2) float32 pixels in `first`.
        window: pixels, side of the square around a corner that is followed.

    Returns:
        positions in `first` and in `second`, both (M, 2) float32 with M <= N.
    """
    if len(corners) == 0:
        return corners, corners
    points = corners.reshape(-1, 1, 2)
    settings = {"winSize": (window, window), **_LUCAS_KANADE}
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, points, None, **settings)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(second, first, there, None, **settings)
    miss = np.linalg.norm((back - points).reshape(-1, 2), axis=1)
    good = (found.ravel() == 1) & (returned.ravel() == 1) & (miss < _ROUND_TRIP)
    return corners[good], there.reshape(-1, 2)[good]


def mean_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two uint8 pictures in grey levels, without wrapping around at 0."""
    return float(cv2.absdiff(first, second).mean())


def rotation_share(start: np.ndarray, end: np.ndarray, K: np.ndarray) -> float:
    """How much of the motion between matched points a pure rotation explains: 1 - left over / total.

    The rotation R that brings the viewing rays together best (least absolute error) moves pixels by the
    homography K R K^-1; medians of the motion and of what remains of it are compared. Sideways motion past a flat
    scene looks like a turn, so this is an upper bound.

    Args:
        start, end: (N, 2) pixels.
        K: (3, 3) intrinsics.

    Returns:
        0 (translation alone) to 1 (rotation alone).
    """
    total = float(np.median(np.linalg.norm(end - start, axis=1)))
    if total < 1e-6:
        return 0.0
    rays_start, rays_end = _rays(start, K), _rays(end, K)
    turned = rays_start @ fit_rotation(rays_start, rays_end).T @ K.T
    predicted = turned[:, :2] / turned[:, 2:]
    left_over = float(np.median(np.linalg.norm(end - predicted, axis=1)))
    return float(np.clip(1 - left_over / total, 0, 1))


def fit_rotation(rays_start: np.ndarray, rays_end: np.ndarray, rounds: int = 10) -> np.ndarray:
    """Rotation (3, 3) that minimises sum |end - R start| over unit rays (N, 3), by reweighted least squares."""
    weights = np.ones(len(rays_start))
    for _ in range(rounds):
        U, _, Vt = np.linalg.svd((rays_start * weights[:, None]).T @ rays_end)
        R = Vt.T @ np.diag([1, 1, np.linalg.det(Vt.T @ U.T)]) @ U.T
        weights = 1 / np.maximum(np.linalg.norm(rays_end - rays_start @ R.T, axis=1), 1e-6)
    return R


def _rays(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    homogeneous = np.hstack([points.astype(np.float64), np.ones((len(points), 1))])
    rays = homogeneous @ np.linalg.inv(K).T
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _energy(differences: np.ndarray) -> float:
    values = differences.ravel()
    return float(values @ values) / values.size
