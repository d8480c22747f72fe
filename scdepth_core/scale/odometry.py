"""Scale from odometry: how far the camera went in metres, over how far it went in network units.

The distance in network units comes from corners tracked from a key frame to the present one, placed by the predicted
depth. Only the length of the measured translation and the angle of the measured rotation are used, so that the
odometry may move any frame that is fixed to the camera, whichever way its axes point.

Key frames are half as far from each other as the frames that are compared. So every step of the odometry is part of
two ways, and one that is wrong does not take the right one beside it along.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from scdepth_core.errors import ConfigError
from scdepth_core.geometry.camera import scale_intrinsics
from scdepth_core.scale.corners import corners_on_surfaces, follow
from scdepth_core.scale.two_view import two_view_motion
from scdepth_core.scale.view import Measurement, View

_FLOW_WIDTH = 320  # pixels: wider pictures are reduced, tracking needs no more
_SMALLEST_PARALLAX = 1.0  # pixels
_LARGEST_TURN = np.deg2rad(30)  # since the key frame
_KEYS = 4  # key frames remembered at most
_ODOMETRY_SHARE = 0.02  # standard deviation of measured travel, relative
_LEVER_ARM = 0.2  # metres that the odometry's frame may be away from the camera: a turn moves one and not the other


@dataclass(frozen=True)
class _KeyFrame:
    grey: np.ndarray
    corners: np.ndarray
    points: np.ndarray
    pose: np.ndarray


class OdometryTravel:
    """ln s = ln(measured travel) - ln(travel in network units), between frames that are far enough apart.

    Args:
        min_travel: metres between the two frames.
        max_rotation_share: of the motion in the picture, from 0 to 1, above which a pair says too little.
        lever_arm: metres by which the odometry's frame may be off the camera; 0 when it moves the camera itself.

    Raises:
        ConfigError: for a value outside its range.
    """

    name = "odometry"

    def __init__(self, min_travel: float = 0.1, max_rotation_share: float = 0.8, lever_arm: float = _LEVER_ARM):
        if not 0 < min_travel < np.inf:
            raise ConfigError(f"min_travel is {min_travel}, expected metres above 0")
        if not 0 < max_rotation_share <= 1:
            raise ConfigError(f"max_rotation_share is {max_rotation_share}, expected a share above 0, up to 1")
        if not 0 <= lever_arm < np.inf:
            raise ConfigError(f"lever_arm is {lever_arm}, expected metres, at least 0")
        self._min_travel, self._max_share, self._lever = min_travel, max_rotation_share, lever_arm
        self._keys: deque[_KeyFrame] = deque(maxlen=_KEYS)

    def restart(self) -> None:
        """Forget the key frames: the next view is not connected to the last one."""
        self._keys.clear()

    def measure(self, view: View) -> Measurement:
        """The scale of the way to this view, which has `grey` and `pose`, from the last key frame far enough away."""
        if view.pose is None:
            return Measurement.none("no odometry at the image's stamp")
        view = _reduced(view)
        if self._keys and view.grey.shape != self._keys[-1].grey.shape:  # a camera that was started anew
            self.restart()
        if not self._keys:
            self._keys.append(_key_frame(view))
            return Measurement.none("first frame")
        travel, turn = _way(self._keys[-1], view.pose)
        if travel < self._min_travel / 2 and turn < _LARGEST_TURN / 2:
            return Measurement.none("not far enough from the last key frame")
        ways = [(key, *_way(key, view.pose)) for key in self._keys]
        self._keys.append(_key_frame(view))
        far = [way for way in ways if way[1] >= self._min_travel]
        if not far:
            return Measurement.none("not far enough from the last key frame")
        key, travel, turn = far[-1]
        if turn >= _LARGEST_TURN:
            return Measurement.none("turned too far since the last key frame")
        return self._compare(key, view, travel, turn)

    def _compare(self, key: _KeyFrame, view: View, travel: float, turn: float) -> Measurement:
        kept, here = follow(key.grey, view.grey, key.corners)
        there = key.corners[kept].astype(np.float64)
        found = two_view_motion(key.points[kept], here, view.K)
        if found is None:
            return Measurement.none("too few corners could be followed")
        inliers = found.inliers
        parallax, turned = _flow_parts(there[inliers], here[inliers], found.R, view.K)
        if parallax < _SMALLEST_PARALLAX:
            return Measurement.none("too little parallax")
        if turned > self._max_share * (turned + parallax):
            return Measurement.none("mostly rotation")
        sigma = np.sqrt(found.sigma**2 + _ODOMETRY_SHARE**2 + (self._lever * turn / travel) ** 2)
        return Measurement(float(np.log(travel / np.linalg.norm(found.t))), float(sigma))


def _reduced(view: View) -> View:
    """The view at no more than _FLOW_WIDTH columns."""
    height, width = view.depth.shape
    factor = _FLOW_WIDTH / width
    if factor >= 1:
        return view
    size = (_FLOW_WIDTH, round(height * factor))
    grey = cv2.resize(view.grey, size, interpolation=cv2.INTER_AREA)
    depth = cv2.resize(view.depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return View(depth, scale_intrinsics(view.K, factor, size[1] / height), grey, None, view.pose)


def _key_frame(view: View) -> _KeyFrame:
    """A view's corners, and their points in network units."""
    corners, depth = corners_on_surfaces(view.grey, view.depth)
    rays = np.c_[corners, np.ones(len(corners))] @ np.linalg.inv(view.K).T
    return _KeyFrame(view.grey.copy(), corners, rays * depth[:, None], view.pose)


def _way(key: _KeyFrame, pose: np.ndarray) -> tuple[float, float]:
    """Measured travel in metres and turn in radians since a key frame."""
    motion = np.linalg.inv(key.pose) @ pose
    return float(np.linalg.norm(motion[:3, 3])), _angle(motion[:3, :3])


def _flow_parts(there: np.ndarray, here: np.ndarray, R: np.ndarray, K: np.ndarray) -> tuple[float, float]:
    """Median motion in pixels that translation causes, and that rotation causes."""
    turned = np.c_[there, np.ones(len(there))] @ (K @ R @ np.linalg.inv(K)).T
    turned = turned[:, :2] / turned[:, 2:]
    return (
        float(np.median(np.linalg.norm(here - turned, axis=1))),
        float(np.median(np.linalg.norm(turned - there, axis=1))),
    )


def _angle(R: np.ndarray) -> float:
    return float(np.linalg.norm(cv2.Rodrigues(np.ascontiguousarray(R))[0]))
