"""Camera poses from odometry: found by time, and turned into the camera's own axes."""

from __future__ import annotations

import numpy as np

from scdepth_core.errors import BagError
from scdepth_core.geometry.timed_poses import TimedPoses

# Columns: the optical axes (x right, y down, z forward) in those of a body (x forward, y left, z up), REP 103.
OPTICAL_IN_BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class PoseTrack:
    """Odometry of the last seconds, asked for the camera's pose at a time.

    Args:
        axes: "optical" when the odometry moves an optical frame, "body" when one with x forward. The offset
            between body and camera is not known to odometry and stays out.
        gap_ns, tolerance_ns, memory_ns: see TimedPoses.
    """

    def __init__(self, axes: str, gap_ns: int, tolerance_ns: int, memory_ns: int):
        self._turn = np.eye(4)
        if axes == "body":
            self._turn[:3, :3] = OPTICAL_IN_BODY
        self._poses = TimedPoses(gap_ns, tolerance_ns, memory_ns)

    def add(self, stamp_ns: int, message) -> None:
        """Append an Odometry, PoseStamped or PoseWithCovarianceStamped message. One that is late is left out.

        Raises:
            BagError: for a pose with NaN in it, or an orientation of length zero.
        """
        pose = message.pose.pose if hasattr(message.pose, "pose") else message.pose
        p, q = pose.position, pose.orientation
        try:
            self._poses.add(stamp_ns, (p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
        except ValueError as error:
            raise BagError(f"odometry at {stamp_ns / 1e9:.3f} s holds no pose: {error}") from error

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """Pose (4, 4) of the optical frame in the odometry's fixed frame; None where nothing is near enough."""
        pose = self._poses.at(stamp_ns)
        return None if pose is None else pose @ self._turn


def odometry_axes(moving_frame: str, image_frame: str) -> str:
    """Whose axes a pose describes, "optical" or "body", by the name of the frame that moves.

    The frame of the images itself, and any frame called optical, has optical axes; all others have a body's, as
    REP 103 asks for. Pose messages other than Odometry do not name it: pass "".
    """
    is_optical = "optical" in moving_frame or (moving_frame and moving_frame == image_frame)
    return "optical" if is_optical else "body"
