"""SC-Depth V2 and V3: their loss terms by hand-computed values, and one step of each by behaviour."""

from __future__ import annotations

import math
from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.nn.parallel import DistributedDataParallel

from scdepth_core import cli
from scdepth_core.data import Augmentation, PseudoDepth, SequenceDataset
from scdepth_core.data.scene_folder import SceneFolder, read_depth
from scdepth_core.data.synthetic import Renderer, make_path, make_scene, pinhole_camera
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.geometry.pose import euler_to_matrix, rotation_angle
from scdepth_core.geometry.warping import inverse_rotation_warp
from scdepth_core.losses import (
    drawn_rotation,
    dynamic_ranking_loss,
    fill_unseen,
    normal_matching_loss,
    normal_ranking_loss,
    normals_known,
    photometric_error,
    pseudo_rotation,
    rotation_consistency_loss,
    rotation_equivariance_loss,
    rotation_triplet_loss,
    surface_normals,
)
from scdepth_core.losses.ranking import dynamic_pairs, random_pairs
from scdepth_core.losses.reduction import masked_mean
from scdepth_core.networks.normalization import normalize
from scdepth_core.training.plain import _filled
from scdepth_core.training.v2 import SCDepthV2, V2Weights
from scdepth_core.training.versions import VERSIONS, asked_version

K = torch.tensor([[[40.0, 0.0, 31.5], [0.0, 40.0, 31.5], [0.0, 0.0, 1.0]]])


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.fixture(scope="module")
def batch(tiny_data):
    """Two samples of 64x64, with the ground truth as pseudo depth."""
    data = SequenceDataset(SceneFolder(tiny_data).training, 64, 64, pseudo_depth=PseudoDepth("depth"))
    return torch.utils.data.default_collate([data[2], data[8]])


def build(version: str, **options):
    torch.manual_seed(1)
    return VERSIONS[version](pretrained="none", **options)


# --- rotation terms (V2) ------------------------------------------------------------------------------------------


def test_pseudo_rotation_decides_pair_by_pair():
    """Mean |r| of the rows: 0.05 is trusted; 0.01 says nothing and 0.2 is nonsense, so both are drawn."""
    predicted = torch.tensor([[0.05, -0.05, 0.05], [0.01, 0.01, -0.01], [0.2, 0.2, 0.2]], requires_grad=True)
    pseudo = pseudo_rotation(predicted, seeded())
    assert not pseudo.requires_grad
    assert torch.equal(pseudo[0], predicted[0])
    assert (pseudo[1:].abs() <= 0.05).all() and (pseudo[1:] != predicted[1:]).all()
    assert torch.equal(pseudo, pseudo_rotation(predicted, seeded()))
    together = pseudo_rotation(predicted, seeded(), reference_numerics=True)  # mean 0.087: all are trusted
    assert torch.equal(together, predicted)


def test_drawn_rotations_are_uniform():
    drawn = pseudo_rotation(torch.zeros(4000, 3), seeded())
    assert drawn.abs().max() <= 0.05 and drawn.abs().max() > 0.0499
    assert drawn.mean().item() == pytest.approx(0, abs=0.001)
    assert drawn.std().item() == pytest.approx(0.1 / math.sqrt(12), rel=0.02)


def test_rotation_terms_by_hand():
    found, pseudo = torch.tensor([[0.1, 0.0, -0.1]]), torch.tensor([[0.05, 0.05, -0.1]])
    assert rotation_consistency_loss(found, pseudo).item() == pytest.approx(0.1 / 3)
    before, after = torch.tensor([[0.09, 0.0, -0.03]], requires_grad=True), torch.tensor([[0.01, -0.01, 0.01]])
    after.requires_grad_()
    loss = rotation_triplet_loss(before, after)  # -0.03, 0.06 and 0.03, cut off at 0
    assert loss.item() == pytest.approx(0.03)
    loss.backward()
    assert torch.allclose(before.grad, torch.tensor([[0.0, 0.0, 1 / 3]]))  # at 0 it has no direction
    assert torch.allclose(after.grad, torch.tensor([[0.0, -1 / 3, 1 / 3]]))


