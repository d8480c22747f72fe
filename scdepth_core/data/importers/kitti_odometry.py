"""KITTI odometry: SRC/sequences/<number>/ with image_2, calib.txt, times.txt; SRC/poses/<number>.txt for 00 to 10.

Images of the left colour camera, depth from velodyne/ where it is, poses moved from the grey camera to the colour one.
As in published work, 00 to 08 are for training, 09 and 10 for validation. Poses of 11 to 21 are not published.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from scdepth_core.data.importers.kitti import LaserCamera, read_calibration, read_projection, rigid, scan_depth
from scdepth_core.data.importers.source import SceneReader, SourceFrame, SourceScene, need, numbers
from scdepth_core.data.scene_folder import image_files, read_image
from scdepth_core.errors import DataError
from scdepth_core.geometry.camera import Camera
from scdepth_core.text_file import read_text

VALIDATION = ("09", "10")
WITHOUT_POSES = tuple(str(number) for number in range(11, 22))


def kitti_odometry_scenes(root: Path) -> dict[str, SceneReader]:
    """Every sequence, by name.

    Raises:
        DataError: there is none; from a reader, its sequence lacks images or calibration.
    """
    folders = sorted(path for path in (root / "sequences").glob("*") if path.is_dir())
    if not folders:
        raise DataError(f"'{root / 'sequences'}' has no sequence – give the folder that holds KITTI's sequences/")
    return {folder.name: partial(_sequence, folder, root / "poses" / f"{folder.name}.txt") for folder in folders}


def _sequence(folder: Path, poses_file: Path) -> SourceScene:
    images = image_files(need(folder / "image_2", "images of the left colour camera"))
    times = read_text(need(folder / "times.txt", "times of the images")).split()
    if not images or len(times) != len(images):
        raise DataError(f"'{folder}' has {len(images)} images and {len(times)} times – get it again")
    stamps = numbers(folder / "times.txt", times, len(images))
    K, from_reference = read_projection(folder / "calib.txt", "P2")
    height, width = read_image(images[0]).shape[:2]
    poses = _poses(poses_file, len(images), from_reference)
    camera, scans, laser = Camera(width, height, K), folder / "velodyne", None
    if scans.is_dir():
        Tr = read_calibration(folder / "calib.txt", {"Tr": 12})["Tr"].reshape(3, 4)
        laser = LaserCamera(camera, from_reference @ rigid(Tr[:, :3], Tr[:, 3]))
    frames = [
        SourceFrame(
            image,
            round(stamp * 1e9),
            None if laser is None else scan_depth(scans / f"{image.stem}.bin", laser),
            pose,
        )
        for image, stamp, pose in zip(images, stamps, poses)
    ]
    return SourceScene(folder.name, camera, frames, folder.name in VALIDATION)


def _poses(path: Path, count: int, from_reference: np.ndarray) -> list:
    """Colour camera in the world of each frame; None without the file, as for sequences 11 to 21."""
    if not path.exists():
        return [None] * count
    rows = numbers(path, read_text(path).split(), 12 * count).reshape(count, 3, 4)
    return [rigid(row[:, :3], row[:, 3]) @ np.linalg.inv(from_reference) for row in rows]
