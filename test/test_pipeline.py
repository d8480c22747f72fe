"""A frame's way through the pipeline, with a stand-in for the network whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from scdepth_core.errors import CameraError, ConfigError
from scdepth_core.geometry.camera import Camera
from scdepth_core.inference.pipeline import FramePipeline

WIDTH, HEIGHT = 64, 48
CAMERA = Camera(WIDTH, HEIGHT, np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]]))
PICTURE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


class ColumnDepth:
    """Predicts column / 10 + 0.1 units, and keeps the picture that it was given."""

    def __init__(self, metres_per_unit=None):
        self.metadata = SimpleNamespace(metres_per_unit=metres_per_unit)

    def predict(self, rgb):
        self.seen = rgb
        height, width = rgb.shape[:2]
        return np.tile(np.arange(width, dtype=np.float32) / 10 + np.float32(0.1), (height, 1))


def test_depth_in_metres_of_the_images_size():
    result = FramePipeline(ColumnDepth(), metres_per_unit=2.0).process(PICTURE, CAMERA)
    assert result.depth.shape == (HEIGHT, WIDTH) and result.depth.dtype == np.float32
    np.testing.assert_allclose(result.depth[7], 2 * (np.arange(WIDTH) / 10 + 0.1), rtol=1e-6)
    assert result.rgb is PICTURE and result.camera is not None
    assert set(result.timings) == {"rectify", "network", "mask", "cloud"}


def test_the_scale_comes_from_the_settings_else_the_weights_else_nowhere():
    for settings, weights, scale, metric in [(2.0, 3.0, 2, True), (None, 3.0, 3, True), (None, None, 1, False)]:
        pipeline = FramePipeline(ColumnDepth(weights), metres_per_unit=settings)
        assert (pipeline.scale, pipeline.is_metric) == (scale, metric)
        assert pipeline.process(PICTURE, CAMERA).depth[0, 9] == pytest.approx(scale)


def test_depth_outside_the_range_is_nan():
    depth = FramePipeline(ColumnDepth(), min_depth=1.0, max_depth=3.0).process(PICTURE, CAMERA).depth
    metres = np.arange(WIDTH) / 10 + 0.1
    assert np.array_equal(np.isfinite(depth[0]), (metres > 0.99) & (metres < 3.01))


def test_the_networks_own_depth_stays_whole_whatever_is_masked():
    estimator = ColumnDepth()
    result = FramePipeline(estimator, metres_per_unit=2.0, min_depth=900.0, max_depth=1000.0).process(PICTURE, CAMERA)
    assert np.isnan(result.depth).all()
    np.testing.assert_array_equal(result.prediction, estimator.predict(PICTURE))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_what_a_network_must_not_say_is_nan(bad):
    estimator = ColumnDepth()
    estimator.predict = lambda rgb: np.full(rgb.shape[:2], bad, np.float32)
    assert np.isnan(FramePipeline(estimator).process(PICTURE, CAMERA).depth).all()


def test_cloud_agrees_with_depth_and_colour():
    result = FramePipeline(ColumnDepth(), cloud_step=2).process(PICTURE, CAMERA)
    assert result.cloud.shape == (24, 32, 8)
    z = result.depth[::2, ::2]
    np.testing.assert_array_equal(result.cloud[..., 2], z)
    np.testing.assert_allclose(result.cloud[..., 0], z * (np.arange(0, 64, 2) - 31.5) / 60, rtol=1e-5)
    packed = np.ascontiguousarray(result.cloud[..., 4]).view(np.uint8).reshape(24, 32, 4)
    assert np.array_equal(packed[..., 2::-1], PICTURE[::2, ::2])


def test_nothing_is_made_that_is_not_wanted():
    result = FramePipeline(ColumnDepth()).process(PICTURE, CAMERA, want_cloud=False)
    assert result.cloud is None and result.color is None
    result = FramePipeline(ColumnDepth()).process(PICTURE, CAMERA, want_cloud=False, want_color=True)
    assert result.color.shape == (HEIGHT, WIDTH, 3) and result.color.dtype == np.uint8


def test_without_a_camera_there_is_depth_but_no_cloud():
    result = FramePipeline(ColumnDepth()).process(PICTURE, None)
    assert result.camera is None and result.cloud is None and np.isfinite(result.depth).all()


def test_grey_pictures_become_three_equal_channels():
    estimator = ColumnDepth()
    FramePipeline(estimator).process(PICTURE[..., 0], CAMERA)
    assert np.array_equal(estimator.seen, np.repeat(PICTURE[..., :1], 3, axis=2))


def test_a_distorted_picture_is_rectified_once_per_calibration():
    camera = Camera(WIDTH, HEIGHT, CAMERA.K, "plumb_bob", np.array([0.3, 0, 0, 0, 0]))  # pincushion: edges are unseen
    pipeline = FramePipeline(ColumnDepth())
    result = pipeline.process(PICTURE, camera)
    assert not result.camera.is_distorted and result.cloud is not None
    tables = pipeline.tables(camera)
    assert tables.invalid.any() and np.array_equal(np.isnan(result.depth), tables.invalid)
    pipeline.process(PICTURE, camera)
    assert pipeline.tables(camera) is tables
    pipeline.process(PICTURE, CAMERA)
    assert pipeline.tables(camera) is not tables


def test_settings_change_between_frames():
    pipeline = FramePipeline(ColumnDepth(), cloud_step=1)
    buffer = np.empty((HEIGHT, WIDTH, 8), np.float32)
    assert pipeline.process(PICTURE, CAMERA, cloud_out=buffer).cloud is buffer
    pipeline.settings = type(pipeline.settings)(cloud_step=4, metres_per_unit=5.0)
    result = pipeline.process(PICTURE, CAMERA, cloud_out=buffer)  # the buffer no longer fits
    assert result.cloud.shape == (12, 16, 8) and result.depth[0, 0] == pytest.approx(0.5)
    pipeline.settings = type(pipeline.settings)(cloud_layout="packed")
    assert pipeline.process(PICTURE, CAMERA, cloud_out=buffer).cloud.shape == (HEIGHT, WIDTH, 4)


def test_a_camera_of_another_size_is_refused():
    with pytest.raises(CameraError, match="camera_info is for 64x48, the image is 32x24") as caught:
        FramePipeline(ColumnDepth()).process(PICTURE[::2, ::2], CAMERA)
    assert caught.value.kind == "camera_size_mismatch"


class Step:
    """Predicts 2 units on the left of column `edge`, 6 on the right, whatever the picture shows."""

    metadata = SimpleNamespace(metres_per_unit=None)

    def __init__(self, edge=32):
        self.edge, self.runs = edge, 0

    def predict(self, rgb):
        self.runs += 1
        columns = np.arange(rgb.shape[1])
        return np.tile(np.where(columns < self.edge, 2, 6).astype(np.float32), (rgb.shape[0], 1))


def test_flying_pixels_at_an_edge_are_masked():
    """Slope of the step over 3 pixels: 4 m x 60 px / 2 = 120 over 2 or 6 m of depth."""
    depth = FramePipeline(Step(), edge_slope=10.0).process(PICTURE, CAMERA).depth
    assert np.isnan(depth[:, 31:33]).all() and np.isfinite(np.delete(depth, (31, 32), axis=1)).all()
    depth = FramePipeline(Step(), edge_slope=30.0).process(PICTURE, CAMERA).depth
    assert np.isnan(depth[:, 31]).all() and np.isfinite(depth[:, 32]).all()  # 120 / 6 is less than 30
    assert np.isfinite(FramePipeline(Step(), edge_slope=10.0).process(PICTURE, None).depth).all()  # no f, no slope
    assert np.isfinite(FramePipeline(Step()).process(PICTURE, CAMERA).depth).all()


def test_a_plane_seen_at_an_angle_is_no_edge():
    """ColumnDepth rises by 0.1 units a pixel: at column 40 the slope is 0.1 x 60 / 4.1 = 1.5."""
    depth = FramePipeline(ColumnDepth(), edge_slope=2.0).process(PICTURE, CAMERA).depth
    assert np.isfinite(depth[:, 40]).all() and np.isnan(depth[:, 20]).all()  # 0.1 x 60 / 2.1 = 2.9


def test_depth_that_the_mirrored_picture_contradicts_is_masked():
    estimator = Step(edge=20)  # mirrored back, the edge is at 64 - 20 = 44: only columns 20 to 43 agree
    depth = FramePipeline(estimator, flip_tolerance=0.1).process(PICTURE, CAMERA).depth
    assert estimator.runs == 2
    assert np.array_equal(np.isnan(depth[0]), np.r_[np.ones(20), np.zeros(24), np.ones(20)] == 1)


def test_far_points_leave_the_cloud_but_not_the_depth_image():
    result = FramePipeline(Step(), cloud_max_depth=5.0).process(PICTURE, CAMERA)
    assert np.isfinite(result.depth).all()
    assert np.array_equal(np.isnan(result.cloud[0, :, 2]), np.arange(WIDTH) >= 32)


def test_a_measured_scale_goes_first():
    pipeline = FramePipeline(ColumnDepth(3.0), metres_per_unit=2.0)
    pipeline.measured_scale = 5.0
    result = pipeline.process(PICTURE, CAMERA)
    assert pipeline.scale == 5 and result.metres_per_unit == 5 and result.depth[0, 9] == pytest.approx(5)
    pipeline.measured_scale = None
    assert pipeline.scale == 2
    assert FramePipeline(ColumnDepth()).process(PICTURE, CAMERA).metres_per_unit is None


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"metres_per_unit": -1.0}, "metres_per_unit is -1.0"),
        ({"min_depth": 2.0, "max_depth": 1.0}, "min_depth is 2.0 and max_depth is 1.0"),
        ({"color_low": 3.0, "color_high": 3.0}, "color_low"),
        ({"cloud_layout": "xyz"}, "cloud layout is 'xyz'"),
        ({"cloud_step": 0}, "cloud_step is 0"),
        ({"edge_slope": -1.0}, "edge_slope is -1.0"),
        ({"flip_tolerance": np.nan}, "flip_tolerance is nan"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        FramePipeline(ColumnDepth(), **settings)