def angles_of(R):
    """(B, 3) about x, y, z of rotations Rx Ry Rz."""
    return torch.stack(
        [torch.atan2(-R[:, 1, 2], R[:, 2, 2]), R[:, 0, 2].asin(), torch.atan2(-R[:, 0, 1], R[:, 0, 0])], 1
    )


def test_a_turned_source_is_so_much_less_turned():
    """r^-1 f(t, s) is what is left: none for a network that is right, half of the drawn angle for one that halves."""
    before, drawn = torch.tensor([[0.05, -0.02, 0.08]]), torch.tensor([[-0.04, 0.07, 0.03]])
    right = angles_of(euler_to_matrix(drawn).transpose(1, 2) @ euler_to_matrix(before))
    assert rotation_equivariance_loss(before, right, drawn).item() == pytest.approx(0, abs=1e-7)
    about_x = torch.tensor([[0.06, 0.0, 0.0]])
    assert rotation_equivariance_loss(about_x / 2, torch.zeros(1, 3), about_x).item() == pytest.approx(
        math.sin(0.03) / 3, rel=1e-5
    )


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
def test_a_network_that_calls_rotations_small_is_pulled_back(share):
    """It says `share` of every rotation between two views; each term that sees two views makes it say more."""
    true, drawn = 0.05 * torch.randn(16, 3, generator=seeded()), drawn_rotation(16, 0.1, seeded(1))
    for term in (
        lambda k: rotation_triplet_loss(k * true, k * (true - k * true)),
        lambda k: rotation_equivariance_loss(k * true, k * (true - drawn), drawn),
    ):
        said = torch.tensor(share, requires_grad=True)
        term(said).backward()
        assert said.grad < 0


def test_warps_compose_as_the_equivariance_term_says():
    """The source turned by r, and then by r^-1 M, is the source turned by M."""
    u, v = torch.meshgrid(torch.arange(96.0), torch.arange(64.0), indexing="xy")
    source = torch.stack([torch.sin(u / 9) * torch.cos(v / 7), torch.sin(u / 13 + v / 11)])[None]
    K = torch.tensor([[[80.0, 0, 47.5], [0, 80, 31.5], [0, 0, 1]]])
    M, r = torch.tensor([[0.05, -0.03, 0.06]]), torch.tensor([[-0.04, 0.05, 0.02]])
    once, seen_once = inverse_rotation_warp(source, M, K)
    turned, seen_turned = inverse_rotation_warp(source, r, K)
    left = angles_of(euler_to_matrix(r).transpose(1, 2) @ euler_to_matrix(M))
    twice, seen_twice = inverse_rotation_warp(turned, left, K)
    everything, _ = inverse_rotation_warp(seen_turned.float(), left, K)
    seen = (seen_once & seen_twice & (everything > 0.999)).expand_as(once)
    assert seen.float().mean() > 0.7 and (once - twice)[seen].abs().max() < 0.02


def test_gradients_of_the_rotation_terms():
    r = (0.1 * torch.randn(4, 3, generator=seeded(), dtype=torch.float64)).requires_grad_()
    other = 0.1 * torch.randn(4, 3, generator=seeded(1), dtype=torch.float64)
    assert gradcheck(lambda x: rotation_consistency_loss(x, other), r)
    assert gradcheck(lambda x: rotation_triplet_loss(other, x), r)
    assert gradcheck(lambda x: rotation_triplet_loss(x, other), r)
    third = 0.1 * torch.randn(4, 3, generator=seeded(2), dtype=torch.float64)
    assert gradcheck(lambda x: rotation_equivariance_loss(x, other, third), r)
    assert gradcheck(lambda x: rotation_equivariance_loss(other, x, third), r)


# --- V2 -----------------------------------------------------------------------------------------------------------


def test_v2_without_rotation_is_v1(batch, monkeypatch):
    """A RectifyNet that says nothing leaves the sources as they are, and so the terms of V1."""
    one, two = build("v1").eval(), build("v2").eval()
    two.load_state_dict(one.state_dict(), strict=False)
    monkeypatch.setattr(two.rectify_net, "forward", lambda target, source: 0 * target[:, :3, 0, 0])
    with torch.no_grad():
        expected, found = one.compute_loss(batch), two.compute_loss(batch)
    for name, term in expected.terms.items():
        assert torch.allclose(found.terms[name], term, rtol=1e-3), name
    assert found.terms["rotation_triplet"].item() == pytest.approx(0.05)
    assert found.logged["rotation_before"] == 0
    assert found.pictures["rectified"].shape == (3, 64, 3 * 64)


