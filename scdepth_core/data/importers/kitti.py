"""What KITTI's two layouts share: calibration files, laser scans as depth, the left colour camera's place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scdepth_core.data.importers.source import DepthSource, need, numbers
from scdepth_core.errors import DataError
from scdepth_core.geometry.camera import Camera, shift_intrinsics
from scdepth_core.geometry.sparse_depth import sparse_depth
from scdepth_core.text_file import read_text

POINT_BYTES = 16  # of a scan: x, y, z, reflectance in float32
NEAREST = 0.1  # metres; closer points have no sensible projection


@dataclass(frozen=True)
class LaserCamera:
    """The left colour camera and where the laser scanner is.

    Attributes:
        camera: of the recorded images, which are rectified.
        from_laser: (4, 4), takes points of the scanner (x ahead, y left, z up, metres) into the camera's frame.
    """

    camera: Camera
    from_laser: np.ndarray

    def depth(self, scan: np.ndarray) -> np.ndarray:
        """Depth (H, W) float32 of a scan (N, 3) at the recorded size, 0 where no point is: z in the camera's frame.

        A point is in the pixel whose centre is nearest, centres being at integers, as everywhere in this package.
        """
        points = self._points(scan)
        return np.nan_to_num(sparse_depth(points[points[:, 2] > NEAREST], self.camera))

    def published_depth(self, scan: np.ndarray) -> np.ndarray:
        """The same as the published figures on Eigen's split count it, (H, W) float32, 0 where no point is.

        It differs in two things: pixels are counted from 1, as KITTI's own tools do, so that a point is one row and
        one column further up and left; and depth is the distance ahead of the scanner, which is 0.27 m behind the
        camera. What is behind the scanner is left out.
        """
        points, ahead = self._points(scan), scan[:, 0]
        kept = (ahead > 0) & (points[:, 2] > NEAREST)
        camera = replace(self.camera, K=shift_intrinsics(self.camera.K, 1, 1))
        return np.nan_to_num(sparse_depth(points[kept], camera, ahead[kept]))

    def _points(self, scan: np.ndarray) -> np.ndarray:
        return scan @ self.from_laser[:3, :3].T + self.from_laser[:3, 3]


def read_calibration(path: Path, wanted: dict[str, int]) -> dict[str, np.ndarray]:
    """Entries 'NAME: numbers' of a calibration file.

    Args:
        wanted: name -> how many numbers it has.
    """
    lines = read_text(need(path, "KITTI's calibration")).splitlines()
    entries = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines if ":" in line}
    missing = [name for name in wanted if name not in entries]
    if missing:
        raise DataError(f"'{path}' has no entry '{missing[0]}' – give the folder as its authors publish it")
    return {name: numbers(path, entries[name], count) for name, count in wanted.items()}


def read_projection(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """K (3, 3), and the transform (4, 4) from the rectified reference camera to the camera of a 3x4 projection.

    Raises:
        DataError: the entry `name` of the calibration file is missing, or the projection of no camera.
    """
    P = read_calibration(path, {name: 12})[name].reshape(3, 4)
    if np.linalg.matrix_rank(P[:, :3]) < 3:
        raise DataError(
            f"'{path}' has a '{name}' whose first three columns are singular, expected the projection of a "
            "camera, fx 0 cx tx, 0 fy cy ty, 0 0 1 tz – get it again"
        )
    shift = np.eye(4)
    shift[:3, 3] = np.linalg.inv(P[:, :3]) @ P[:, 3]
    return P[:, :3], shift


def rigid(rotation: np.ndarray, translation=(0, 0, 0)) -> np.ndarray:
    """(4, 4) from nine and three numbers."""
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation.reshape(3, 3), translation
    return transform


def scan_depth(path: Path, laser: LaserCamera) -> DepthSource | None:
    """Sparse depth of a laser scan at the recorded size; None where there is no such file."""
    return (lambda _: laser.depth(read_scan(path))) if path.exists() else None


def read_scan(path: Path) -> np.ndarray:
    """Points (N, 3) float64 of a scan, metres; the file has x, y, z, reflectance in float32."""
    size = path.stat().st_size
    if size == 0 or size % POINT_BYTES:
        raise DataError(
            f"'{path}' has {size} bytes, expected {POINT_BYTES} a point and at least one point – get it again"
        )
    return np.fromfile(path, np.float32).reshape(-1, 4)[:, :3].astype(np.float64)
