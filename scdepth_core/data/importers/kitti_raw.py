"""KITTI raw: SRC/<date>/<date>_drive_<number>_sync/, synchronised and rectified, with the calibration of each date.

Images of the left colour camera (image_02), depth from the laser scanner, poses from GPS and inertial measurements.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from scdepth_core.data.importers.kitti import (
    LaserCamera,
    read_calibration,
    read_projection,
    read_scan,
    rigid,
    scan_depth,
)
from scdepth_core.data.importers.kitti_split import SplitFrame
from scdepth_core.data.importers.source import BenchmarkFrame, SceneReader, SourceFrame, SourceScene, need, numbers
from scdepth_core.data.scene_folder import IMAGE_SUFFIXES, image_files
from scdepth_core.errors import DataError
from scdepth_core.geometry.camera import Camera
from scdepth_core.text_file import read_text

EARTH_RADIUS = 6378137.0  # metres


def kitti_raw_scenes(root: Path) -> dict[str, SceneReader]:
    """Every drive under a folder of dates, by name.

    Raises:
        DataError: there is none; from a reader, its drive lacks images or calibration.
    """
    return {name: partial(_drive, folder) for name, folder in _drives(root).items()}


def kitti_test_frames(root: Path, split: list[SplitFrame]) -> list[BenchmarkFrame]:
    """The frames of a split, with depth as the published figures count it.

    Raises:
        DataError: images or laser scans of some are missing, or a drive's calibration is.
    """
    drives = _drives(root)
    lasers = {name: _laser(drives[name].parent) for name in {frame.drive for frame in split} if name in drives}
    tests, missing = [], []
    for frame in split:
        folder = drives.get(frame.drive, root / "*" / frame.drive)
        image, scan = _image(folder, frame.index), folder / "velodyne_points" / "data" / f"{frame.index:010d}.bin"
        missing += [path for path in (image, scan) if not path.exists()][:1]
        if not missing:
            depth = partial(_published_depth, lasers[frame.drive], scan)
            tests.append(BenchmarkFrame(f"{frame.drive}_{frame.index:010d}", image, depth))
    if missing:
        raise DataError(
            f"{len(missing)} of {len(split)} test frames are not complete, the first lacks '{missing[0]}' – get the "
            "drives of the split with their laser scans, or take these lines out of a copy of the list"
        )
    return tests


def _drives(root: Path) -> dict[str, Path]:
    """Folder of each drive, by name."""
    drives = sorted(path for path in root.glob("*/*_sync") if path.is_dir())
    if not drives:
        raise DataError(f"'{root}' has no <date>/<date>_drive_<number>_sync folder – give KITTI raw's own folder")
    return {folder.name: folder for folder in drives}


def _image(folder: Path, index: int) -> Path:
    """A frame's file, which many keep as JPEG; the published name where there is none."""
    named = folder / "image_02" / "data" / f"{index:010d}.png"
    others = (named.with_suffix(suffix) for suffix in IMAGE_SUFFIXES)
    return next((path for path in others if path.exists()), named)


def _published_depth(laser: LaserCamera, scan: Path) -> np.ndarray:
    return laser.published_depth(read_scan(scan))


def _laser(date: Path) -> LaserCamera:
    """Calibration of a date."""
    calibration = read_calibration(date / "calib_cam_to_cam.txt", {"R_rect_00": 9, "S_rect_02": 2})
    K, from_reference = read_projection(date / "calib_cam_to_cam.txt", "P_rect_02")
    laser = read_calibration(date / "calib_velo_to_cam.txt", {"R": 9, "T": 3})
    camera = Camera(*(int(number) for number in calibration["S_rect_02"]), K)
    return LaserCamera(camera, from_reference @ rigid(calibration["R_rect_00"]) @ rigid(laser["R"], laser["T"]))


def _drive(folder: Path) -> SourceScene:
    images = image_files(need(folder / "image_02" / "data", "images of the left colour camera"))
    stamps = _stamps(need(folder / "image_02" / "timestamps.txt", "times of the images"))
    indices = [_index(image) for image in images]
    if not images or len(stamps) <= max(indices):
        raise DataError(f"'{folder}' has {len(images)} images and {len(stamps)} times – get it again")
    laser = _laser(folder.parent)
    poses = _poses(folder / "oxts" / "data", folder.parent / "calib_imu_to_velo.txt", images, laser.from_laser)
    scans = folder / "velodyne_points" / "data"
    frames = [
        SourceFrame(image, stamps[index], scan_depth(scans / f"{image.stem}.bin", laser), pose)
        for image, index, pose in zip(images, indices, poses)
    ]
    return SourceScene(folder.name, laser.camera, frames)


def _index(image: Path) -> int:
    """Number of a frame, which is its name."""
    if not image.stem.isdecimal():
        raise DataError(f"'{image}' is no frame of KITTI, expected a number as its name – remove it")
    return int(image.stem)


def _stamps(path: Path) -> list[int]:
    """Nanoseconds of lines such as '2011-09-26 13:02:25.964389445', taken as UTC."""
    stamps = []
    for line in read_text(path).split("\n"):
        seconds, _, fraction = line.strip().partition(".")
        if not seconds:
            continue
        try:
            moment = datetime.strptime(seconds, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
            stamps.append(int(moment.timestamp()) * 10**9 + int(fraction.ljust(9, "0")[:9] or 0))
        except ValueError:
            raise DataError(f"'{path}' has the line '{line}', expected date and time – get it again") from None
    return stamps


def _poses(folder: Path, calibration: Path, images: list[Path], camera_from_laser: np.ndarray) -> list:
    """Camera in the world (east, north, up; origin where the drive starts) of each image, None without measurements."""
    if not folder.is_dir():
        return [None] * len(images)
    imu = read_calibration(calibration, {"R": 9, "T": 3})
    imu_from_camera = np.linalg.inv(camera_from_laser @ rigid(imu["R"], imu["T"]))
    packets = [_packet(need(folder / f"{image.stem}.txt", "GPS and inertial measurement")) for image in images]
    scale = np.cos(np.radians(packets[0][0]))
    poses = [_imu_pose(packet, scale) for packet in packets]
    origin = poses[0][:3, 3].copy()
    for pose in poses:
        pose[:3, 3] -= origin
    return [pose @ imu_from_camera for pose in poses]


def _packet(path: Path) -> np.ndarray:
    """Latitude, longitude (degrees), altitude (metres), roll, pitch, yaw (radians)."""
    return numbers(path, read_text(path).split()[:6], 6)


def _imu_pose(packet: np.ndarray, scale: float) -> np.ndarray:
    """(4, 4): Mercator's projection for the place, R = Rz(yaw) Ry(pitch) Rx(roll)."""
    latitude, longitude, altitude, roll, pitch, yaw = packet
    x = scale * EARTH_RADIUS * np.radians(longitude)
    y = scale * EARTH_RADIUS * np.log(np.tan(np.pi * (90 + latitude) / 360))
    turns = [cv2.Rodrigues(np.array(axis, np.float64))[0] for axis in ((0, 0, yaw), (0, pitch, 0), (roll, 0, 0))]
    return rigid(turns[0] @ turns[1] @ turns[2], (x, y, altitude))
