"""Depth and poses find their image by time."""

import struct

import cv2
import numpy as np
import pytest
from bag_samples import OPTICAL, SECOND, START, compressed, image, odometry
from extract_samples import DEPTH, IMAGE, ODOM, PERIOD, TURN, flat_scene, ramp, run, table, walk

from scdepth_core.geometry.quaternion import matrix_from_quaternion
from scdepth_ros.extraction.association import Associator
from scdepth_ros.extraction.odometry import OPTICAL_IN_BODY, PoseTrack


@pytest.fixture(scope="module")
def scene():
    return flat_scene()


def depth_shifted(scene, shift, delay=0):
    """A walk whose depth is stamped `shift` and recorded `delay` later than its image, seconds."""
    messages = []
    for topic, message, when in walk(scene, 30):
        if topic == DEPTH:
            step = round((when - 2000 - START) / PERIOD)
            message = image(ramp(step), when - 2000 + int(shift * SECOND), "16UC1")
            when += int(delay * SECOND)
        messages.append((topic, message, when))
    return sorted(messages, key=lambda message: message[2])


@pytest.mark.parametrize("shift, delay, matched", [(0.015, 0, True), (-0.015, 0.4, True), (0.023, 0, False)])
def test_depth_is_matched_by_stamp_within_the_tolerance(tmp_path, scene, shift, delay, matched):
    report, out = run(tmp_path, depth_shifted(scene, shift, delay))
    (row,) = report.scenes
    assert (row.kept, row.depth) == (30, 30 if matched else 0)
    if matched:
        assert report.bags[0].largest_depth_error_ms == pytest.approx(15)
        for step in range(30):
            depth = cv2.imread(str(out / f"training/walk_00/depth/{step:06d}.png"), cv2.IMREAD_UNCHANGED)
            assert depth[0, 0] == 1000 + 1000 * step
    else:
        assert report.bags[0].depth_dropped == {"frames without one in time": 30}


def test_the_nearest_of_two_depth_images_is_taken(tmp_path, scene):
    messages = list(walk(scene, 8, depth=False))
    for step in range(8):
        when = START + step * PERIOD
        messages.append((DEPTH, image(ramp(0), when - 12_000_000, "16UC1"), when - 12_000_000))
        messages.append((DEPTH, image(ramp(step), when + 3_000_000, "16UC1"), when + 3_000_000))
    _, out = run(tmp_path, sorted(messages, key=lambda m: m[2]))
    depths = [
        cv2.imread(str(out / f"training/walk_00/depth/{n:06d}.png"), cv2.IMREAD_UNCHANGED)[0, 0] for n in range(8)
    ]
    assert depths == [1000 + 1000 * step for step in range(8)]


def depth_messages(encoding, millimetres, when):
    metres = millimetres.astype(np.float32) / 1000
    if encoding == "16UC1":
        return image(millimetres, when, "16UC1")
    if encoding == "32FC1":
        return image(np.where(millimetres == 0, np.nan, metres).astype(np.float32), when, "32FC1")
    if encoding == "png":
        return compressed(millimetres, when, ".png", "16UC1; png compressed")
    return compressed(millimetres, when, ".png", "16UC1; compressedDepth", struct.pack("<iff", 0, 0, 0))


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "png", "compressedDepth"])
def test_depth_of_every_encoding_is_stored_in_millimetres(tmp_path, scene, encoding):
    stored = ramp(1)
    stored[40:60, 50:90] = 0
    topic = {"png": "/compressed", "compressedDepth": "/compressedDepth"}.get(encoding, "")
    messages = [
        (DEPTH + topic, depth_messages(encoding, stored, when - 2000), when) if name == DEPTH else (name, message, when)
        for name, message, when in walk(scene, 4)
    ]
    _, out = run(tmp_path, messages)
    depth = cv2.imread(str(out / "training/walk_00/depth/000002.png"), cv2.IMREAD_UNCHANGED)
    expected = cv2.resize(stored, (128, 96), interpolation=cv2.INTER_NEAREST_EXACT)
    assert np.array_equal(depth, expected) and (depth == 0).any()


