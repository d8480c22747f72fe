"""A data set as somebody else would write it, made of plain pictures."""

from __future__ import annotations

import cv2
import numpy as np

K = np.array([[70.0, 0, 47.3], [0, 65.0, 30.1], [0, 0, 1]], np.float32)
WIDTH, HEIGHT = 96, 64


def write_image(path, width=WIDTH, height=HEIGHT, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))


def write_depth(path, metres=2.0, dtype=np.uint16):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((HEIGHT, WIDTH), metres * 1000 if dtype == np.uint16 else metres, dtype))


def write_data_set(folder):
    """A data set with scenes `a` (jpg, all with depth) and `b` (png, none), as somebody else would write it."""
    training = folder / "training"
    for index in range(4):
        write_image(training / "a" / f"{index:04d}.jpg", value=50 * index)
        write_depth(training / "a" / "depth" / f"{index:04d}.png", 1 + index)
        write_image(training / "b" / f"{index:04d}.png", value=40 * index + 7)
    for scene in "ab":
        np.savetxt(training / scene / "cam.txt", K)
    (training / "train.txt").write_text("a\nb\n")
    (training / "val.txt").write_text("a")
    return folder
