"""TF, asked about one camera: where it is, how high over the ground, and where a lidar sits beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scdepth_core.errors import TransformError
from scdepth_core.geometry.transform_tree import TransformTree
from scdepth_ros.messages import stamp_ns

TF, TF_STATIC, TF_TYPE = "/tf", "/tf_static", "tf2_msgs/msg/TFMessage"


@dataclass(frozen=True)
class CameraPlace:
    """What transforms say about the camera at one moment; None where nobody asked, or they say nothing.

    Attributes:
        pose: (4, 4) of the optical frame in the fixed frame, metres.
        ground_pose: (4, 4) of the optical frame in the ground frame, whose z = 0 plane is the ground.
        from_sensor: (4, 4), takes points of the sensor that measured depth to the optical frame.
    """

    pose: np.ndarray | None = None
    ground_pose: np.ndarray | None = None
    from_sensor: np.ndarray | None = None


class CameraTransforms:
    """The transforms of the last seconds.

    Args:
        fixed_frame: in which the camera travels; "" when nobody asks.
        ground_frame: whose z = 0 plane is the ground; "" when nobody asks.
        complain: called with a sentence when there is no answer; the same one for the same reason.
        gap_ns, tolerance_ns, memory_ns: see TimedPoses.
    """

    def __init__(
        self,
        fixed_frame: str,
        ground_frame: str,
        complain: Callable[[str], None],
        gap_ns: int,
        tolerance_ns: int,
        memory_ns: int,
    ):
        self._fixed, self._ground, self._complain = fixed_frame, ground_frame, complain
        self._tree = TransformTree(gap_ns, tolerance_ns, memory_ns)

    def add(self, message, fixed: bool) -> None:
        """Take in a tf2_msgs/TFMessage, of /tf_static when `fixed`; a transform that is none is complained of."""
        for entry in message.transforms:
            t, q = entry.transform.translation, entry.transform.rotation
            try:
                self._tree.add(
                    entry.header.frame_id,
                    entry.child_frame_id,
                    stamp_ns(entry.header),
                    (t.x, t.y, t.z),
                    (q.x, q.y, q.z, q.w),
                    fixed,
                )
            except TransformError as error:
                self._complain(str(error))

    def known_until(self, camera: str) -> int:
        """Stamp up to which the camera's poses can be had; -1 while the frames are not connected."""
        frames = [frame for frame in (self._fixed, self._ground) if frame]
        stamps = [self._tree.known_until(frame, camera) for frame in frames]
        return min((-1 if stamp is None else stamp for stamp in stamps), default=-1)

    def place(self, camera: str, stamp_ns: int, sensor: str | None = None) -> CameraPlace:
        """Everything that is asked, at this time.

        Args:
            camera: the optical frame, as the header of its images names it.
            sensor: the frame of the points that belong to the image; None without points.
        """
        return CameraPlace(
            self._lookup(self._fixed, camera, stamp_ns) if self._fixed else None,
            self._lookup(self._ground, camera, stamp_ns) if self._ground else None,
            None if sensor is None else self._lookup(camera, sensor, stamp_ns),
        )

    def _lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray | None:
        if target.lstrip("/") == source.lstrip("/"):
            return np.eye(4)
        try:
            return self._tree.lookup(target, source, stamp_ns)
        except TransformError as error:
            self._complain(str(error))
            return None
