"""Geometry against closed forms, and its gradients against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from scdepth_core.errors import CameraError
from scdepth_core.geometry.camera import Camera, flip_intrinsics, scale_intrinsics, shift_intrinsics
from scdepth_core.geometry.pose import euler_to_matrix, invert, pose_vec2mat, rotation_angle
from scdepth_core.geometry.projection import backproject, pixel_grid, project, transform_points
from scdepth_core.geometry.warping import inverse_rotation_warp, inverse_warp, sample

K = torch.tensor([[[50.0, 0.0, 15.5], [0.0, 60.0, 11.5], [0.0, 0.0, 1.0]]])
IDENTITY = torch.eye(3, 4)[None]


def test_backproject_by_hand():
    depth = torch.full((1, 1, 24, 32), 2.0)
    points = backproject(depth, K)
    assert torch.allclose(points[0, :, 0, 0], torch.tensor([2 * -15.5 / 50, 2 * -11.5 / 60, 2.0]))
    assert torch.allclose(points[0, :, 20, 30], torch.tensor([2 * 14.5 / 50, 2 * 8.5 / 60, 2.0]))


def test_a_point_beside_the_lens_stays_finite():
    """Z = 0, as when the camera moves by the depth of a pixel: no pixel and no gradient may become infinite or NaN."""
    points = torch.tensor([0.5, 0.0, 0.0]).view(1, 3, 1, 1).requires_grad_()
    pixels, z = project(points, K)
    pixels.sum().backward()
    assert z.item() == 0 and pixels.isfinite().all() and points.grad.isfinite().all()


def test_project_undoes_backproject():
    depth = 1 + torch.rand(1, 1, 24, 32)
    pixels, z = project(backproject(depth, K), K)
    assert torch.allclose(z, depth)
    assert torch.allclose(pixels[0], pixel_grid(24, 32)[:2], atol=1e-4)


def test_points_behind_the_camera_stay_finite_and_are_not_valid():
    depth = torch.ones(1, 1, 24, 32)
    back = IDENTITY.clone()
    back[0, 2, 3] = -3.0
    warp = inverse_warp(torch.rand(1, 3, 24, 32), depth, depth, back, K)
    assert all(torch.isfinite(maps).all() for maps in warp[:3])
    assert not warp.valid.any()
    assert (warp.computed_depth >= 1e-3).all()


def test_identity_warp_returns_its_input():
    image, depth = torch.rand(1, 3, 24, 32), 1 + torch.rand(1, 1, 24, 32)
    warp = inverse_warp(image, depth, depth, IDENTITY, K)
    assert torch.allclose(warp.image, image, atol=1e-4)
    assert torch.allclose(warp.projected_depth, depth, atol=1e-4)
    assert warp.valid.all()


def test_identity_rotation_returns_its_input():
    image = torch.rand(2, 3, 24, 32)
    rotated, valid = inverse_rotation_warp(image, torch.zeros(2, 3), K.repeat(2, 1, 1))
    assert torch.allclose(rotated, image, atol=1e-4)
    assert valid.all()


def test_sideways_motion_shifts_by_the_disparity():
    """A plane at depth 2 seen from 0.04 further right moves by fx t / Z = 1 pixel."""
    image, depth = torch.rand(1, 3, 24, 32), torch.full((1, 1, 24, 32), 2.0)
    motion = IDENTITY.clone()
    motion[0, 0, 3] = 0.04
    warp = inverse_warp(image, depth, depth, motion, K)
    assert torch.allclose(warp.image[..., :-1], image[..., 1:], atol=1e-4)
    assert warp.valid[..., :-1].all()
    assert not warp.valid[..., -1].any()


def test_forward_motion_changes_computed_depth():
    depth = torch.full((1, 1, 24, 32), 2.0)
    motion = IDENTITY.clone()
    motion[0, 2, 3] = -0.5
    warp = inverse_warp(torch.rand(1, 3, 24, 32), depth, depth, motion, K)
    assert torch.allclose(warp.computed_depth, torch.full_like(depth, 1.5))


def test_rotation_warp_equals_full_warp_at_any_depth():
    image, angles = torch.rand(1, 3, 24, 32), torch.tensor([[0.03, -0.02, 0.05]])
    depth = 1 + torch.rand(1, 1, 24, 32)
    transform = torch.cat([euler_to_matrix(angles), torch.zeros(1, 3, 1)], dim=-1)
    full = inverse_warp(image, depth, depth, transform, K)
    rotated, valid = inverse_rotation_warp(image, angles, K)
    assert torch.allclose(full.image, rotated, atol=1e-4)
    assert torch.equal(full.valid, valid)


def test_sampling_between_pixels_is_bilinear():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    pixels = torch.tensor([[[[0.5, 2.25]], [[0.5, 1.0]]]])  # (1, 2, 1, 2): u, v
    assert torch.allclose(sample(image, pixels).flatten(), torch.tensor([2.5, 6.25]))


@pytest.mark.parametrize("axis", range(3))
def test_euler_angles_by_hand(axis):
    angles = torch.zeros(3)
    angles[axis] = math.pi / 2
    turned = euler_to_matrix(angles) @ torch.eye(3)[(axis + 1) % 3]
    assert torch.allclose(turned, torch.eye(3)[(axis + 2) % 3], atol=1e-6)


def test_euler_order_is_x_y_z():
    a = torch.tensor([0.3, -0.2, 0.5])
    single = [euler_to_matrix(a * torch.eye(3)[i]) for i in range(3)]
    assert torch.allclose(euler_to_matrix(a), single[0] @ single[1] @ single[2], atol=1e-6)


def test_inverse_and_angle():
    transform = pose_vec2mat(torch.tensor([[0.3, -0.1, 0.2, 0.0, 0.4, 0.0]]))
    points = torch.rand(1, 3, 4, 5)
    there_and_back = transform_points(transform_points(points, transform), invert(transform))
    assert torch.allclose(there_and_back, points, atol=1e-6)
    assert rotation_angle(transform[..., :3]).item() == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize("wrt", ["depth", "pose", "K", "image", "source_depth"])
def test_gradients_of_the_warp(wrt):
    generator = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    values = {
        "image": rand(1, 2, 5, 6),
        "depth": 2 + rand(1, 1, 5, 6),
        "source_depth": 2 + rand(1, 1, 5, 6),
        "pose": torch.tensor([[0.011, -0.017, 0.05, 0.013, 0.007, -0.011]], dtype=torch.float64),
        "K": torch.tensor([[[6.0, 0, 2.5], [0, 6.5, 2.0], [0, 0, 1]]], dtype=torch.float64),
    }

    def warped(x):
        v = {**values, wrt: x}
        warp = inverse_warp(v["image"], v["depth"], v["source_depth"], pose_vec2mat(v["pose"]), v["K"])
        return warp.image, warp.projected_depth, warp.computed_depth

    assert gradcheck(warped, values[wrt].clone().requires_grad_(), eps=1e-7, atol=1e-4)


def test_gradients_of_rotation_warp():
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 2, 5, 6, generator=generator, dtype=torch.float64)
    K64 = torch.tensor([[[6.0, 0, 2.5], [0, 6.5, 2.0], [0, 0, 1]]], dtype=torch.float64)
    angles = torch.tensor([[0.02, -0.03, 0.04]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda a: inverse_rotation_warp(image, a, K64)[0], angles, eps=1e-7, atol=1e-4)


def test_intrinsics_follow_the_image():
    """A point keeps its place in the scene under resize, crop and mirror; checked through pixel areas."""
    k = np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]])
    half = scale_intrinsics(k, 0.5, 0.5)
    assert half[0, 2] == pytest.approx((320 + 0.5) / 2 - 0.5)
    assert half[0, 0] == 292.5
    assert shift_intrinsics(k, 10, 20)[:2, 2].tolist() == [310, 220]
    assert flip_intrinsics(k, 640)[0, 2] == 319
    assert k[0, 2] == 320, "the input must not change"


def test_camera_resize_and_crop():
    camera = Camera(640, 480, [[585, 0, 319.5], [0, 585, 239.5], [0, 0, 1]])
    small = camera.resized(320, 240)
    assert (small.width, small.height) == (320, 240)
    assert small.K[:2, 2].tolist() == [159.5, 119.5]
    assert camera.cropped(40, 0, 600, 480).K[0, 2] == 279.5
    with pytest.raises(CameraError, match="leaves the image"):
        camera.cropped(100, 0, 600, 480)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"K": np.zeros((3, 3))}, "not calibrated"),
        ({"K": np.full((3, 3), np.nan)}, "NaN"),
        ({"distortion_model": "fov"}, "unknown"),
        ({"distortion_model": "equidistant", "D": np.ones(5)}, "coefficients"),
        ({"width": 0}, "0x480"),
    ],
)
def test_impossible_cameras_say_why(change, sentence):
    good = {"width": 640, "height": 480, "K": np.diag([585.0, 585.0, 1.0])}
    with pytest.raises(CameraError, match=sentence):
        Camera(**{**good, **change})