def test_v2_without_the_term_of_our_own(batch):
    """Weight 0 saves its pass of RectifyNet, too."""
    for weight in (0.0, 1.0):
        model = build("v2", weights=V2Weights(rotation_equivariance=weight), encoder="mobilenet_v3_small")
        assert ("rotation_equivariance" in model.compute_loss(batch).terms) == (weight > 0)


def test_v2_undoes_a_known_rotation(batch, monkeypatch):
    """Sources that are the target, turned: with the true rotations, the rectified sources are the target again."""
    model = build("v2").eval()
    target = batch["images"][:, 0].float()
    K = batch["K"]
    true = torch.tensor([[0.03, -0.04, 0.05]]).repeat(2, 1)
    (turned, _), _ = model.turn([target, target], [-true, -true], K)  # small angles: nearly the inverse
    frames = [target, turned, turned]
    monkeypatch.setattr(model.rectify_net, "forward", lambda a, b: true.repeat(len(a) // 2, 1))
    rectified = model.rectify(frames, K)
    inner = rectified.seen[1] & (torch.nn.functional.avg_pool2d(rectified.seen[1].float(), 9, 1, 4) > 0.999)
    error = (rectified.frames[1] - target).abs().mean(1, keepdim=True)[inner].mean()
    before = (turned - target).abs().mean(1, keepdim=True)[inner].mean()
    assert inner.float().mean() > 0.5 and error < 0.4 * before
    left = rotation_angle(euler_to_matrix(true[0]) @ euler_to_matrix(-true[0]))
    assert left < 0.004  # what the two orders of the angles differ by


def test_the_photometric_error_finds_the_rotation_between_two_views():
    """Two rendered views of a room that differ by a pure rotation: what RectifyNet is asked for, found without it."""
    camera, scene = pinhole_camera(96, 64, 65.0), make_scene(3, "room")
    pose = make_path(scene, 0, 2)[0]
    true = torch.tensor([[0.04, -0.06, 0.03]])
    turned = pose.copy()
    turned[:3, :3] = pose[:3, :3] @ euler_to_matrix(true)[0].numpy().T  # X_source = R X_target
    renderer = Renderer(scene, camera)
    target, source = (
        normalize(torch.from_numpy(renderer.render(p)[0].transpose(2, 0, 1).copy()))[None] for p in (pose, turned)
    )
    intrinsics = torch.from_numpy(camera.K).float()[None]
    angles = torch.zeros(1, 3, requires_grad=True)
    optimizer = torch.optim.Adam([angles], lr=0.01)
    for step in range(80):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / 80)
        warped, seen = inverse_rotation_warp(source, angles, intrinsics)
        loss = masked_mean(photometric_error(target, warped), seen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    left = rotation_angle(euler_to_matrix(angles.detach()[0]) @ euler_to_matrix(true[0]).T)
    assert math.degrees(left) < 0.3


def test_what_a_rotation_left_empty_is_not_valid(batch, monkeypatch):
    model = build("v2").eval()
    half_turned = torch.tensor([[0.0, 0.4, 0.0]])
    monkeypatch.setattr(model.rectify_net, "forward", lambda a, b: half_turned.repeat(len(a), 1))
    monkeypatch.setattr(model.pose_net, "forward", lambda a, b: torch.zeros(len(a), 6))
    frames = model.frames_of(batch)
    with torch.no_grad():
        rectified = model.rectify(frames, batch["K"])
        options = type(model.options)(auto_mask=False)
        views = model.synthesize(rectified.frames, batch["K"], options, rectified.seen)
    empty = ~rectified.seen[1]
    assert 0.1 < empty.float().mean() < 0.9
    for pair in views.pairs:  # no motion: a pixel sees its own place in the other frame
        assert not (pair.valid & empty).any() and (pair.valid == ~empty).float().mean() > 0.95


def test_empty_corners_are_filled_from_another_sample():
    frames = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    seen = torch.tensor([[True, False], [True, True]]).expand(3, 1, 2, 2)
    filled = fill_unseen(frames * seen, seen, frames)
    assert filled[:, 0].tolist() == [[[0, 2], [0, 0]], [[1, 0], [1, 1]], [[2, 1], [2, 2]]]


@pytest.mark.parametrize("fill", [fill_unseen, lambda turned, seen, frames: _filled(turned, seen.float(), frames)])
def test_empty_corners_of_a_lone_sample_are_filled_from_its_mirror_image(fill):
    frame = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    seen = torch.tensor([[[[True, True, False], [False, True, True]]]])
    filled = fill(10 * frame * seen, seen, frame)
    assert filled.tolist() == [[[[10, 20, 1], [6, 50, 60]]]]


def test_rectify_net_learns_alone_at_first(batch, monkeypatch):
    """Each frame beside itself, turned by up to 0.1 radians; nothing else is asked, and nothing else learns."""
    model = build("v2", rectify_warmup_steps=1, encoder="mobilenet_v3_small", decoder="half")
    asked = []
    monkeypatch.setattr(model, "turn", lambda *given: asked.append(given) or SCDepthV2.turn(model, *given))
    loss = model.compute_loss(batch)
    loss.total.backward()
    ((frames,), (true,), K), *others = asked
    assert not others and frames.shape == (6, 3, 64, 64) and K.shape == (6, 3, 3)
    assert 0.05 < true.abs().max() <= 0.1 and loss.terms.keys() == {"rotation_consistency"}
    assert loss.total == loss.terms["rotation_consistency"] and 0 < loss.logged["rotation_error"] < 30
    assert all(p.grad is not None for p in model.rectify_net.parameters() if p.requires_grad)
    assert all(p.grad is None for network in (model.depth_net, model.pose_net) for p in network.parameters())
    monkeypatch.setattr(SCDepthV2, "global_step", 1)
    assert "photometric" in model.compute_loss(batch).terms


def test_rectify_net_alone_on_several_devices_needs_another_strategy(tmp_path):
    """DDP of one process stands for that of many."""
    model = build("v2", rectify_warmup_steps=1, encoder="mobilenet_v3_small", decoder="half")
    torch.distributed.init_process_group("gloo", f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    try:
        for unused in (False, True):
            wrapped = DistributedDataParallel(nn.Linear(1, 1), find_unused_parameters=unused)
            model._trainer = SimpleNamespace(strategy=SimpleNamespace(model=wrapped), lr_scheduler_configs=[])
            with nullcontext() if unused else pytest.raises(ConfigError, match="ddp_find_unused_parameters_true"):
                model.on_train_start()
    finally:
        torch.distributed.destroy_process_group()


# --- ranking (V3) -------------------------------------------------------------------------------------------------


def test_dynamic_pairs_join_the_least_consistent_with_the_others():
    consistency = torch.rand(2, 1000, generator=seeded())
    dynamic, reliable = dynamic_pairs(consistency, seeded(1))
    assert dynamic.shape == reliable.shape == (2, 200)
    for row in range(2):
        limit = consistency[row].sort().values[199]
        assert (consistency[row][dynamic[row]] <= limit).all() and (consistency[row][reliable[row]] > limit).all()
        assert len(dynamic[row].unique()) == 200 and len(reliable[row].unique()) > 100


def test_random_pairs_are_no_neighbours():
    a, b = random_pairs(torch.zeros(3, 10_000), 0.1, seeded())
    assert a.shape == (3, 1000)
    assert (a - b).abs().float().mean().item() == pytest.approx(10_000 / 3, rel=0.05)
    assert not torch.equal(a[0], a[1])


def test_ranking_by_hand():
    """Two depths, 1 and 2 units: each pair across is in order or out of it by one unit."""
    pseudo = torch.ones(1, 1, 20, 20)
    pseudo[..., 10:] = 2.0
    consistency = torch.ones(1, 1, 20, 20)
    consistency[..., :4] = 0.0  # a fifth, all of it near
    for depth, z in ((pseudo, 1.0), (3 - pseudo, -1.0)):
        loss = dynamic_ranking_loss(depth, pseudo, consistency, seeded())
        assert loss.item() == pytest.approx(math.log1p(math.exp(-z)), rel=1e-5)
    scaled = dynamic_ranking_loss(pseudo, 70 * pseudo, consistency, seeded())
    assert scaled.item() == pytest.approx(math.log1p(math.exp(-1)), rel=1e-5)


@pytest.mark.parametrize("pseudo", [torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)], ids=["flat", "unknown"])
def test_ranking_without_a_pair_is_zero_with_a_gradient(pseudo):
    depth = torch.rand(1, 1, 16, 16, generator=seeded()).requires_grad_()
    loss = dynamic_ranking_loss(depth, pseudo, torch.rand(1, 1, 16, 16), seeded())
    loss.backward()
    assert loss == 0 and (depth.grad == 0).all()


def test_ranking_of_far_apart_depths_is_finite():
    depth = torch.tensor([0.1, 1e4]).repeat(50).reshape(1, 1, 10, 10).requires_grad_()
    loss = dynamic_ranking_loss(depth, 1 / depth.detach(), torch.rand(1, 1, 10, 10), seeded())
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(depth.grad).all()


# --- normals (V3) -------------------------------------------------------------------------------------------------


def roof(slope: float) -> torch.Tensor:
    """Depth (1, 1, 64, 64) of two planes that meet in the middle column, z = 2 + slope |x|, below something far away.

    The step to what is far is the steepest of the image, so that the planes themselves are no edges.
    """
    u = (torch.arange(64.0) - 31.5) / 40
    depth = (2 / (1 - slope * u.abs())).repeat(1, 1, 64, 1)
    depth[..., :3, :] = 30.0
    return depth


def roof_image() -> torch.Tensor:
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 1.0
    return image


def test_normal_ranking_of_two_planes_by_hand():
    """Pairs across the ridge have n.n* = cos of the angle between the planes, the others 1."""
    normals, flat = surface_normals(roof(0.6), K), surface_normals(torch.full((1, 1, 64, 64), 2.0), K)
    angle = 2 * math.atan(0.6)
    loss = normal_ranking_loss(flat, normals, roof(0.6), roof_image(), seeded())
    assert loss.item() == pytest.approx((1 - math.cos(angle)) / 3, rel=1e-3)  # of three pairs, the middle one crosses
    assert normal_ranking_loss(normals, normals, roof(0.6), roof_image(), seeded()) == 0
    turned_over = normal_ranking_loss(-normals, normals, roof(0.6), roof_image(), seeded())
    assert turned_over.item() == pytest.approx(0, abs=1e-6)


def test_normal_ranking_without_edges_is_zero_with_a_gradient():
    flat = torch.full((2, 1, 64, 64), 2.0)
    normals = surface_normals(flat, K).requires_grad_()
    loss = normal_ranking_loss(normals, normals.detach(), flat, torch.zeros(2, 3, 64, 64), seeded())
    loss.backward()
    assert loss == 0 and (normals.grad == 0).all()


def walls(near: float, far: float, sky: float | None = None, hole: bool = False) -> torch.Tensor:
    """Depth (1, 1, 64, 64) of two walls that meet in the middle column."""
    depth = torch.full((1, 1, 64, 64), near)
    depth[..., 32:] = far
    if sky:
        depth[..., :4, :] = sky
    if hole:
        depth[..., 20:22, 10:12] = 0.0
    return depth


def facing(images: int = 1) -> torch.Tensor:
    """Normals (B, 3, 64, 64) of walls that face the camera."""
    return torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).repeat(images, 1, 64, 64)


def test_normal_ranking_leaves_depth_edges_out():
    """The only edge of the images is one of depth, where nothing may be compared: what else is in them changes none.

    A tenth of a doubling is a factor of 2 ** 0.1 = 1.072.
    """
    cases = [
        walls(2.0, 4.0),
        walls(2.0, 4.0, sky=100.0),
        walls(2.0, 2.0 * 1.08, sky=200.0),
        walls(9.0, 8.5),
        walls(9.0, 8.5, hole=True),
        walls(9e-9, 8.5e-9, hole=True),
        walls(2.0, 4.0, sky=100.0, hole=True),
    ]
    normals = torch.randn(len(cases), 3, 64, 64, generator=seeded())
    images = roof_image().repeat(len(cases), 1, 1, 1)
    assert normal_ranking_loss(normals, facing(len(cases)), torch.cat(cases), images, seeded()) == 0
    slight = walls(2.0, 2.0 * 1.06, sky=200.0)
    assert normal_ranking_loss(normals[:1], facing(), slight, roof_image(), seeded()) > 0.1


def test_holes_of_the_pseudo_depth_neither_make_nor_hide_a_bend():
    """A bend of 0.1 rad in the middle and normals of nothing at a hole, out of reach of the points across the bend."""
    depth, normals = walls(2.0, 2.0), facing()
    normals[..., 32:] = torch.tensor([math.sin(0.1), 0.0, math.cos(0.1)]).view(3, 1, 1)
    depth[..., 30:32, 56:58] = 0.0
    normals[..., 29:33, 55:59] = torch.tensor([-1.0, 0.0, 0.0]).view(3, 1, 1)
    loss = normal_ranking_loss(facing(), normals, depth, torch.zeros(1, 3, 64, 64), seeded())
    assert loss.item() == pytest.approx((1 - math.cos(0.1)) / 3, rel=1e-4)  # of three pairs, the middle one crosses


def test_normal_ranking_of_an_unknown_pseudo_depth_is_zero_with_a_gradient():
    depth = torch.cat([torch.zeros(1, 1, 64, 64), walls(2.0, 4.0)])
    normals = torch.randn(2, 3, 64, 64, generator=seeded()).requires_grad_()
    loss = normal_ranking_loss(normals, facing(2), depth, roof_image().repeat(2, 1, 1, 1), seeded())
    loss.backward()
    assert loss == 0 and (normals.grad == 0).all()


def test_normals_next_to_the_unknown_do_not_count():
    depth = torch.full((1, 1, 8, 8), 2.0)
    depth[0, 0, 4, 4] = 0.0
    known = normals_known(depth)
    assert known.sum() == 64 - 9 and not known[0, 0, 3:6, 3:6].any()
    one, other = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    other[0, :, 3:6, 3:6] = 1.0
    assert normal_matching_loss(one, other, known) == 0
    assert normal_matching_loss(one, other).item() == pytest.approx(9 / 64)


def test_gradients_of_the_pseudo_depth_terms():
    depth = (1 + torch.rand(1, 1, 48, 48, generator=seeded(), dtype=torch.float64)).requires_grad_()
    pseudo = 1 + torch.rand(1, 1, 48, 48, generator=seeded(1), dtype=torch.float64)
    consistency, image = torch.rand(1, 1, 48, 48, dtype=torch.float64), torch.rand(1, 3, 48, 48, dtype=torch.float64)
    k = K.double()

    def terms(z):
        rays = z[..., :2, :2]  # a corner is enough to differentiate
        whole = torch.cat([torch.cat([rays, depth.detach()[..., :2, 2:]], 3), depth.detach()[..., 2:, :]], 2)
        normals, theirs = surface_normals(whole, k), surface_normals(pseudo, k)
        return dynamic_ranking_loss(whole, pseudo, consistency, seeded()) + normal_ranking_loss(
            normals, theirs, pseudo, image, seeded()
        )

    assert gradcheck(terms, depth.detach()[..., :2, :2].clone().requires_grad_())


# --- pseudo depth on disk -----------------------------------------------------------------------------------------


def test_pseudo_depth_moves_with_the_images(tiny_data):
    """Under one augmentation, pseudo depth read from the ground truth stays where the picture's content is."""
    scenes = SceneFolder(tiny_data).training
    plain = SequenceDataset(scenes, 64, 80, pseudo_depth=PseudoDepth("depth"))
    truth = PseudoDepth().to_depth(read_depth(scenes[0].depths[3], 1.0))
    assert np.allclose(plain[2]["pseudo_depth"][0], truth)
    mirrored = SequenceDataset(scenes, 64, 80, augmentation=Augmentation(1.0, 1.0), pseudo_depth=PseudoDepth("depth"))
    assert np.allclose(mirrored[0, 2]["pseudo_depth"][0], truth[:, ::-1], atol=1e-2 * truth.max())
    zoomed = SequenceDataset(scenes, 64, 80, augmentation=Augmentation(0.0, 2.0), pseudo_depth=PseudoDepth("depth"))
    sample = zoomed[0, 2]
    assert sample["K"][0, 0] / plain[2]["K"][0, 0] > 1.01
    v, u = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)]).flatten(1)
    there = plain[2]["K"] @ torch.linalg.inv(sample["K"]) @ pixels  # the same rays in the plain image
    x, y, _ = there.round().long()
    ratio = sample["pseudo_depth"].flatten() / torch.from_numpy(truth)[y, x]  # constant: each image has its own median
    assert ((ratio / ratio.median() - 1).abs() < 0.03).float().mean() > 0.95