def test_images_wait_for_depth_no_longer_than_the_window():
    associator = Associator({"depth"}, tolerance_ns=SECOND // 50, window_ns=SECOND)
    for step in range(100):
        associator.add_image(step * PERIOD, step * PERIOD, step)
        out = [waiting.image for waiting in associator.ready(step * PERIOD)]
        assert out == ([step - 20] if step >= 20 else [])
    assert [waiting.image for waiting in associator.rest()] == list(range(80, 100))


def test_depth_without_images_does_not_pile_up():
    associator = Associator({"depth"}, tolerance_ns=SECOND // 50, window_ns=SECOND)
    for step in range(2000):
        stamp = (step if step < 1000 else step - 1000) * PERIOD  # the clock begins anew half way
        associator.add_depth(stamp, None)
        list(associator.ready(step * PERIOD))
        assert len(associator._depths) < 25


def test_poses_between_samples_are_interpolated_and_long_gaps_left_out():
    track = PoseTrack("optical", gap_ns=SECOND // 4, tolerance_ns=SECOND // 50, memory_ns=10 * SECOND)
    half = np.sqrt(0.5)
    track.add(0, odometry((0, 0, 0), (0, 0, 0, 1), 0))
    track.add(SECOND // 5, odometry((1, 2, 3), (0, 0, half, half), 0))
    track.add(SECOND, odometry((9, 9, 9), (0, 0, 0, 1), 0))
    middle = track.at(SECOND // 10)
    assert np.allclose(middle[:3, 3], (0.5, 1, 1.5))
    assert np.allclose(middle[:3, :3], matrix_from_quaternion((0, 0, np.sin(np.pi / 8), np.cos(np.pi / 8))))
    assert np.allclose(track.at(SECOND)[:3, 3], 9)
    assert track.at(SECOND // 2) is None  # in the gap
    assert np.allclose(track.at(SECOND // 5 + SECOND // 100)[:3, 3], (1, 2, 3))  # beside a single sample
    assert track.at(SECOND + SECOND // 100) is not None and track.at(SECOND + SECOND // 10) is None


@pytest.mark.parametrize(
    "child, option, axes",
    [(OPTICAL, "auto", "optical"), ("base_link", "auto", "body"), ("base_link", "optical", "optical")],
)
def test_body_axes_become_optical_ones(tmp_path, scene, child, option, axes):
    messages = list(walk(scene, 5, odom=False))
    messages += [
        (ODOM, odometry((0, 0, 0), TURN, when, child), when + 1) for topic, _, when in messages if topic == IMAGE
    ]
    report, out = run(tmp_path, sorted(messages, key=lambda m: m[2]), odometry_frame=option)
    rotation = matrix_from_quaternion(table(out / "training/walk_00/poses.txt")[2, 4:])
    expected = matrix_from_quaternion(TURN) @ (OPTICAL_IN_BODY if axes == "body" else np.eye(3))
    assert np.allclose(rotation, expected, atol=1e-6)
    assert f"'{child}' taken as {axes}" in " ".join(report.bags[0].notes)


def test_axes_of_a_body_and_of_a_camera():
    forward, left, up = np.eye(3)
    assert np.allclose(OPTICAL_IN_BODY @ (0, 0, 1), forward)
    assert np.allclose(OPTICAL_IN_BODY @ (1, 0, 0), -left)
    assert np.allclose(OPTICAL_IN_BODY @ (0, 1, 0), -up)


def test_poses_are_all_or_none(tmp_path, scene):
    late = START + 8 * PERIOD
    messages = [m for m in walk(scene, 20) if m[0] != ODOM or m[2] < late]
    report, out = run(tmp_path, messages)
    assert not (out / "training/walk_00/poses.txt").exists() and report.scenes[0].poses == 0
    assert "only 8 of 20 frames have a pose" in " ".join(report.bags[0].notes)
