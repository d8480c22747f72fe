"""Poses of the last seconds, asked for the one at a time between them."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

import numpy as np

from scdepth_core.geometry.quaternion import matrix_from_quaternion, slerp


class TimedPoses:
    """Samples of a rigid motion: positions are interpolated on a line, orientations on the shortest way.

    Args:
        gap_ns: longest distance of two samples between which is interpolated.
        tolerance_ns: how far a single sample may be away, where there are not two.
        memory_ns: how long samples are kept, and how far a clock goes back when it begins anew.
    """

    def __init__(self, gap_ns: int, tolerance_ns: int, memory_ns: int):
        self._gap, self._tolerance, self._memory = gap_ns, tolerance_ns, memory_ns
        self._stamps: deque[int] = deque()
        self._samples: deque[tuple[np.ndarray, np.ndarray]] = deque()

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the last sample; None without one."""
        return self._stamps[-1] if self._stamps else None

    def add(self, stamp_ns: int, position, quaternion) -> None:
        """Append a sample; one that is late is left out.

        Args:
            position: x, y, z; quaternion: x, y, z, w, of any length.

        Raises:
            ValueError: for NaN or infinity, or a quaternion of length zero.
        """
        position, quaternion = np.asarray(position, np.float64), np.asarray(quaternion, np.float64)
        if not (np.isfinite(position).all() and np.isfinite(quaternion).all() and np.linalg.norm(quaternion) > 1e-6):
            raise ValueError(f"position {position.tolist()} and quaternion {quaternion.tolist()} are no pose")
        if self._stamps and stamp_ns < self._stamps[-1] - self._memory:  # the clock began anew
            self._stamps.clear()
            self._samples.clear()
        if self._stamps and stamp_ns <= self._stamps[-1]:
            return
        self._stamps.append(stamp_ns)
        self._samples.append((position, quaternion))
        while self._stamps[0] < stamp_ns - self._memory:
            self._stamps.popleft()
            self._samples.popleft()

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """Pose (4, 4) at this time; None where nothing is near enough."""
        after = bisect_left(self._stamps, stamp_ns)
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return _pose(*self._samples[after])
        if 0 < after < len(self._stamps) and self._stamps[after] - self._stamps[after - 1] <= self._gap:
            share = (stamp_ns - self._stamps[after - 1]) / (self._stamps[after] - self._stamps[after - 1])
            (p0, q0), (p1, q1) = self._samples[after - 1], self._samples[after]
            return _pose((1 - share) * p0 + share * p1, slerp(q0, q1, share))
        near = [i for i in (after - 1, after) if 0 <= i < len(self._stamps)]
        best = min(near, key=lambda i: abs(self._stamps[i] - stamp_ns), default=None)
        if best is None or abs(self._stamps[best] - stamp_ns) > self._tolerance:
            return None
        return _pose(*self._samples[best])


def _pose(position: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = matrix_from_quaternion(quaternion), position
    return pose
