"""Loss terms by hand-computed values, and their behaviour on input that breaks plain implementations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from scdepth_core.geometry.pose import pose_vec2mat
from scdepth_core.geometry.warping import Warp
from scdepth_core.losses import (
    ConsistencyOptions,
    PairErrors,
    consistency_loss,
    edge_aware_smoothness,
    geometry_inconsistency,
    pair_errors,
    photometric_error,
    ssim_error,
    surface_normals,
    view_synthesis,
)

K = torch.tensor([[[40.0, 0.0, 19.5], [0.0, 40.0, 15.5], [0.0, 0.0, 1.0]]])
SIZE = (32, 40)


def warp_with(computed: float, projected: float) -> Warp:
    ones = torch.ones(1, 1, 2, 2)
    return Warp(torch.zeros(1, 3, 2, 2), projected * ones, computed * ones, ones.bool())


def pair(photometric, color, geometry, valid) -> PairErrors:
    """Maps of two pixels."""
    return PairErrors(*(torch.tensor(v).reshape(1, 1, 1, 2) for v in (photometric, color, geometry, valid)))


@pytest.mark.parametrize("reference", [False, True])
def test_the_dynamic_mask_weighs_and_teaches_nothing(reference):
    """Depth would else learn to contradict itself where frames differ."""
    warp = warp_with(3.0, 1.0)
    warp = warp._replace(computed_depth=warp.computed_depth.requires_grad_())
    options = ConsistencyOptions(ssim_weight=0.0, reference_numerics=reference)
    errors = pair_errors(torch.ones(1, 3, 2, 2), torch.ones(1, 3, 2, 2), warp, options)
    assert errors.photometric.unique().item() == pytest.approx(0.5)  # an error of 1, weighed by 1 - D
    assert errors.geometry.requires_grad and not errors.photometric.requires_grad


def test_geometry_inconsistency_by_hand():
    assert geometry_inconsistency(warp_with(3.0, 1.0)).unique().item() == pytest.approx(0.5)
    assert geometry_inconsistency(warp_with(2.0, 2.0)).max() == 0
    assert geometry_inconsistency(warp_with(1e-3, 0.0)).unique().item() == 1.0


def test_geometry_inconsistency_ignores_the_unit():
    small, large = warp_with(2.0, 1.5), warp_with(200.0, 150.0)
    assert torch.allclose(geometry_inconsistency(small), geometry_inconsistency(large))


def test_photometric_error_by_hand():
    """Two constant images 0.2 apart: variance and covariance vanish, so SSIM has only its mean term."""
    x, y = (torch.full((1, 3, 16, 16), value, dtype=torch.float64) for value in (0.5, 0.7))
    ssim = (2 * 0.5 * 0.7 + 1e-4) / (0.5**2 + 0.7**2 + 1e-4)
    assert ssim_error(x, y).mean().item() == pytest.approx((1 - ssim) / 2, rel=1e-9)
    expected = 0.15 * 0.2 + 0.85 * (1 - ssim) / 2
    assert photometric_error(x, y).mean().item() == pytest.approx(expected, rel=1e-9)
    assert photometric_error(x, x).max() < 1e-5


def test_smoothness_by_hand():
    """A ramp of slope 1 and mean 2 on a constant image: |d*'| = 1/2 along x, nothing along y."""
    depth = torch.tensor([1.0, 2.0, 3.0]).expand(1, 1, 4, 3)
    assert edge_aware_smoothness(depth, torch.zeros(1, 3, 4, 3)).item() == pytest.approx(0.5, rel=1e-5)
    edge = torch.tensor([0.0, 1.0, 2.0]).expand(1, 3, 4, 3)
    assert edge_aware_smoothness(depth, edge).item() == pytest.approx(0.5 * math.exp(-1), rel=1e-5)
    assert edge_aware_smoothness(7 * depth, edge).item() == pytest.approx(0.5 * math.exp(-1), rel=1e-5)


def test_minimum_takes_the_best_valid_candidate_of_each_frame():
    """Target: source 1 wins at pixel 0; at pixel 1 it would, but is invalid. Source frames have one candidate each."""
    pairs = [
        pair([0.1, 0.1], [0.1, 0.1], [0.3, 0.3], [True, False]),
        pair([0.4, 0.6], [0.4, 0.6], [0.5, 0.7], [True, True]),
        pair([0.2, 9.0], [0.2, 9.0], [0.1, 9.0], [True, False]),
        pair([8.0, 8.0], [0.0, 0.0], [8.0, 8.0], [False, False]),
    ]
    loss = consistency_loss(pairs, ConsistencyOptions())
    assert loss.photometric.item() == pytest.approx((0.1 + 0.6 + 0.2) / 3)
    assert loss.geometry.item() == pytest.approx((0.3 + 0.7 + 0.1) / 3)
    assert loss.coverage.item() == pytest.approx(3 / 6)
    every = consistency_loss(pairs, ConsistencyOptions(minimum=False))
    assert every.photometric.item() == pytest.approx((0.1 + 0.4 + 0.6 + 0.2) / 4)


