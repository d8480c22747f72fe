"""Miniature KITTI, a tenth of its size: raw drives and odometry sequences as their authors lay them out."""

from __future__ import annotations

import cv2
import numpy as np

WIDE, HIGH = 124, 38
FRAMES = 4
P2 = np.array([[72.0, 0, 61, 72.0 * 0.06], [0, 72, 17, 0], [0, 0, 1, 0]])  # the colour camera, 6 cm to the left
LASER = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # x ahead, y left, z up -> optical frame
STRAIGHT = np.eye(3)
SCAN = np.array([[10, 0, 0, 0.5], [20, 0, 0, 0.5], [10, -2, 0, 0.1], [-5, 0, 0, 0.1]], np.float32)


def picture(path, width, height, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (-(-height // 16), -(-width // 16), 3), np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST))


def words(values):
    return " ".join(f"{value:.12e}" for value in np.ravel(values))


def write_kitti_raw(
    root, drives=("0001", "0002"), date="2011_09_26", scan=SCAN, rectifying=STRAIGHT, laser=LASER, place=(0, 0, 0)
):
    """Drives of one date, 4 frames each; the car goes north by a metre a frame.

    `laser` and `place`: rotation and translation of calib_velo_to_cam.txt; `rectifying`: R_rect_00.
    """
    for drive in drives:
        folder = root / date / f"{date}_drive_{drive}_sync"
        (folder / "oxts" / "data").mkdir(parents=True)
        (folder / "velodyne_points" / "data").mkdir(parents=True)
        for i in range(FRAMES):
            picture(folder / "image_02" / "data" / f"{i:010d}.png", WIDE, HIGH, i)
            north = 49.0 + np.degrees(i / 6378137.0)
            (folder / "oxts" / "data" / f"{i:010d}.txt").write_text(f"{north:.12f} 8.4 112.0 0 0 {np.pi / 2} 1 2 3\n")
            scan.astype(np.float32).tofile(folder / "velodyne_points" / "data" / f"{i:010d}.bin")
        stamps = "".join(f"2011-09-26 13:02:2{i}.964389445\n" for i in range(FRAMES))
        (folder / "image_02" / "timestamps.txt").write_text(stamps)
    (root / date / "calib_cam_to_cam.txt").write_text(
        f"calib_time: 09-Jan-2012 13:57:47\nS_rect_02: {WIDE}.0 {HIGH}.0\nR_rect_00: {words(rectifying)}\n"
        f"P_rect_02: {words(P2)}\n"
    )
    (root / date / "calib_velo_to_cam.txt").write_text(f"calib_time: x\nR: {words(laser)}\nT: {words(place)}\n")
    (root / date / "calib_imu_to_velo.txt").write_text(f"calib_time: x\nR: {words(np.eye(3))}\nT: 0 0 0\n")
    return root


def write_kitti_odometry(root, names=("00", "11")):
    """Sequences that go ahead by 2 m a frame; poses up to 10, and one scan, of the first frame of 00."""
    (root / "poses").mkdir(parents=True)
    for name in names:
        folder = root / "sequences" / name
        for i in range(FRAMES):
            picture(folder / "image_2" / f"{i:06d}.png", WIDE, HIGH, i)
        (folder / "times.txt").write_text("".join(f"{0.1 * i:e}\n" for i in range(FRAMES)))
        text = f"P0: {words(np.eye(3, 4))}\nP2: {words(P2)}\nTr: {words(np.hstack([LASER, np.zeros((3, 1))]))}\n"
        (folder / "calib.txt").write_text(text)
        if int(name) <= 10:
            rows = [np.hstack([np.eye(3), [[0], [0], [2 * i]]]) for i in range(FRAMES)]
            (root / "poses" / f"{name}.txt").write_text("".join(words(row) + "\n" for row in rows))
    (root / "sequences" / "00" / "velodyne").mkdir()
    SCAN[:1].tofile(root / "sequences" / "00" / "velodyne" / "000000.bin")
    return root
