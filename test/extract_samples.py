"""A walk along a wall of rectangles, recorded and extracted: what the tests of extraction share."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from bag_samples import ROS2, SECOND, START, camera_info, image, odometry, write_bag

from scdepth_ros.extraction import ExtractionSettings, extract

SIZE = (160, 120)
K = np.array([[130.0, 0, 79.5], [0, 130.0, 59.5], [0, 0, 1]])
IMAGE, INFO, DEPTH, ODOM = "/cam/image_raw", "/cam/camera_info", "/cam/depth/image_raw", "/odom"
PERIOD = SECOND // 20
TURN = np.array([0.1, -0.2, 0.05, 0.9])


@lru_cache(maxsize=1)
def flat_scene():
    """A flat scene of coloured rectangles, large enough to walk along."""
    random = np.random.default_rng(4)
    picture = np.full((200, 900, 3), 128, np.uint8)
    for length, count in ((60, 80), (24, 300), (9, 1500)):
        for x, y, wide, high, *colour in random.uniform(0, 1, (count, 7)):
            corner = int(x * 900), int(y * 200)
            opposite = int(corner[0] + length * (0.3 + wide)), int(corner[1] + length * (0.3 + high))
            cv2.rectangle(picture, corner, opposite, [int(30 + 195 * c) for c in colour], -1)
    return cv2.GaussianBlur(picture, (0, 0), 0.6)


def view(scene, step):
    """Picture number `step` of a walk to the right, 4 pixels a step."""
    x = 4 * step
    return np.ascontiguousarray(scene[20 : 20 + SIZE[1], x : x + SIZE[0]])


def ramp(step):
    """Depth in millimetres that says its frame and its column: 1000 + 1000 step + column."""
    return np.tile((1000 + 1000 * step + np.arange(SIZE[0])).astype(np.uint16), (SIZE[1], 1))


def walk(scene, steps, store=ROS2, depth=True, odom=True, begin=START, info=None):
    """Messages of a walk: picture, calibration, depth and odometry at every step (or list of steps)."""
    steps = range(steps) if isinstance(steps, int) else steps
    for count, step in enumerate(steps):
        when = begin + count * PERIOD
        yield IMAGE, image(view(scene, step), when, store=store), when
        yield INFO, info(when) if info else camera_info(K, SIZE, when, store=store), when + 1000
        if depth:
            yield DEPTH, image(ramp(step), when, "16UC1", store), when + 2000
        if odom:
            yield ODOM, odometry((0.1 * step, 2, 3), TURN, when, store=store), when + 3000


def settings(**changes):
    return ExtractionSettings(**{"min_frames": 3, "validation": 0.0, **changes})


def run(tmp_path, messages, kind="mcap", **changes):
    """Record, extract, and return the report and the data set's folder."""
    bag = write_bag(tmp_path / "walk", messages, kind)
    return extract([bag], tmp_path / "out", settings(**changes)), tmp_path / "out"


def table(path):
    return np.loadtxt(path, ndmin=2)
