"""`scdepth odometry`: a perfect source of motion has no error, files appear whole, misfits are one sentence."""

from __future__ import annotations

import dataclasses
import json
from itertools import count

import numpy as np
import pytest
import torch

from scdepth_core import cli
from scdepth_core.checkpoint import load_networks, save_weights
from scdepth_core.data import SceneFolder
from scdepth_core.data.scene_folder import read_image
from scdepth_core.geometry.camera import scale_intrinsics
from scdepth_core.geometry.pose import euler_to_matrix, pose_vec2mat
from scdepth_core.geometry.trajectory import read_tum
from scdepth_core.geometry.warping import inverse_rotation_warp
from scdepth_core.inference.motion_estimator import MotionEstimator
from scdepth_core.inference.odometry import errors_of, estimate, stamps_of
from scdepth_core.networks import PoseNet, RectifyNet
from scdepth_core.networks.normalization import normalize, resize_for_network


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Lightning's form, with an untrained PoseNet for 64x96 input."""
    torch.manual_seed(0)
    network = PoseNet()
    torch.nn.init.normal_(network.decoder.convs_pose[2].bias, std=5)
    state = {f"pose_net.{name}": value for name, value in network.state_dict().items()}
    path = tmp_path_factory.mktemp("motion") / "last.ckpt"
    torch.save({"state_dict": state, "datamodule_hyper_parameters": {"height": 64, "width": 96}}, path)
    return path


@pytest.fixture
def scene(tiny_data):
    return SceneFolder(tiny_data).validation[0]


def true_motion(scene):
    """Relative motion as the renderer's poses have it, in half metres, whatever the images."""
    poses, index = read_tum(scene.images[0].parent / "poses.txt").poses, count()

    def motion(first, second, K):
        i = next(index)
        transform = np.linalg.inv(poses[i + 1]) @ poses[i]
        transform[:3, 3] /= 0.5
        return transform

    return motion


def test_a_perfect_source_of_motion_has_no_error(scene):
    trajectory = estimate(scene, true_motion(scene))
    errors = errors_of(scene, trajectory)
    assert errors.scale == pytest.approx(0.5, rel=1e-5)
    assert [errors.ate, errors.rpe_translation, errors.rpe_rotation] == pytest.approx([0, 0, 0], abs=1e-5)
    metric = estimate(scene, true_motion(scene), metres_per_unit=0.5)
    assert errors_of(scene, metric).scale == pytest.approx(1, rel=1e-5)
    assert len(trajectory.poses) == len(scene.images) and np.allclose(trajectory.poses[0], np.eye(4))


def test_motion_of_the_network(scene, checkpoint):
    estimator = MotionEstimator.load(checkpoint, "cpu")
    first, second = (read_image(path) for path in scene.images[:2])
    transform = estimator.relative(first, second, scene.K)
    assert np.allclose(transform[:3, :3] @ transform[:3, :3].T, np.eye(3), atol=1e-6)
    assert not np.allclose(transform, np.eye(4), atol=1e-3)
    assert not np.allclose(estimator.relative(second, first, scene.K), transform, atol=1e-8)


def test_v2_takes_the_rotation_out_and_puts_it_back(scene, checkpoint, tmp_path):
    """A RectifyNet with a constant answer: X_source = R X_rectified, and PoseNet sees the rectified source."""
    rectify, angles = RectifyNet(), torch.tensor([0.02, -0.05, 0.03])
    for parameter in rectify.decoder.convs_pose[2].parameters():
        torch.nn.init.zeros_(parameter)
    rectify.decoder.convs_pose[2].bias.data = angles
    saved = torch.load(checkpoint, weights_only=True)
    saved["state_dict"] |= {f"rectify_net.{name}": value for name, value in rectify.state_dict().items()}
    torch.save(saved, tmp_path / "v2.ckpt")
    estimator = MotionEstimator.load(tmp_path / "v2.ckpt", "cpu")
    seen = []
    estimator.pose_net.forward = lambda target, source: seen.append(source) or torch.full((1, 6), 0.1)
    image = read_image(scene.images[0])
    transform = estimator.relative(image, image, scene.K)
    expected = euler_to_matrix(angles.double()) @ pose_vec2mat(torch.full((6,), 0.1).double())
    assert np.allclose(transform[:3], expected, atol=1e-6)
    plain = normalize(torch.from_numpy(resize_for_network(image, 96, 64)).permute(2, 0, 1)[None].contiguous())
    scaled = torch.from_numpy(scale_intrinsics(scene.K, 96 / 80, 64 / 64))[None]
    assert torch.allclose(seen[0], inverse_rotation_warp(plain, angles[None], scaled)[0], atol=1e-5)


