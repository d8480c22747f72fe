"""Numbers of the public implementation, reproduced: networks by default, losses under reference_numerics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from deterministic_weights import tensor_for

from scdepth_core.geometry.pose import pose_vec2mat
from scdepth_core.geometry.warping import inverse_rotation_warp, inverse_warp
from scdepth_core.losses import (
    ConsistencyOptions,
    consistency_loss,
    dynamic_mask,
    edge_aware_smoothness,
    normal_matching_loss,
    pair_errors,
    ssim_error,
    surface_normals,
    view_synthesis,
)
from scdepth_core.metrics import PROTOCOLS, depth_errors
from scdepth_core.networks import DepthNet, PoseNet, RectifyNet

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-4
worst: dict[str, float] = {}


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(DATA / "reference_open.npz") as archive:
        return {key: torch.from_numpy(np.asarray(archive[key])) for key in archive.files}


def check(name: str, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    error = float((ours.detach() - theirs).abs().max() / theirs.abs().max())
    worst[name] = error
    assert error < TOLERANCE, f"{name}: relative error {error:.2e}"


def filled(network: torch.nn.Module) -> torch.nn.Module:
    state = {k: torch.from_numpy(tensor_for(k, tuple(v.shape))) for k, v in network.state_dict().items()}
    network.load_state_dict(state)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "build", "inputs"),
    [
        ("depth_net_resnet18", lambda: DepthNet("resnet18"), ["tgt_img"]),
        ("depth_net_resnet50", lambda: DepthNet("resnet50"), ["tgt_img"]),
        ("pose_net", PoseNet, ["tgt_img", "ref_img_0"]),
        ("rectify_net", RectifyNet, ["tgt_img", "ref_img_0"]),
    ],
)
def test_networks(golden, name, build, inputs):
    network = build()
    keys = dict(json.loads((DATA / "state_dict_keys.json").read_text())[name])
    assert {k: list(v.shape) for k, v in network.state_dict().items()} == keys
    with torch.no_grad():
        check(f"{name}.out", filled(network)(*(golden[i] for i in inputs)), golden[f"{name}.out"])


def test_geometry(golden):
    T = pose_vec2mat(golden["pose_0"])
    check("pose_vec2mat", T, golden["pose_vec2mat"])
    warp = inverse_warp(
        golden["ref_img_0"],
        golden["depth"],
        golden["ref_depth_0"],
        T,
        golden["intrinsics"],
        reference_numerics=True,
    )
    for key in ("image", "projected_depth", "computed_depth"):
        check(f"inverse_warp.{key}", getattr(warp, key), golden[f"inverse_warp.{key}"])
    rotated, _ = inverse_rotation_warp(golden["ref_img_0"], golden["rotation"], golden["intrinsics"])
    check("inverse_rotation_warp", rotated, golden["inverse_rotation_warp"])


def test_loss_maps(golden):
    images = golden["tgt_img"], golden["ref_img_0"]
    check("ssim_loss_map", ssim_error(*images, reference_numerics=True), golden["ssim_loss_map"])
    exact = ssim_error(*(image.double() for image in images))
    assert (ssim_error(*images) - exact).abs().max() < (golden["ssim_loss_map"] - exact).abs().max()
    check("smooth_loss", edge_aware_smoothness(golden["depth"], golden["tgt_img"]), golden["smooth_loss"])
    warp = inverse_warp(
        golden["ref_img_0"],
        golden["depth"],
        golden["ref_depth_0"],
        pose_vec2mat(golden["pose_0"]),
        golden["intrinsics"],
        reference_numerics=True,
    )
    pair = pair_errors(golden["tgt_img"], golden["ref_img_0"], warp, ConsistencyOptions(reference_numerics=True))
    for key, ours in zip(("photo", "color", "geometry", "valid"), pair):
        check(f"pairwise.{key}", ours.float(), golden[f"pairwise.{key}"])


def pairs_of(golden, options):
    pairs, _ = view_synthesis(
        [golden["tgt_img"], golden["ref_img_0"], golden["ref_img_1"]],
        [golden["depth"], golden["ref_depth_0"], golden["ref_depth_1"]],
        [pose_vec2mat(golden["pose_0"]), pose_vec2mat(golden["pose_1"])],
        [pose_vec2mat(golden["pose_inv_0"]), pose_vec2mat(golden["pose_inv_1"])],
        golden["intrinsics"],
        options,
    )
    return pairs


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("default", {}),
        ("no_ssim", {"ssim_weight": 0.0}),
        ("no_auto_mask", {"auto_mask": False}),
        ("no_dynamic_mask", {"dynamic_mask": False}),
        ("no_min_optimize", {"minimum": False}),
    ],
)
def test_consistency_losses(golden, name, change):
    options = ConsistencyOptions(reference_numerics=True, **change)
    loss = consistency_loss(pairs_of(golden, options), options)
    check(f"photo_loss.{name}", loss.photometric, golden[f"photo_loss.{name}"])
    check(f"geometry_loss.{name}", loss.geometry, golden[f"geometry_loss.{name}"])


def test_v3_maps(golden):
    check(
        "dynamic_mask",
        dynamic_mask(pairs_of(golden, ConsistencyOptions(reference_numerics=True))),
        golden["dynamic_mask"],
    )
    normals = surface_normals(golden["depth"], golden["intrinsics"])
    check("normals", normals, golden["normals"])
    reference = surface_normals(golden["ref_depth_0"], golden["intrinsics"])
    check("normal_matching_loss", normal_matching_loss(normals, reference), golden["normal_matching_loss"])


@pytest.mark.parametrize("name", ["kitti", "nyu", "ddad", "bonn", "tum"])
def test_evaluation_protocols(golden, name):
    errors = depth_errors(
        golden[f"eval.{name}.pred"][0, 0].numpy(), golden[f"eval.{name}.seed_gt"][0].numpy(), PROTOCOLS[name]
    )
    theirs = golden[f"eval.{name}.errors"]
    for value, expected, key in zip(errors.values(), theirs, errors):
        check(f"eval.{name}.{key}", torch.tensor(value), expected)


def test_every_vector_was_checked(golden):
    """Run last: each golden output has been compared, and the summary says how far off the worst one is."""
    inputs = {"tgt_img", "ref_img_0", "ref_img_1", "intrinsics", "depth", "rotation"}
    outputs = {k for k in golden if k not in inputs and not k.startswith(("ref_depth", "pose_0", "pose_1", "pose_inv"))}
    outputs = {k for k in outputs if not k.endswith((".seed_gt", ".pred"))}
    missing = {k for k in outputs if not any(w.startswith(k.removesuffix(".errors")) for w in worst)}
    assert not missing
    name = max(worst, key=worst.get)
    print(f"{len(outputs)} golden vectors, {len(worst)} comparisons, worst relative error {worst[name]:.1e} ({name})")
