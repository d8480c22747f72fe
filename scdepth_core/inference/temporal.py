"""Validity from two moments: depth of this frame that the depth of the last one contradicts, by the motion of PoseNet.

What is seen now, moved to where the camera was, has the depth D_a there; the last frame predicted D_b. Where
|D_a - D_b| / (D_a + D_b) (V1, eq. 4) is large, one of them is wrong, or something moved, or was hidden before.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from scdepth_core.checkpoint import STARTER_WEIGHTS, load_networks
from scdepth_core.data.frame_selection import mean_difference
from scdepth_core.errors import CheckpointError, ConfigError
from scdepth_core.geometry.camera import scale_intrinsics
from scdepth_core.inference.exported_file import open_source
from scdepth_core.inference.motion_estimator import MotionEstimator
from scdepth_core.network_fingerprint import network_fingerprint
from scdepth_core.networks.normalization import resize_for_network

logger = logging.getLogger(__name__)

_LONGEST_NS = 1_000_000_000  # between two frames that are compared; PoseNet knows small motions
_SAME_VIEW = 1.0  # grey levels: pictures that differ by less show no motion to compare by
_MOST = 0.5  # share of the pixels seen twice; when more contradict, the motion is wrong and not the depth
_NEAREST = 1e-3  # network units before the camera


@dataclass(frozen=True)
class _Moment:
    rgb: np.ndarray
    depth: np.ndarray
    K: np.ndarray
    shape: tuple[int, int]
    stamp_ns: int | None


class TemporalConsistency:
    """Compares each frame with the one before it.

    Args:
        motion: a MotionEstimator of the training that the depth comes from, or anything with its `relative` and
            `metadata`.
        tolerance: |D_a - D_b| / (D_a + D_b) above which depth is contradicted, above 0 and below 1.

    Raises:
        ConfigError: for a tolerance outside its range.
    """

    def __init__(self, motion, tolerance: float):
        if not 0 < tolerance < 1:
            raise ConfigError(f"temporal_tolerance is {tolerance}, expected a share above 0, below 1")
        self._motion, self._tolerance = motion, tolerance
        self._last: _Moment | None = None

    @classmethod
    def load(
        cls, weights: str | Path | None, tolerance: float, device: str = "auto", motion: str | Path | None = None
    ) -> TemporalConsistency:
        """With the PoseNet of a training checkpoint, or of an inference file that `scdepth pack --with-motion` wrote.

        Args:
            weights: the file that depth comes from; None: the starter weights.
            motion: the file with the PoseNet; None: the same.

        Raises:
            ConfigError: the file holds none, or one that was trained with another DepthNet, in a sentence that says
                what does.
        """
        depth = STARTER_WEIGHTS if weights is None else weights
        try:
            networks, metadata = load_networks(motion or depth)
            estimator = MotionEstimator.of(networks, metadata, motion or depth, device)
            if motion is not None:
                refuse_another_training(depth, motion, networks)
        except CheckpointError as error:
            raise ConfigError(
                f"temporal_tolerance needs the PoseNet of the training: {error}; motion_weights takes them, or a file "
                "of 'scdepth pack CKPT OUT --with-motion'"
            ) from error
        blank = np.zeros((estimator.metadata.height, estimator.metadata.width, 3), np.uint8)
        estimator.relative(blank, blank, np.eye(3))  # the first run takes longer than all others
        return cls(estimator, tolerance)

    def restart(self) -> None:
        """Forget the last frame."""
        self._last = None

    def contradicted(
        self, rgb: np.ndarray, depth: np.ndarray, K: np.ndarray | None, stamp_ns: int | None = None
    ) -> np.ndarray | None:
        """Where the frame before contradicts this one; None when it cannot tell.

        That is so for the first frame, after a change of size or camera, when the clock went back or more than a
        second passed, when the picture has not changed, and when most of it contradicts, because then the motion is
        wrong. What the last frame did not see is not contradicted.

        Args:
            rgb: (H, W, 3) uint8, rectified; depth: (H, W) float32, network units, as predicted for it.
            K: (3, 3) intrinsics of both; None when unknown, and then nothing can be said.
            stamp_ns: of the picture; None where frames follow each other without stamps.

        Returns:
            (H, W) bool, or None.
        """
        if K is None:
            self.restart()
            return None
        last, now = self._last, self._moment(rgb, depth, K, stamp_ns)
        self._last = now
        if last is None or not _comparable(last, now):
            return None
        motion = self._motion.relative(now.rgb, last.rgb, now.K)
        difference, seen = inconsistency(now.depth, last.depth, motion, now.K)
        if np.count_nonzero(difference > self._tolerance) > _MOST * np.count_nonzero(seen):
            return None
        return cv2.resize(difference, depth.shape[::-1], interpolation=cv2.INTER_LINEAR) > self._tolerance

    def _moment(self, rgb: np.ndarray, depth: np.ndarray, K: np.ndarray, stamp_ns: int | None) -> _Moment:
        """The frame at the size of the network, where both cost little."""
        (height, width), wanted = depth.shape, (self._motion.metadata.width, self._motion.metadata.height)
        K = scale_intrinsics(np.asarray(K, np.float64), wanted[0] / width, wanted[1] / height)
        small = cv2.resize(depth, wanted, interpolation=cv2.INTER_LINEAR)
        return _Moment(resize_for_network(rgb, *wanted), small, K, depth.shape, stamp_ns)


def refuse_another_training(depth: str | Path, motion: str | Path, networks: dict[str, dict[str, Tensor]]) -> None:
    """Raise ConfigError when the DepthNet beside the PoseNet of `motion` is not that of `depth`.

    Each DepthNet has a unit of its own, in which the PoseNet that was trained with it measures; with another one every
    frame would contradict the one before, or none. A file without a DepthNet (the public code keeps them apart), or an
    exported one of an earlier version, cannot tell: that is a warning.

    Args:
        networks: what load_networks found in `motion`.
    """
    beside = network_fingerprint(networks["DepthNet"]) if "DepthNet" in networks else ""
    used = open_source(depth).fingerprint
    if not (used and beside):
        silent = depth if beside else motion
        logger.warning(
            "'%s' does not say with which DepthNet it was trained – the PoseNet of '%s' has to be of the training "
            "that '%s' is from, else temporal_tolerance masks what is right",
            *(silent, motion, depth),
        )
    elif used != beside:
        raise ConfigError(
            f"the PoseNet of '{motion}' was trained with DepthNet {beside}, depth comes from DepthNet {used} of "
            f"'{depth}', which has another unit – give the checkpoint that these weights were exported from, or a file "
            "of 'scdepth pack CKPT OUT --with-motion' for both"
        )


def inconsistency(
    depth: np.ndarray, other: np.ndarray, motion: np.ndarray, K: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """|D_a - D_b| / (D_a + D_b) between the depth of one view and of another.

    Args:
        depth, other: (H, W) float32, one unit.
        motion: (4, 4), takes points of the first camera to the other one.
        K: (3, 3) intrinsics of both.

    Returns:
        (H, W) float32 at the pixels of the first view, 0 where the other one does not see them; (H, W) bool, where it
        does.
    """
    height, width = depth.shape
    u, v = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    turn = (K @ motion[:3, :3] @ np.linalg.inv(K)).astype(np.float32)
    shift = (K @ motion[:3, 3]).astype(np.float32)
    x, y, z = (depth * (turn[i, 0] * u + turn[i, 1] * v + turn[i, 2]) + shift[i] for i in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = x / z, y / z
        seen = (z > _NEAREST) & (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
        there = cv2.remap(other, np.where(seen, u, 0), np.where(seen, v, 0), cv2.INTER_LINEAR)
        seen &= (depth > 0) & (there > 0)
        difference = np.abs(z - there) / (z + there)
    return np.where(seen, difference, np.float32(0)), seen


def _comparable(last: _Moment, now: _Moment) -> bool:
    """Whether both show one scene through one camera, a moment apart and not from the same place."""
    if last.shape != now.shape or not np.allclose(last.K, now.K):
        return False
    if last.stamp_ns is not None and now.stamp_ns is not None and not 0 < now.stamp_ns - last.stamp_ns <= _LONGEST_NS:
        return False
    return mean_difference(last.rgb, now.rgb) >= _SAME_VIEW
