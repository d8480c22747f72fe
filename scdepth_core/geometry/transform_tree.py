"""A tree of frames that move against each other, as TF keeps it: fixed and moving transforms, interpolated in time."""

from __future__ import annotations

import numpy as np

from scdepth_core.errors import TransformError
from scdepth_core.geometry.timed_poses import TimedPoses

ALWAYS = 2**63 - 1  # until when fixed transforms are known, nanoseconds


class TransformTree:
    """Frames by name, each with the pose that it has in its parent.

        tree.add("base_link", "camera", stamp_ns, (0.1, 0, 0.5), (0, 0, 0, 1), fixed=True)
        tree.add("odom", "base_link", stamp_ns, (2.0, 1.0, 0), (0, 0, 0, 1))
        tree.lookup("odom", "camera", stamp_ns)  # (4, 4): points of camera, in odom

    Args:
        gap_ns, tolerance_ns, memory_ns: of moving transforms, see TimedPoses.
    """

    def __init__(self, gap_ns: int, tolerance_ns: int, memory_ns: int):
        self._times = gap_ns, tolerance_ns, memory_ns
        self._edges: dict[str, _Edge] = {}  # by the frame below

    def add(self, parent: str, child: str, stamp_ns: int, translation, quaternion, fixed: bool = False) -> None:
        """Take in a transform: pose of `child` in `parent`. A child that changes its parent begins anew.

        Args:
            translation: x, y, z; quaternion: x, y, z, w.
            fixed: whether it holds at all times.

        Raises:
            TransformError: for numbers that are no pose, or a frame that would be its own parent.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child or parent == child:
            raise TransformError(f"a transform from '{parent}' to '{child}' is none – expected two names that differ")
        edge = self._edges.get(child)
        if edge is None or (edge.parent, edge.fixed) != (parent, fixed):
            edge = _Edge(parent, fixed, *self._times)
        try:
            edge.add(stamp_ns, translation, quaternion)
        except ValueError as error:
            raise TransformError(f"the transform from '{parent}' to '{child}' cannot be used: {error}") from error
        self._edges[child] = edge

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        """(4, 4) float64 that takes points of frame `source` to frame `target` at this time: the pose of `source`.

        Raises:
            TransformError: for a frame that nobody told of, two that are not connected, or a time without an answer.
                The sentence names no time, so that it is the same for the same reason.
        """
        up, down = self._path(target, source)
        return np.linalg.inv(self._climb(down, target, source, stamp_ns)) @ self._climb(up, target, source, stamp_ns)

    def known_until(self, target: str, source: str) -> int | None:
        """Stamp up to which `lookup` can interpolate, ALWAYS where nothing moves; None while it knows no way."""
        try:
            up, down = self._path(target, source)
        except TransformError:
            return None
        return min((self._edges[frame].known_until for frame in (*up, *down)), default=ALWAYS)

    def _path(self, target: str, source: str) -> tuple[list[str], list[str]]:
        """Frames to climb from `source`, and from `target`, to where both meet."""
        target, source = target.lstrip("/"), source.lstrip("/")
        from_source, from_target = self._ancestors(source), self._ancestors(target)
        meeting = next((frame for frame in from_source if frame in from_target), None)
        if meeting is None:
            self._complain(target, source)
        return from_source[: from_source.index(meeting)], from_target[: from_target.index(meeting)]

    def _ancestors(self, frame: str) -> list[str]:
        """The frame, its parent, and so on up to the root."""
        line = [frame]
        while (edge := self._edges.get(line[-1])) is not None:
            if edge.parent in line:
                raise TransformError(f"transforms go round in a circle at '{edge.parent}' – one frame has one parent")
            line.append(edge.parent)
        return line

    def _climb(self, frames: list[str], target: str, source: str, stamp_ns: int) -> np.ndarray:
        pose = np.eye(4)
        for frame in frames:
            step = self._edges[frame].at(stamp_ns)
            if step is None:
                raise TransformError(
                    f"there is no transform from '{source}' to '{target}' at the image's stamp, because "
                    f"'{self._edges[frame].parent}' to '{frame}' has none – are both on one clock?"
                )
            pose = step @ pose
        return pose

    def _complain(self, target: str, source: str) -> None:
        known = sorted(set(self._edges) | {edge.parent for edge in self._edges.values()})
        listing = ", ".join(known) if known else "none so far"
        for frame in (target, source):
            if frame not in known:
                raise TransformError(f"no transform names the frame '{frame}', there are {listing}")
        raise TransformError(f"no transforms connect '{source}' to '{target}', the frames are {listing}")


class _Edge:
    """The pose of a frame in its parent, at all times or over time."""

    def __init__(self, parent: str, fixed: bool, gap_ns: int, tolerance_ns: int, memory_ns: int):
        self.parent, self.fixed = parent, fixed
        self._poses = TimedPoses(gap_ns, tolerance_ns, memory_ns)
        self._times = gap_ns, tolerance_ns, memory_ns

    def add(self, stamp_ns: int, translation, quaternion) -> None:
        if self.fixed:  # the newest one counts, whenever it was sent
            poses = TimedPoses(*self._times)
            poses.add(0, translation, quaternion)
            self._poses = poses
        else:
            self._poses.add(stamp_ns, translation, quaternion)

    @property
    def known_until(self) -> int:
        return ALWAYS if self.fixed else self._poses.newest_ns

    def at(self, stamp_ns: int) -> np.ndarray | None:
        return self._poses.at(0 if self.fixed else stamp_ns)