def test_nothing_valid_gives_zero_with_a_gradient_and_says_so():
    values = torch.rand(1, 1, 1, 2, requires_grad=True)
    nothing = torch.zeros(1, 1, 1, 2, dtype=torch.bool)
    loss = consistency_loss([PairErrors(values, values, values, nothing)] * 2, ConsistencyOptions())
    assert loss.photometric == 0 and loss.coverage == 0
    loss.photometric.backward()
    assert (values.grad == 0).all()


def frames_of(kind: str) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    noise = [torch.randn(2, 3, *SIZE, generator=generator) for _ in range(3)]
    return {
        "noise": noise,
        "black": [torch.full_like(noise[0], -2.0)] * 3,
        "saturated": [torch.full_like(noise[0], 2.44)] * 3,
        "static": [noise[0]] * 3,
        "repeated": [noise[0], noise[0], noise[1]],
    }[kind]


@pytest.mark.parametrize("kind", ["noise", "black", "saturated", "static", "repeated"])
@pytest.mark.parametrize("motion", ["none", "small", "behind", "huge"])
def test_every_loss_and_gradient_is_finite(kind, motion):
    frames = frames_of(kind)
    step = {"none": 0.0, "small": 0.05, "behind": -50.0, "huge": 1e4}[motion]
    logits = [torch.randn(2, 1, *SIZE).requires_grad_() for _ in frames]
    depths = [1 / (10 * torch.sigmoid(x) + 0.01) for x in logits]
    vectors = [torch.tensor([[0.0, 0, step, 0, 0, 0]]).repeat(2, 1).requires_grad_() for _ in range(4)]
    poses = [pose_vec2mat(v) for v in vectors]
    pairs, _ = view_synthesis(frames, depths, poses[:2], poses[2:], K.repeat(2, 1, 1), ConsistencyOptions())
    loss = consistency_loss(pairs, ConsistencyOptions())
    total = loss.photometric + loss.geometry + edge_aware_smoothness(depths[0], frames[0])
    total.backward()
    assert torch.isfinite(total)
    for leaf in (*logits, *vectors):
        assert leaf.grad is None or torch.isfinite(leaf.grad).all()


def test_identical_frames_leave_nothing_to_learn():
    """A static camera: no warp beats the identity, so the auto-mask leaves no pixel."""
    frames, depths = frames_of("static"), [torch.ones(2, 1, *SIZE)] * 3
    poses = [torch.eye(3, 4).repeat(2, 1, 1)] * 2
    options = ConsistencyOptions()
    pairs, _ = view_synthesis(frames, depths, poses, poses, K.repeat(2, 1, 1), options)
    assert consistency_loss(pairs, options).coverage < 0.35  # float rounding alone decides


def test_gradients_of_the_terms():
    generator = torch.Generator().manual_seed(5)
    image = torch.rand(1, 2, 9, 9, generator=generator, dtype=torch.float64)
    other = torch.rand(1, 2, 9, 9, generator=generator, dtype=torch.float64)
    depth = (1 + torch.rand(1, 1, 9, 9, generator=generator, dtype=torch.float64)).requires_grad_()
    assert gradcheck(lambda x: photometric_error(x, other).mean(), image.requires_grad_())
    assert gradcheck(lambda d: edge_aware_smoothness(d, other), depth)
    k = torch.tensor([[[9.0, 0, 4], [0, 9, 4], [0, 0, 1]]], dtype=torch.float64)
    assert gradcheck(lambda d: surface_normals(d, k), depth)


def test_normals_of_a_plane():
    """Plane n.X = 1: depth along each ray is 1 / (n . ray), and every inner normal is n up to sign."""
    normal = torch.tensor([0.2, -0.3, 0.9])
    normal = normal / normal.norm()
    v, u = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    rays = torch.stack([(u - 19.5) / 40, (v - 15.5) / 40, torch.ones_like(u)])
    depth = 2 / (normal[:, None, None] * rays).sum(0)
    estimated = surface_normals(depth[None, None], K)[0, :, 2:-2, 2:-2]
    assert torch.allclose(estimated.flatten(1).T, normal.expand(28 * 36, 3), atol=1e-3)
