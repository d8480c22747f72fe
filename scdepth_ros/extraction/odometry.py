"""Camera poses from odometry: found by time, and turned into the camera's own axes."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

import numpy as np

from scdepth_core.errors import BagError
from scdepth_core.geometry.quaternion import matrix_from_quaternion, slerp

# Columns: the optical axes (x right, y down, z forward) in those of a body (x forward, y left, z up), REP 103.
OPTICAL_IN_BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class PoseTrack:
    """Odometry of the last seconds, asked for the camera's pose at a time.

    Args:
        axes: "optical" when the odometry moves an optical frame, "body" when one with x forward. The offset
            between body and camera is not known to odometry and stays out.
        gap_ns: longest distance of two samples between which is interpolated.
        tolerance_ns: how far a single sample may be away, where there are not two.
        memory_ns: how long samples are kept.
    """

    def __init__(self, axes: str, gap_ns: int, tolerance_ns: int, memory_ns: int):
        self._turn = OPTICAL_IN_BODY if axes == "body" else np.eye(3)
        self._gap, self._tolerance, self._memory = gap_ns, tolerance_ns, memory_ns
        self._stamps: deque[int] = deque()
        self._samples: deque[tuple[np.ndarray, np.ndarray]] = deque()

    def add(self, stamp_ns: int, message) -> None:
        """Append an Odometry, PoseStamped or PoseWithCovarianceStamped message. One that is late is left out.

        Raises:
            BagError: for a pose with NaN in it, or an orientation of length zero.
        """
        pose = message.pose.pose if hasattr(message.pose, "pose") else message.pose
        p, q = pose.position, pose.orientation
        position, quaternion = np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])
        if not (np.isfinite(position).all() and np.linalg.norm(quaternion) > 1e-6):
            raise BagError(f"odometry at {stamp_ns / 1e9:.3f} s holds no pose: {position} {quaternion}")
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
        """Pose (4, 4) of the optical frame in the odometry's fixed frame; None where nothing is near enough."""
        after = bisect_left(self._stamps, stamp_ns)
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return self._pose(*self._samples[after])
        if 0 < after < len(self._stamps) and self._stamps[after] - self._stamps[after - 1] <= self._gap:
            share = (stamp_ns - self._stamps[after - 1]) / (self._stamps[after] - self._stamps[after - 1])
            (p0, q0), (p1, q1) = self._samples[after - 1], self._samples[after]
            return self._pose((1 - share) * p0 + share * p1, slerp(q0, q1, share))
        near = [i for i in (after - 1, after) if 0 <= i < len(self._stamps)]
        best = min(near, key=lambda i: abs(self._stamps[i] - stamp_ns), default=None)
        if best is None or abs(self._stamps[best] - stamp_ns) > self._tolerance:
            return None
        return self._pose(*self._samples[best])

    def _pose(self, position: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
        pose = np.eye(4)
        pose[:3, :3] = matrix_from_quaternion(quaternion) @ self._turn
        pose[:3, 3] = position
        return pose


def odometry_axes(moving_frame: str, image_frame: str) -> str:
    """Whose axes a pose describes, "optical" or "body", by the name of the frame that moves.

    The frame of the images itself, and any frame called optical, has optical axes; all others have a body's, as
    REP 103 asks for. Pose messages other than Odometry do not name it: pass "".
    """
    is_optical = "optical" in moving_frame or (moving_frame and moving_frame == image_frame)
    return "optical" if is_optical else "body"
