"""Frames that move against each other: chains, inverses and times against closed forms, and sentences for the rest."""

import numpy as np
import pytest

from scdepth_core.errors import TransformError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.sparse_depth import sparse_depth
from scdepth_core.geometry.transform_tree import ALWAYS, TransformTree

SECOND = 10**9
STILL = (0, 0, 0, 1)
QUARTER = (0, 0, np.sqrt(0.5), np.sqrt(0.5))  # a quarter turn about z


def tree():
    """odom -> base (moves along x at 1 m/s and turns by a quarter a second) -> mast -> camera; base -> lidar."""
    tree = TransformTree(gap_ns=2 * SECOND, tolerance_ns=SECOND // 50, memory_ns=4 * SECOND)
    tree.add("base", "mast", 0, (0, 0, 1), STILL, fixed=True)
    tree.add("mast", "camera", 0, (0.2, 0, 0), STILL, fixed=True)
    tree.add("base", "lidar", 0, (0, 0.5, 0), QUARTER, fixed=True)
    tree.add("odom", "base", 10 * SECOND, (0, 0, 0), STILL)
    tree.add("odom", "base", 11 * SECOND, (1, 0, 0), QUARTER)
    return tree


def test_a_chain_between_two_stamps():
    """Half way: base at x = 0.5, turned by 45 degrees, so that the camera is 0.2 m ahead of it along the diagonal."""
    pose = tree().lookup("odom", "camera", 10 * SECOND + SECOND // 2)
    diagonal = np.sqrt(0.5)
    np.testing.assert_allclose(pose[:3, 3], [0.5 + 0.2 * diagonal, 0.2 * diagonal, 1], atol=1e-12)
    np.testing.assert_allclose(pose[:2, :2], [[diagonal, -diagonal], [diagonal, diagonal]], atol=1e-12)


def test_across_the_tree_and_back():
    """A point 2 m ahead of the lidar is at base (0, 2.5, 0), which the camera sees from (0.2, 0, 1)."""
    to_camera = tree().lookup("camera", "lidar", 0)  # nothing on this way moves, so any time will do
    np.testing.assert_allclose(to_camera @ [2, 0, 0, 1], [-0.2, 2.5, -1, 1], atol=1e-12)
    np.testing.assert_allclose(to_camera @ tree().lookup("lidar", "camera", 0), np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(tree().lookup("camera", "camera", 0), np.eye(4))


def test_until_when_it_knows():
    frames = tree()
    assert frames.known_until("odom", "camera") == 11 * SECOND
    assert frames.known_until("camera", "lidar") == ALWAYS
    assert frames.known_until("map", "camera") is None


def test_slashes_of_old_drivers_mean_the_same_frames():
    frames = tree()
    frames.add("/camera", "/optical", 0, (0, 0, 0), STILL, fixed=True)
    assert frames.lookup("/base", "optical", 0)[2, 3] == 1


@pytest.mark.parametrize(
    "target, stamp, words",
    [
        (
            "map",
            10 * SECOND,
            "no transform names the frame .map., there are base, camera, island, lidar",
        ),
        ("odom", 20 * SECOND, "no transform from 'camera' to 'odom' at the image's stamp, because 'odom' to 'base'"),
        ("odom", 9 * SECOND, "are both on one clock"),
        ("island", 0, "no transforms connect 'camera' to 'island'"),
    ],
)
def test_no_answer_is_one_sentence(target, stamp, words):
    frames = tree()
    frames.add("sea", "island", 0, (0, 0, 0), STILL, fixed=True)
    with pytest.raises(TransformError, match=words):
        frames.lookup(target, "camera", stamp)


@pytest.mark.parametrize(
    "translation, quaternion, words",
    [((0, 0, np.nan), STILL, "are no pose"), ((0, 0, 0), (0, 0, 0, 0), "are no pose")],
)
def test_numbers_that_are_no_pose_are_refused_and_change_nothing(translation, quaternion, words):
    frames = tree()
    with pytest.raises(TransformError, match=f"from 'odom' to 'base' cannot be used.*{words}"):
        frames.add("odom", "base", 12 * SECOND, translation, quaternion)
    assert frames.known_until("odom", "camera") == 11 * SECOND
    with pytest.raises(TransformError, match="expected two names that differ"):
        frames.add("odom", "/odom", 0, (0, 0, 0), STILL)


def test_circles_are_said_and_a_new_parent_takes_over():
    frames = tree()
    frames.add("camera", "odom", 0, (0, 0, 0), STILL, fixed=True)
    with pytest.raises(TransformError, match="go round in a circle"):
        frames.lookup("lidar", "camera", 0)
    frames = tree()
    frames.add("map", "base", 30 * SECOND, (7, 0, 0), STILL)
    assert frames.lookup("map", "base", 30 * SECOND)[0, 3] == 7
    assert frames.known_until("odom", "camera") is None


def test_a_clock_that_goes_back_begins_anew():
    frames = tree()
    frames.add("odom", "base", SECOND, (5, 0, 0), STILL)
    assert frames.lookup("odom", "base", SECOND)[0, 3] == 5
    with pytest.raises(TransformError):
        frames.lookup("odom", "base", 11 * SECOND)


# Points in an image


def test_points_fall_on_their_pixels_and_the_nearest_wins():
    camera = Camera(64, 48, np.array([[60.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]]))
    column, row = np.array([3, 40, 40, 63, 64, 10, 10]), np.array([5, 20, 20, 47, 3, 48, 7])
    z = np.array([2.0, 7, 3, 9, 2, 2, -4])
    points = np.c_[(column - 31.5) / 60 * z, (row - 23.5) / 50 * z, z]
    points = np.r_[points, [[np.nan, 0, 1], [0, 0, 0], [0, 0, np.inf]]]
    depth = sparse_depth(points, camera)
    assert depth.shape == (48, 64) and depth.dtype == np.float32
    assert {(r, c): depth[r, c] for r, c in np.argwhere(np.isfinite(depth))} == {(5, 3): 2, (20, 40): 3, (47, 63): 9}
    assert np.isnan(sparse_depth(np.empty((0, 3)), camera)).all()
