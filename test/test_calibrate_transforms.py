"""`scdepth calibrate` by TF, lidar points and compressed depth, on a recording whose scale is known.

The recording lasts 10 s; prediction, lidar, odometry and height have 5 % noise, and every tenth value is wrong.
"""

import numpy as np
import pytest
from noise_samples import spoilt_depth
from rosbags.typesys import Stores, get_typestore
from transform_samples import (
    COMPRESSED_DEPTH,
    LIDAR_IN_CAMERA,
    PNG_DEPTH,
    POINTS,
    lidar_points,
    points_message,
    record_robot,
)

from scdepth_core import cli
from scdepth_core.errors import ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.image_geometry import rectified_pose
from scdepth_core.geometry.rectification import Rectifier
from scdepth_core.scale import ScaleSettings
from scdepth_ros.bag import BagReader
from scdepth_ros.extraction.frame_stream import FrameStream
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.messages import decode_points
from scdepth_ros.reference_depth import reference_depth
from scdepth_ros.scale_measurement import measure

SCALE = 2.6


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    path = tmp_path_factory.mktemp("bags") / "robot"
    return path, *record_robot(path)


class Oracle:
    """Predicts rendered depth in units of SCALE metres, with noise and outliers."""

    def __init__(self, depths):
        self.depths, self.rng = list(depths), np.random.default_rng(0)

    def predict(self, rgb):
        return spoilt_depth(self.depths.pop(0), self.rng) / np.float32(SCALE)


