"""KITTI raw: SRC/<date>/<date>_drive_<number>_sync/, synchronised and rectified, with the calibration of each date.

Images of the left colour camera (image_02), depth from the laser scanner, poses from GPS and inertial measurements.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from scdepth_core.data.importers.kitti import projection, read_calibration, rigid, scan_depth
from scdepth_core.data.importers.source import SceneReader, SourceFrame, SourceScene, need, numbers
from scdepth_core.data.scene_folder import image_files
from scdepth_core.errors import DataError
from scdepth_core.geometry.camera import Camera

EARTH_RADIUS = 6378137.0  # metres


def kitti_raw_scenes(root: Path) -> dict[str, SceneReader]:
    """Every drive under a folder of dates, by name.

    Raises:
        DataError: there is none; from a reader, its drive lacks images or calibration.
    """
    drives = sorted(path for path in root.glob("*/*_sync") if path.is_dir())
    if not drives:
        raise DataError(f"'{root}' has no <date>/<date>_drive_<number>_sync folder – give KITTI raw's own folder")
    return {folder.name: partial(_drive, folder) for folder in drives}


def _drive(folder: Path) -> SourceScene:
    date = folder.parent
    images = image_files(need(folder / "image_02" / "data", "images of the left colour camera"))
    stamps = _stamps(need(folder / "image_02" / "timestamps.txt", "times of the images"))
    if not images or len(stamps) < int(images[-1].stem) + 1:
        raise DataError(f"'{folder}' has {len(images)} images and {len(stamps)} times – get it again")
    calibration = read_calibration(date / "calib_cam_to_cam.txt", {"P_rect_02": 12, "R_rect_00": 9, "S_rect_02": 2})
    K, from_reference = projection(calibration["P_rect_02"])
    camera = Camera(*(int(number) for number in calibration["S_rect_02"]), K)
    laser = read_calibration(date / "calib_velo_to_cam.txt", {"R": 9, "T": 3})
    camera_from_laser = from_reference @ rigid(calibration["R_rect_00"]) @ rigid(laser["R"], laser["T"])
    poses = _poses(folder / "oxts" / "data", date / "calib_imu_to_velo.txt", images, camera_from_laser)
    scans = folder / "velodyne_points" / "data"
    frames = [
        SourceFrame(image, stamps[int(image.stem)], scan_depth(scans / f"{image.stem}.bin", camera_from_laser), pose)
        for image, pose in zip(images, poses)
    ]
    return SourceScene(folder.name, camera, frames)


def _stamps(path: Path) -> list[int]:
    """Nanoseconds of lines such as '2011-09-26 13:02:25.964389445', taken as UTC."""
    stamps = []
    for line in path.read_text().split("\n"):
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
    return numbers(path, path.read_text().split()[:6], 6)


def _imu_pose(packet: np.ndarray, scale: float) -> np.ndarray:
    """(4, 4): Mercator's projection for the place, R = Rz(yaw) Ry(pitch) Rx(roll)."""
    latitude, longitude, altitude, roll, pitch, yaw = packet
    x = scale * EARTH_RADIUS * np.radians(longitude)
    y = scale * EARTH_RADIUS * np.log(np.tan(np.pi * (90 + latitude) / 360))
    turns = [cv2.Rodrigues(np.array(axis, np.float64))[0] for axis in ((0, 0, yaw), (0, pitch, 0), (roll, 0, 0))]
    return rigid(turns[0] @ turns[1] @ turns[2], (x, y, altitude))
