"""Trajectories: chained from relative motion, and written as the TUM and KITTI tools read them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scdepth_core.errors import DataError
from scdepth_core.finished_file import finished_file
from scdepth_core.geometry.quaternion import matrix_from_quaternion, quaternion_from_matrix
from scdepth_core.text_file import read_text


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Where a camera was.

    Attributes:
        stamps: seconds, one a pose, as text, so that nanoseconds survive.
        poses: (N, 4, 4) float64, camera (optical frame) in the world.
    """

    stamps: list[str]
    poses: np.ndarray

    @property
    def positions(self) -> np.ndarray:
        """(N, 3)."""
        return self.poses[:, :3, 3]

    def write_tum(self, path: Path) -> None:
        """'stamp tx ty tz qx qy qz qw' a line. The file appears when it is complete."""
        _write_lines(path, (tum_line(stamp, pose) for stamp, pose in zip(self.stamps, self.poses)))

    def write_kitti(self, path: Path) -> None:
        """The first three rows of each pose, twelve numbers a line. The file appears when it is complete."""
        _write_lines(path, (_joined(pose[:3].ravel()) for pose in self.poses))


def chain(relative: Iterable[np.ndarray]) -> np.ndarray:
    """Poses (N + 1, 4, 4) of a camera in its first frame, from N motions between neighbours.

    Args:
        relative: (4, 4) transforms that take points from camera i to camera i + 1, as PoseNet(i, i + 1) gives them;
            P_(i+1) = P_i T_i^-1, P_0 = I.
    """
    poses = [np.eye(4)]
    for transform in relative:
        poses.append(poses[-1] @ np.linalg.inv(transform))
    return np.stack(poses)


def read_tum(path: Path) -> Trajectory:
    """A trajectory file in TUM format; lines that begin with # are comments.

    Raises:
        DataError: a line has not eight numbers, or there is none.
    """
    stamps, poses = [], []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.replace(",", " ").split()
        try:
            if len(words) != 8:
                raise ValueError(f"{len(words)} words")
            values = [float(word) for word in words]
            pose = np.eye(4)
            pose[:3, 3], pose[:3, :3] = values[1:4], matrix_from_quaternion(values[4:])
            if not np.isfinite(pose).all():
                raise ValueError("NaN or infinity")
        except ValueError as error:
            raise DataError(
                f"line {number} of '{path}' is no pose ({error}) – expected 'stamp tx ty tz qx qy qz qw'"
            ) from None
        stamps.append(words[0])
        poses.append(pose)
    if not poses:
        raise DataError(f"'{path}' has no pose – write 'stamp tx ty tz qx qy qz qw' a line")
    return Trajectory(stamps, np.stack(poses))


def read_stamps(path: Path) -> list[str]:
    """The seconds in a timestamps.txt, as text, so that nanoseconds survive.

    Raises:
        DataError: for a stamp that is no number, or not later than the one before.
    """
    stamps, before = read_text(path).split(), -math.inf
    for stamp in stamps:
        try:
            seconds = float(stamp)
        except ValueError:
            seconds = math.nan
        if not before < seconds < math.inf:
            raise DataError(f"'{path}' has stamp '{stamp}' after {before:g} – write seconds that increase, one a frame")
        before = seconds
    return stamps


def tum_stamp(stamp_ns: int) -> str:
    """Seconds with the nine decimals of nanoseconds, which a float could not hold."""
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}"


def tum_line(stamp: str, pose: np.ndarray) -> str:
    """'stamp tx ty tz qx qy qz qw' of a pose (4, 4), metres."""
    return f"{stamp} {_joined((*pose[:3, 3], *quaternion_from_matrix(pose[:3, :3])))}"


def _joined(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.9g}" for number in numbers)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with finished_file(path) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines))