def test_inverse_pseudo_depth_of_another_size_becomes_depth(own_data):
    scene = SceneFolder(own_data).training[0]
    folder = own_data / "elsewhere" / scene.name
    folder.mkdir(parents=True)
    for image in scene.images:
        disparity = np.full((128, 160), 8.0, np.float32)
        disparity[:, 80:] = 2.0
        disparity[:64, 80:] = 1e-6  # the sky
        np.save(folder / f"{image.stem}.npy", disparity)
    data = SequenceDataset([scene], 64, 80, pseudo_depth=PseudoDepth(str(folder.parent), "inverse"))
    depth = data[0]["pseudo_depth"][0]
    assert depth.shape == (64, 80) and depth.dtype == torch.float32
    assert (depth[40, 10] / 1, depth[40, 70], depth[10, 70]) == (1.0, 4.0, 100.0)


def test_unknown_pseudo_depth_does_not_leak_into_its_neighbours(own_data):
    scene = SceneFolder(own_data).training[0]
    folder = own_data / "training" / scene.name / "pseudo_depth"
    folder.mkdir()
    for image in scene.images:
        stored = np.full((64, 80), 500, np.uint16)
        stored[20:30, 20:30] = 0
        cv2.imwrite(str(folder / f"{image.stem}.png"), stored)
    depth = SequenceDataset([scene], 96, 128, augmentation=Augmentation(), pseudo_depth=PseudoDepth())[0, 3]
    assert set(depth["pseudo_depth"].unique().tolist()) == {0.0, 1.0}


