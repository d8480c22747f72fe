"""Clouds against geometry that can be written down: a plane, a single pixel, the bytes of one point."""

import struct

import numpy as np
import pytest

from scdepth_core.errors import CameraError, ConfigError, ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.point_cloud import LAYOUTS, RayTable, point_cloud

WIDTH, HEIGHT = 64, 48
CAMERA = Camera(WIDTH, HEIGHT, np.array([[60.0, 0, 30.25], [0, 55.0, 24.5], [0, 0, 1]]))


def plane_depth(normal, distance):
    """Depth at which each pixel's ray meets the plane normal . p = distance, by the textbook formula."""
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    rays = np.stack([(u - 30.25) / 60, (v - 24.5) / 55, np.ones_like(u)], axis=-1)
    return (distance / (rays @ normal)).astype(np.float32)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.3, -0.2, 1.0), (0.0, 0.8, 0.6)])
@pytest.mark.parametrize("step", [1, 3])
def test_points_of_a_plane_lie_on_the_plane(normal, step):
    cloud = point_cloud(plane_depth(np.array(normal), 2.0), RayTable(CAMERA, step))
    assert cloud.shape == (-(-HEIGHT // step), -(-WIDTH // step), 8) and cloud.dtype == np.float32
    np.testing.assert_allclose(cloud[..., :3] @ np.array(normal), 2.0, rtol=2e-6)


def test_organised_as_the_image_and_centred_on_pixel_centres():
    depth = np.full((HEIGHT, WIDTH), 6.0, np.float32)
    cloud = point_cloud(depth, RayTable(CAMERA))
    np.testing.assert_allclose(cloud[0, 0, :3], [-30.25 / 10, -24.5 * 6 / 55, 6], rtol=1e-6)
    np.testing.assert_allclose(cloud[47, 63, :3], [(63 - 30.25) / 10, (47 - 24.5) * 6 / 55, 6], rtol=1e-6)
    decimated = point_cloud(depth, RayTable(CAMERA, 4))
    assert np.array_equal(decimated[..., :3], cloud[::4, ::4, :3])


@pytest.mark.parametrize("layout, step, colour", [("pcl", 32, 16), ("packed", 16, 12)])
def test_the_bytes_of_one_point(layout, step, colour):
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[0, 1] = (255, 128, 7)
    depth = np.full((HEIGHT, WIDTH), 60.0, np.float32)
    point = point_cloud(depth, RayTable(CAMERA), rgb, layout=layout).tobytes()[step : 2 * step]
    assert struct.unpack("<f", point[0:4])[0] == pytest.approx(-29.25)
    assert struct.unpack("<f", point[8:12])[0] == 60
    assert list(point[colour : colour + 4]) == [7, 128, 255, 0]  # blue, green, red, 0
    assert np.isfinite(struct.unpack("<f", point[colour : colour + 4])[0])  # readers that skip NaN keep bright reds


def test_no_depth_is_nan_in_all_three():
    depth = np.full((HEIGHT, WIDTH), 1.0, np.float32)
    depth[5, 6] = np.nan
    cloud = point_cloud(depth, RayTable(CAMERA))
    assert np.isnan(cloud[5, 6, :3]).all()
    assert np.isnan(cloud[..., 0]).sum() == 1


def test_a_given_buffer_is_filled_in_place():
    depth = plane_depth(np.array([0.0, 0, 1]), 3.0)
    rays, out = RayTable(CAMERA), np.full((HEIGHT, WIDTH, 8), -1, np.float32)
    fresh = point_cloud(depth, rays)
    assert point_cloud(depth, rays, out=out) is out
    assert np.array_equal(out[..., :3], fresh[..., :3])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("step", [1, 2, 7])
@pytest.mark.parametrize("width, height", [(501, 403), (3, 70_001), (90_001, 2)])  # more points than are made at a time
def test_every_point_of_a_large_cloud_is_at_its_place(width, height, step, layout):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    depth = rng.uniform(0.5, 9, (height, width)).astype(np.float32)
    depth[rng.random((height, width)) < 0.1] = np.nan
    rays = RayTable(Camera(width, height, np.array([[400.0, 0, 30.25], [0, 300.0, 24.5], [0, 0, 1]])), step)
    cloud = point_cloud(depth, rays, rgb, layout=layout)
    z = depth[::step, ::step]
    assert cloud.shape == (*z.shape, LAYOUTS[layout].size)
    for place, values in ((0, z * rays.x), (1, z * rays.y), (2, z)):
        np.testing.assert_array_equal(cloud[..., place], values)
    packed = np.ascontiguousarray(cloud[..., LAYOUTS[layout].rgb]).view(np.uint8).reshape(*z.shape, 4)
    assert np.array_equal(packed[..., 2::-1], rgb[::step, ::step]) and not packed[..., 3].any()
    again = point_cloud(depth, rays, rgb, out=np.full(cloud.shape, 7, np.float32), layout=layout)
    assert again.tobytes() == cloud.tobytes()  # nothing of the buffer is left, not even in the padding


def test_skew_is_part_of_the_ray():
    K = CAMERA.K.copy()
    K[0, 1] = 4.0
    rays = RayTable(Camera(WIDTH, HEIGHT, K))
    pixel = K @ [rays.x[10, 20], rays.y[10, 20], 1]
    np.testing.assert_allclose(pixel, [20, 10, 1], rtol=1e-6)


def test_what_does_not_fit_is_refused():
    rays = RayTable(CAMERA)
    with pytest.raises(ImageError, match="depth image is 10x20, its camera 64x48"):
        point_cloud(np.ones((20, 10), np.float32), rays)
    with pytest.raises(ImageError, match="rgb image is 48x64"):
        point_cloud(np.ones((HEIGHT, WIDTH), np.float32), rays, np.zeros((64, 48, 3), np.uint8))
    for buffer in (np.empty((HEIGHT, WIDTH, 4), np.float32), np.empty((HEIGHT, WIDTH, 16), np.float32)[..., ::2]):
        with pytest.raises(ImageError, match=r"cloud buffer is .*, expected float32 \(48, 64, 8\) without gaps"):
            point_cloud(np.ones((HEIGHT, WIDTH), np.float32), rays, out=buffer)
    with pytest.raises(ImageError, match=r"cloud buffer is .*, expected float32 \(48, 64, 4\) without gaps"):
        buffer = np.empty((HEIGHT, WIDTH, 8), np.float32)
        point_cloud(np.ones((HEIGHT, WIDTH), np.float32), rays, out=buffer, layout="packed")
    with pytest.raises(ConfigError, match="cloud layout is 'xyz', expected pcl or packed"):
        point_cloud(np.ones((HEIGHT, WIDTH), np.float32), rays, layout="xyz")
    with pytest.raises(CameraError, match="step is 0"):
        RayTable(CAMERA, 0)
    distorted = Camera(WIDTH, HEIGHT, CAMERA.K, "plumb_bob", np.array([0.1, 0, 0, 0, 0]))
    with pytest.raises(CameraError, match="rectified"):
        RayTable(distorted)
