"""What KITTI's two layouts share: calibration files, laser scans as depth, the left colour camera's place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scdepth_core.data.importers.source import DepthSource, need, numbers
from scdepth_core.errors import DataError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.image_geometry import ImageGeometry
from scdepth_core.geometry.sparse_depth import sparse_depth

NEAREST = 0.1  # metres; closer points have no sensible projection


def read_calibration(path: Path, wanted: dict[str, int]) -> dict[str, np.ndarray]:
    """Entries 'NAME: numbers' of a calibration file.

    Args:
        wanted: name -> how many numbers it has.
    """
    lines = need(path, "KITTI's calibration").read_text().splitlines()
    entries = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines if ":" in line}
    missing = [name for name in wanted if name not in entries]
    if missing:
        raise DataError(f"'{path}' has no entry '{missing[0]}' – give the folder as its authors publish it")
    return {name: numbers(path, entries[name], count) for name, count in wanted.items()}


def projection(P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K (3, 3), and the transform (4, 4) from the rectified reference camera to the camera of a 3x4 projection."""
    P = P.reshape(3, 4)
    shift = np.eye(4)
    shift[:3, 3] = np.linalg.inv(P[:, :3]) @ P[:, 3]
    return P[:, :3], shift


def rigid(rotation: np.ndarray, translation=(0, 0, 0)) -> np.ndarray:
    """(4, 4) from nine and three numbers."""
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation.reshape(3, 3), translation
    return transform


def scan_depth(path: Path, camera_from_laser: np.ndarray) -> DepthSource | None:
    """Sparse depth from a laser scan (x, y, z, reflectance; float32); None where there is no such file."""
    if not path.exists():
        return None

    def project(geometry: ImageGeometry) -> np.ndarray:
        scan = np.fromfile(path, np.float32)
        if scan.size % 4:
            raise DataError(f"'{path}' has {scan.size} numbers, expected four a point – get it again")
        points = scan.reshape(-1, 4)[:, :3] @ camera_from_laser[:3, :3].T + camera_from_laser[:3, 3]
        return nearest_depth(points, geometry.camera)

    return project


def nearest_depth(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Depth image (H, W) float32 of points (N, 3) in the camera's frame; of several in a pixel the nearest, 0: none."""
    return np.nan_to_num(sparse_depth(points[points[:, 2] > NEAREST], camera))