def test_relative_pseudo_depth_is_in_units_of_its_median():
    stored = np.array([[4.0, 0.0, 1.0], [np.nan, 2.0, 8.0]])
    for scale in (1e-300, 1e-5, 1.0, 3e38, 1e300):
        depth = PseudoDepth().to_depth(stored * scale)
        assert depth.dtype == np.float32 and np.allclose(depth, [[1, 0, 0.25], [0, 0.5, 2]], rtol=1e-6, atol=0)
    for nothing in (np.zeros((2, 2), np.float32), np.full((2, 2), np.nan, np.float32)):
        assert (PseudoDepth().to_depth(nothing) == 0).all()


@pytest.mark.parametrize("scale", [1e-5, 1e-4, 1e3, 1e25])
def test_the_unit_of_relative_pseudo_depth_says_nothing(scale):
    shape = roof(0.6)
    shape[..., 40:42, 50:52] = 0.0
    read = [torch.from_numpy(PseudoDepth().to_depth((s * shape[0, 0]).numpy()))[None, None] for s in (1.0, scale)]
    one, other = (surface_normals(depth, K) for depth in read)
    assert torch.allclose(one, other, atol=1e-4)
    assert torch.allclose(other.norm(dim=1, keepdim=True)[normals_known(read[1])], torch.tensor(1.0))
    ours = surface_normals(torch.full((1, 1, 64, 64), 2.0), K)
    losses = [normal_ranking_loss(ours, n, d, roof_image(), seeded()).item() for n, d in zip((one, other), read)]
    assert losses[0] > 0.1 and losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_missing_pseudo_depth_is_named(own_data):
    scene = SceneFolder(own_data).training[0]
    with pytest.raises(DataError, match=r"scene 'train_0000' has no pseudo depth .*--samples.pseudo_depth.folder"):
        SequenceDataset([scene], 64, 80, pseudo_depth=PseudoDepth())
    scene.depths[2].unlink()
    with pytest.raises(DataError, match=rf"1 of 8 images have no partner .*'{scene.images[2].name}' needs"):
        SequenceDataset([scene], 64, 80, pseudo_depth=PseudoDepth("depth"))
    with pytest.raises(ConfigError, match="expected relative or inverse"):
        PseudoDepth("depth", "metric")
    np.save(scene.depths[0].with_suffix(".npy"), np.ones((50, 50)))
    with pytest.raises(DataError, match="is 50x50, its frame 80x64, expected the same aspect ratio"):
        PseudoDepth("depth").read(scene.depths[0].with_suffix(".npy"), (64, 80))


