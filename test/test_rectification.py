"""Rectification, held against OpenCV's own undistortion and against points computed by hand."""

import cv2
import numpy as np
import pytest

from scdepth_core.errors import ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.rectification import Rectifier

SIZE = (160, 120)
K = np.array([[110.0, 0, 81.3], [0, 112.0, 57.8], [0, 0, 1]])
P = np.array([[90.0, 0, 79.0, 0], [0, 92.0, 60.0, 0], [0, 0, 1, 0]])
BARREL = np.array([-0.28, 0.07, 0.0004, -0.0007, 0.0])
RATIONAL = np.array([0.35, -0.12, 0.0003, 0.0002, 0.004, 0.62, -0.1, 0.01])
FISHEYE = np.array([-0.02, 0.006, -0.002, 0.0003])
MODELS = {"plumb_bob": BARREL, "rational_polynomial": RATIONAL, "equidistant": FISHEYE}


def camera(model="plumb_bob", P=P, R=None, D=None):
    return Camera(
        *SIZE, K=K, distortion_model=model, D=MODELS[model] if D is None else D, P=P, R=np.eye(3) if R is None else R
    )


def picture():
    noise = np.random.default_rng(1).integers(0, 255, (30, 40, 3), np.uint8)
    return cv2.resize(noise, SIZE, interpolation=cv2.INTER_CUBIC)


def distort(model, x, y):
    """The textbook formulas, for normalised coordinates."""
    D, r2 = MODELS[model], x * x + y * y
    if model == "equidistant":
        r = np.sqrt(r2)
        theta = np.arctan(r)
        powers = theta**2, theta**4, theta**6, theta**8
        scale = theta * (1 + sum(k * power for k, power in zip(D, powers))) / r
        return x * scale, y * scale
    k1, k2, p1, p2, k3 = D[:5]
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    if model == "rational_polynomial":
        radial /= 1 + D[5] * r2 + D[6] * r2**2 + D[7] * r2**3
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


@pytest.mark.parametrize("model", MODELS)
def test_pixels_equal_opencvs_undistortion(model):
    image, K_new = picture(), P[:, :3]
    if model == "equidistant":
        expected = cv2.fisheye.undistortImage(image, K, FISHEYE, Knew=K_new)
    else:
        expected = cv2.undistort(image, K, MODELS[model], newCameraMatrix=K_new)
    rectified = Rectifier(camera(model))(image)
    difference = np.abs(rectified.astype(int) - expected.astype(int))
    assert difference.mean() < 0.05 and np.percentile(difference, 99) <= 2


@pytest.mark.parametrize("model", MODELS)
def test_a_ramp_shows_where_each_pixel_comes_from(model):
    ramp_x, ramp_y = np.meshgrid(np.arange(SIZE[0], dtype=np.float32), np.arange(SIZE[1], dtype=np.float32))
    rectifier = Rectifier(camera(model))
    from_x, from_y = rectifier(ramp_x), rectifier(ramp_y)
    for u, v in [(70, 66), (40, 30), (120, 90), (100, 20)]:
        assert rectifier.valid[v, u]
        x, y = distort(model, (u - P[0, 2]) / P[0, 0], (v - P[1, 2]) / P[1, 1])
        assert from_x[v, u] == pytest.approx(K[0, 0] * x + K[0, 2], abs=0.04)  # maps hold 1/32 pixel
        assert from_y[v, u] == pytest.approx(K[1, 1] * y + K[1, 2], abs=0.04)


def test_the_rectified_camera_is_a_pinhole_with_the_projection_matrix():
    rectified = Rectifier(camera()).camera
    assert np.array_equal(rectified.K, P[:, :3]) and not rectified.is_distorted
    assert (rectified.width, rectified.height) == SIZE
    assert np.array_equal(Rectifier(camera(P=None)).camera.K, K)
    assert np.array_equal(Rectifier(camera(P=np.zeros((3, 4)))).camera.K, K)


def test_images_without_distortion_pass_through_untouched():
    image = picture()
    for same in (camera(D=np.zeros(5), P=None), camera(D=np.zeros(5), P=np.hstack([K, np.zeros((3, 1))]))):
        rectifier = Rectifier(same)
        assert rectifier(image) is image and rectifier.is_identity and rectifier.valid.all()


def test_another_projection_moves_pixels_even_without_distortion():
    rectifier = Rectifier(camera(D=np.zeros(5)))
    assert not rectifier.is_identity and rectifier(picture()).shape == (120, 160, 3)


def test_what_no_pixel_saw_is_invalid_and_black():
    wide = np.array([[60.0, 0, 80, 0], [0, 60.0, 60, 0], [0, 0, 1, 0]])
    rectifier = Rectifier(camera(P=wide))
    white = rectifier(np.full((120, 160), 255, np.uint8))
    assert 0.2 < rectifier.valid.mean() < 0.95
    assert white[rectifier.valid].min() >= 250
    inner = cv2.erode((~rectifier.valid).astype(np.uint8), np.ones((5, 5)), borderValue=1).astype(bool)
    assert white[inner].max(initial=0) == 0


def test_a_polynomial_that_folds_back_shows_nothing_twice():
    wide = np.array([[25.0, 0, 80, 0], [0, 25.0, 60, 0], [0, 0, 1, 0]])
    rectifier = Rectifier(camera(P=wide, D=np.array([-0.3, 0.0, 0, 0, 0])))
    radius = np.hypot(*np.meshgrid((np.arange(160) - 80) / 25.0, (np.arange(120) - 60) / 25.0))
    folded = radius > 1 / np.sqrt(3 * 0.3)  # where r (1 - 0.3 r^2) turns
    assert not rectifier.valid[folded & (radius > 1.15)].any()
    assert rectifier.valid[radius < 0.6].all()


def test_depth_follows_a_rotation_of_the_axis():
    R = cv2.Rodrigues(np.array([0.03, -0.08, 0.02]))[0]
    rectifier = Rectifier(camera(D=np.zeros(5), P=np.hstack([K, np.zeros((3, 1))]), R=R))
    u, v = np.meshgrid(np.arange(160), np.arange(120))
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T
    normal = np.array([0.1, -0.2, 1.0])
    plane = (3.0 / (rays @ normal)).astype(np.float32)  # n . X = 3 in the camera's frame
    depth = rectifier.rectify_depth(plane)
    expected = 3.0 / (rays @ (R @ normal))  # the same plane in the rectified frame
    valid = rectifier.valid
    assert np.isnan(depth[~valid]).all()
    assert np.abs(depth[valid] / expected[valid] - 1).max() < 0.003  # nearest neighbour: half a pixel


def test_depth_is_never_mixed():
    steps = np.where(np.arange(160) < 80, 1.0, 5.0).astype(np.float32) * np.ones((120, 1), np.float32)
    depth = Rectifier(camera()).rectify_depth(steps)
    assert set(np.unique(depth[np.isfinite(depth)])) == {1.0, 5.0}


@pytest.mark.parametrize("D", [np.zeros(5), BARREL])
def test_an_image_of_another_size_is_refused(D):
    with pytest.raises(ImageError, match="80x60, but its camera_info says 160x120"):
        Rectifier(camera(D=D, P=None))(np.zeros((60, 80, 3), np.uint8))