def outcomes_of(robot, sources, every=1, **settings):
    path, depths, _ = robot
    with BagReader(path) as bag:
        stream = FrameStream(bag, ExtractionSettings(**settings))
        made = {source.source: source.make_source() for source in sources}
        outcomes = measure(stream, Oracle(depths[::every]), made, most=len(depths) // every)
        assert not stream.transform_troubles
    return {name: outcome.scale() for name, outcome in outcomes.items()}


def test_three_sources_with_noise_and_outliers(robot):
    """Lidar points, odometry and the height of the camera in TF, all of them noisy: 1, 2 and 3 %."""
    sources = [
        ScaleSettings("reference_depth", reference="points"),
        ScaleSettings("odometry", lever_arm=0),
        ScaleSettings("camera_height", ground_frame="ground"),
    ]
    scales = outcomes_of(robot, sources, points_topic=POINTS, ground_frame="ground")
    for name, tolerance in (("reference_depth", 0.01), ("odometry", 0.02), ("camera_height", 0.03)):
        scale, sigma = scales[name]
        assert scale == pytest.approx(SCALE, rel=tolerance) and sigma < 0.03, (name, scale, sigma)


def test_travel_from_transforms_beside_compressed_depth(robot):
    sources = [ScaleSettings("odometry", fixed_frame="odom"), ScaleSettings("reference_depth")]
    scales = outcomes_of(robot, sources, fixed_frame="odom", depth_topic=COMPRESSED_DEPTH)
    assert scales["odometry"][0] == pytest.approx(SCALE, rel=0.02)
    assert scales["reference_depth"][0] == pytest.approx(SCALE, rel=0.01)


def test_depth_in_a_png(robot):
    scales = outcomes_of(robot, [ScaleSettings("reference_depth")], every=10, depth_topic=PNG_DEPTH)
    assert scales["reference_depth"][0] == pytest.approx(SCALE, rel=0.01)


@pytest.mark.parametrize(
    "options, words",
    [
        (("--fixed-frame", "map", "--frames", "5"), "no transform names the frame 'map', there are base_link, camera"),
        (("--source", "camera_height"), "it needs --camera-height or --ground-frame"),
        (("--points-topic", "/odom"), "/odom (--points-topic) carries nav_msgs/msg/Odometry, expected sensor_msgs"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(robot, untrained_weights, options, words, capsys):
    depth = () if "--points-topic" in options else ("--no-depth",)
    assert (
        cli.main(["calibrate", str(robot[0]), "--weights", str(untrained_weights), "--dry-run", *depth, *options]) == 1
    )
    assert words in capsys.readouterr().err


# Points


def test_lidar_points_fall_on_the_pixels_that_they_were_taken_from(robot):
    _, depths, camera = robot
    points = lidar_points(depths[0], camera, np.random.default_rng(1))
    seen = reference_depth(points_message(points, 0), Rectifier(camera), LIDAR_IN_CAMERA)
    found = np.isfinite(seen)
    assert found.sum() == len(points) - 50  # 50 of them are behind the camera
    np.testing.assert_allclose(seen[found], depths[0][found], rtol=1e-5)
    assert reference_depth(points_message(points, 0), Rectifier(camera)) is None


def test_points_of_a_stereo_camera_are_turned_with_its_images():
    """The rectified camera looks 0.1 rad to the right of the optical frame: what is straight ahead of it moves left."""
    turn = np.array([[np.cos(0.1), 0, -np.sin(0.1)], [0, 1, 0], [np.sin(0.1), 0, np.cos(0.1)]])
    camera = Camera(64, 48, np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]]), R=turn)
    rectifier = Rectifier(camera)
    seen = reference_depth(points_message(np.array([[0, 0, 4.0]]), 0), rectifier, np.eye(4))
    (where,) = np.argwhere(np.isfinite(seen))
    assert tuple(where) == (24, round(31.5 - 60 * np.tan(0.1))) and seen[tuple(where)] == np.float32(4 * np.cos(0.1))
    np.testing.assert_allclose(rectified_pose(np.eye(4), rectifier)[:3, :3], turn.T)


def cloud(points, form="<f8", offsets=(8, 16, 0), step=40, rows=1, pad=0, **changes):
    """A PointCloud2 in any layout: x y z at these offsets of a point."""
    types = get_typestore(Stores.ROS2_JAZZY).types
    table = np.zeros((len(points), step), np.uint8)
    for place, offset in enumerate(offsets):
        size = np.dtype(form).itemsize
        table[:, offset : offset + size] = points[:, place].astype(form).view(np.uint8).reshape(len(points), size)
    data = np.zeros((rows, len(points) // rows * step + pad), np.uint8)
    data[:, : data.shape[1] - pad] = table.reshape(rows, -1)
    datatype = 8 if "8" in form else 7
    field = types["sensor_msgs/msg/PointField"]
    msg = types["sensor_msgs/msg/PointCloud2"](
        points_message(points, 0).header,
        rows,
        len(points) // rows,
        [field(name, offset, datatype, 1) for name, offset in zip("xyz", offsets)],
        form[0] == ">",
        step,
        data.shape[1],
        data.ravel(),
        True,
    )
    for name, value in changes.items():
        object.__setattr__(msg, name, value)
    return msg


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"form": ">f4", "offsets": (0, 4, 8), "step": 12, "rows": 3, "pad": 5},
        {"form": "<f4", "offsets": (4, 12, 20), "step": 24},
    ],
)
def test_every_layout_of_points(layout):
    points = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32).astype(float)
    points[3, 1] = np.nan
    np.testing.assert_array_equal(decode_points(cloud(points, **layout)), points)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"point_step": 20}, "has point_step 20 and row_step 480, expected at least 24 and 240"),
        ({"row_step": 100}, "row_step 100, expected at least 24 and 480"),
        ({"data": np.zeros(100, np.uint8)}, "has 100 bytes, expected 480"),
        ({"fields": []}, "has no x, y, z of floats, its fields are no fields"),
    ],
)
def test_impossible_points_are_one_sentence(changes, words):
    with pytest.raises(ImageError, match=words):
        decode_points(cloud(np.zeros((12, 3)), **changes))


def test_a_cloud_without_points():
    assert decode_points(cloud(np.zeros((0, 3)))).shape == (0, 3)