# --- every version ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models():
    return {version: build(version, batch_frames=version != "v3") for version in VERSIONS}


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_every_parameter_learns_from_the_sum_of_the_weighted_terms(batch, models, version):
    model = models[version]
    loss = model.compute_loss(batch)
    loss.total.backward()
    idle = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not idle
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert all(".fc." in name or ".dispconvs." in name for name in frozen)
    weights = vars(model.weights)
    assert weights.keys() == loss.terms.keys()
    assert loss.total.item() == pytest.approx(sum(weights[n] * t.item() for n, t in loss.terms.items()), rel=1e-5)


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("kind", ["black", "static", "noise"])
def test_every_loss_and_gradient_is_finite(batch, models, version, kind):
    images = {
        "black": torch.zeros_like(batch["images"]),
        "static": batch["images"][:, :1].expand_as(batch["images"]),
        "noise": torch.randint(0, 256, batch["images"].shape, generator=seeded(), dtype=torch.uint8),
    }[kind]
    pseudo = batch["pseudo_depth"] if kind == "noise" else torch.zeros_like(batch["pseudo_depth"])
    model = models[version]
    model.zero_grad()
    loss = model.compute_loss({"images": images, "K": batch["K"], "pseudo_depth": pseudo})
    loss.total.backward()
    assert all(torch.isfinite(term) for term in (loss.total, *loss.terms.values()))
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_v2_starts_from_v1(models, tmp_path):
    taught, path = models["v1"], tmp_path / "v1.ckpt"
    torch.save({"state_dict": taught.state_dict(), "hyper_parameters": dict(taught.hparams)}, path)
    torch.manual_seed(5)
    model = SCDepthV2(pretrained="none", start=path)
    for name, value in taught.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_the_version_is_asked_for_on_the_line_or_in_the_file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("version: v2\n")
    assert asked_version([]) == "v1"
    assert asked_version(["--config", str(path), "--data", "x", "--model.encoder", "resnet50"]) == "v2"
    assert asked_version(["--config", str(path), "--version", "v3"]) == "v3"
    assert asked_version([f"--config={path}", "--version=v1"]) == "v1"
    with pytest.raises(ConfigError, match="version is 'v4', expected one of v1, v2, v3"):
        asked_version(["--version", "v4"])


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_printed_settings_keep_the_version(tmp_path, capsys, version):
    (tmp_path / "v2.yaml").write_text("version: v2\n")
    options = ["--version", version, "--config", str(tmp_path / "v2.yaml"), "--data", "x"]
    with pytest.raises(SystemExit):
        cli.main(["train", *options, "--print_config=skip_default"])
    (tmp_path / "x.yaml").write_text(capsys.readouterr().out)
    assert asked_version(["--config", str(tmp_path / "x.yaml")]) == version


@pytest.mark.parametrize("text", [b"version: [v1]", b"version: {a: 1}", b"version: 2"])
def test_a_version_that_is_no_word_is_one_sentence(tmp_path, text):
    (tmp_path / "x.yaml").write_bytes(text)
    with pytest.raises(ConfigError, match=r"version is '.*', expected one of v1, v2, v3"):
        asked_version(["--config", str(tmp_path / "x.yaml")])


def test_a_config_of_another_encoding_is_one_sentence(tmp_path, capsys):
    (tmp_path / "x.yaml").write_bytes("# Küche\nversion: v2\n".encode("latin-1"))
    assert cli.main(["train", "--config", str(tmp_path / "x.yaml"), "--data", "x"]) == 1
    said = capsys.readouterr().err
    assert "x.yaml' is not UTF-8 text" in said and said.count("\n") == 1