def test_the_command(tiny_data, checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--weights", str(checkpoint), "--out", str(out), "--device", "cpu"]
    assert cli.main(["odometry", str(tiny_data), *options, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["alignment"].startswith("similarity") and [s["scene"] for s in said["scenes"]] == ["val_0000"]
    assert said["scenes"][0]["errors"]["ate"] > 0 and said["scenes"][0]["errors"]["kitti_t"] is None
    assert sorted(path.name for path in out.iterdir()) == ["val_0000.kitti.txt", "val_0000.tum.txt"]
    written = read_tum(out / "val_0000.tum.txt")
    truth = read_tum(tiny_data / "training" / "val_0000" / "poses.txt")
    assert written.stamps == truth.stamps
    assert cli.main(["odometry", str(tiny_data), *options, "--split", "train", "--scene", "train_0001"]) == 0
    said = capsys.readouterr().out
    assert "| train_0001 | 8 | " in said and "| - | - |" in said and "7 degrees of freedom" in said


def test_the_weights_own_scale_counts_unless_another_is_given(
    tiny_data, untrained_weights, checkpoint, tmp_path, capsys
):
    """As in predict; the alignment's scale is that of what was written, so that 1 is right."""
    networks, metadata = load_networks(checkpoint)
    depth = load_networks(untrained_weights)[0]["DepthNet"]
    motion = {"PoseNet": networks["PoseNet"]}
    written, scales = {}, {}
    for name, own, options in [("none", None, ()), ("own", 4.0, ()), ("given", 4.0, ("--metres-per-unit", "2"))]:
        weights, out = tmp_path / f"{name}.safetensors", tmp_path / name
        save_weights(weights, depth, dataclasses.replace(metadata, metres_per_unit=own), torch.float32, motion)
        command = [
            "odometry",
            str(tiny_data),
            "--weights",
            str(weights),
            "--out",
            str(out),
            "--device",
            "cpu",
            *options,
        ]
        assert cli.main([*command, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        written[name] = said["unit"], said["metres_per_unit"], read_tum(out / "val_0000.tum.txt").poses[-1, :3, 3]
        scales[name] = said["scenes"][0]["errors"]["scale"]
        assert cli.main(command) == 0
        words = capsys.readouterr().out
        assert ("in metres, at" in words) == (own is not None)
        assert ("in network units: scale is metres a unit" in words) == (own is None)
    assert [entry[:2] for entry in written.values()] == [("network units", None), ("metres", 4.0), ("metres", 2.0)]
    assert np.allclose(written["own"][2], 4 * written["none"][2], rtol=1e-4, atol=1e-6)
    assert np.allclose(written["given"][2], 2 * written["none"][2], rtol=1e-4, atol=1e-6)
    assert scales["none"] == pytest.approx(4 * scales["own"], rel=1e-3) == pytest.approx(2 * scales["given"], rel=1e-3)


def test_without_poses_and_stamps(own_data, checkpoint, tmp_path, capsys):
    folder = own_data / "training" / "val_0000"
    (folder / "poses.txt").unlink()
    (folder / "timestamps.txt").unlink()
    options = ["--checkpoint", str(checkpoint), "--out", str(tmp_path / "out"), "--device", "cpu", "--json"]
    assert cli.main(["odometry", str(own_data), *options]) == 0
    assert json.loads(capsys.readouterr().out)["scenes"][0]["errors"] is None
    assert stamps_of(SceneFolder(own_data).validation[0]) == [str(index) for index in range(8)]


def test_a_camera_that_stood_still_does_not_end_the_others(own_data, checkpoint, tmp_path, capsys):
    path = own_data / "training" / "train_0000" / "poses.txt"
    first = path.read_text().splitlines()[0].split(" ", 1)[1]
    path.write_text("".join(f"{index} {first}\n" for index in range(8)))
    options = ["--checkpoint", str(checkpoint), "--out", str(tmp_path / "out"), "--device", "cpu", "--split", "train"]
    assert cli.main(["odometry", str(own_data), *options]) == 0
    said = capsys.readouterr().out
    assert "train_0000 has no errors: a camera that stood still cannot be aligned" in said
    assert "| train_0000 | 8 | - |" in said and "| train_0001 | 8 | - |" not in said
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_public_pose_checkpoints(checkpoint, tmp_path):
    """SC-SfMLearner keeps PoseNet in a file of its own, its decoder as a numbered list."""
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    layers = {"conv_squeeze": 0, "convs_pose.0": 1, "convs_pose.1": 2, "convs_pose.2": 3}
    renamed = {}
    for name, value in state.items():
        name = name.removeprefix("pose_net.")
        for ours, number in layers.items():
            name = name.replace(f"decoder.{ours}.", f"decoder.net.{number}.")
        renamed[name] = value
    torch.save({"epoch": 3, "state_dict": renamed}, tmp_path / "exp_pose_model_best.pth.tar")
    estimator = MotionEstimator.load(tmp_path / "exp_pose_model_best.pth.tar", "cpu")
    for name, value in estimator.pose_net.state_dict().items():
        if not name.startswith("encoder.encoder.fc"):
            assert torch.equal(value, state[f"pose_net.{name}"])
    assert (estimator.metadata.height, estimator.metadata.width) == (256, 832)


@pytest.mark.parametrize(
    ("spoil", "options", "words"),
    [
        (lambda d: None, ("--scene", "nobody"), "scene 'nobody' is not in val.txt, expected one of val_0000"),
        (lambda d: None, ("--metres-per-unit", "0"), "--metres-per-unit is 0"),
        (lambda d: None, ("--out", __file__), "which is a file – expected a folder"),
        (lambda d: (d / "poses.txt").write_text("0 0 0 0 0 0 0 1\n"), (), "has 1 entries for 8 frames"),
        (lambda d: (d / "timestamps.txt").write_text("1 2 3 4 x 6 7 8"), (), "timestamps.txt' has stamp 'x' after 4"),
        (lambda d: (d / "timestamps.txt").write_text("1 2 3 3 5 6 7 8"), (), "timestamps.txt' has stamp '3' after 3"),
        (
            lambda d: (d / "timestamps.txt").write_text("1 2 nan 3 4 5 6 7"),
            (),
            "timestamps.txt' has stamp 'nan' after 2",
        ),
        (lambda d: (d / "timestamps.txt").write_text("1.0\n"), (), "timestamps.txt' has 1 entries for 8 frames"),
        (lambda d: (d / "timestamps.txt").write_text("1.0\n", "utf-16"), (), "timestamps.txt' is not UTF-8 text"),
        (lambda d: None, ("--checkpoint", "nowhere.ckpt"), "nowhere.ckpt' do not exist"),
    ],
)
def test_refusals(own_data, checkpoint, tmp_path, capsys, spoil, options, words):
    spoil(own_data / "training" / "val_0000")
    given = ["--checkpoint", str(checkpoint), "--out", str(tmp_path / "out"), "--device", "cpu", *options]
    assert cli.main(["odometry", str(own_data), *given]) == 1
    assert words in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()  # said before any work


def test_inference_files_have_no_motion(own_data, untrained_weights, tmp_path, capsys):
    options = ["--checkpoint", str(untrained_weights), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert cli.main(["odometry", str(own_data), *options]) == 1
    assert "holds DepthNet, but no PoseNet – give a training checkpoint" in capsys.readouterr().err
