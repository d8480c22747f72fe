"""Depth that the frame before contradicts: planes and motions in closed form, and frames that cannot be compared."""

import json
import re
from types import SimpleNamespace
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from scdepth_core import cli
from scdepth_core.checkpoint import STARTER_WEIGHTS, load_networks, load_weights
from scdepth_core.errors import CheckpointError, ConfigError
from scdepth_core.geometry.camera import Camera
from scdepth_core.inference import temporal
from scdepth_core.inference.backends.libraries import is_installed
from scdepth_core.inference.convert import ENTRY, describe
from scdepth_core.inference.exported_file import open_source
from scdepth_core.inference.motion_estimator import MotionEstimator
from scdepth_core.inference.pipeline import FramePipeline
from scdepth_core.inference.temporal import TemporalConsistency, inconsistency, refuse_another_training
from scdepth_core.network_fingerprint import network_fingerprint
from scdepth_core.networks import DepthNet, PoseNet, RectifyNet

WIDTH, HEIGHT = 96, 64
K = np.array([[80.0, 0, 47.5], [0, 80.0, 31.5], [0, 0, 1]])
CAMERA = Camera(WIDTH, HEIGHT, K)
FORWARD = np.eye(4)
FORWARD[2, 3] = 0.5  # points of this frame lay half a unit further before
SECOND = 10**9
PICTURES = np.random.default_rng(0).integers(0, 256, (9, HEIGHT, WIDTH, 3), np.uint8)
BLOCK = np.s_[20:30, 40:50]


class Motion:
    """Says the same motion whatever it sees, and counts how often it is asked."""

    metadata = SimpleNamespace(width=WIDTH, height=HEIGHT)

    def __init__(self, motion=FORWARD):
        self.motion, self.asked = motion, 0

    def relative(self, first, second, K):
        self.asked += 1
        return self.motion


def wall(distance):
    return np.full((HEIGHT, WIDTH), distance, np.float32)


# |D_a - D_b| / (D_a + D_b)


def test_a_wall_that_comes_nearer_is_no_contradiction():
    difference, seen = inconsistency(wall(3.5), wall(4), FORWARD, K)
    assert seen.all() and difference.max() < 1e-6
    difference, seen = inconsistency(wall(3.5), wall(5), FORWARD, K)
    np.testing.assert_allclose(difference, 1 / 9, rtol=1e-5)


def test_what_the_last_frame_did_not_see_says_nothing():
    """Half a unit back, at 4 units, the edge of this view is at 4 / 3.5 of its place: outside for a backward motion."""
    backward = np.linalg.inv(FORWARD)
    difference, seen = inconsistency(wall(4), wall(7), backward, K)
    columns = np.arange(WIDTH)
    inside = np.abs(columns - 47.5) * 4 / 3.5 <= 47.5
    assert np.array_equal(seen[31], inside)
    np.testing.assert_allclose(difference[31], np.where(inside, 1 / 3, 0), rtol=1e-5)
    assert not inconsistency(wall(0.4), wall(4), backward, K)[1].any()  # behind the camera
    assert not inconsistency(wall(np.nan), wall(4), FORWARD, K)[1].any()


def test_a_turn_moves_pixels_and_keeps_distances():
    """On a sphere around the camera a rotation changes no distance, so that depth follows from the ray alone."""
    turn = np.eye(4)
    turn[:3, :3] = cv2.Rodrigues(np.array([0.02, 0.05, -0.1]))[0]
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(K).T
    sphere = (5 / np.linalg.norm(rays, axis=-1)).astype(np.float32)
    difference, seen = inconsistency(sphere, sphere, turn, K)
    assert seen.mean() > 0.8 and difference.max() < 1e-4


# Frames one after the other


def test_contradicted_depth_becomes_invalid_and_the_first_frame_is_kept():
    now = wall(3.5)
    now[BLOCK] = 7  # this part is predicted wrong
    depths = [wall(4), now]
    estimator = SimpleNamespace(metadata=SimpleNamespace(metres_per_unit=3.0), predict=lambda rgb: depths.pop(0).copy())
    motion = Motion()
    pipeline = FramePipeline(estimator, TemporalConsistency(motion, 0.1))
    assert np.isfinite(pipeline.process(PICTURES[0], CAMERA, stamp_ns=0).depth).all() and motion.asked == 0
    result = pipeline.process(PICTURES[1], CAMERA, stamp_ns=SECOND // 10)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[BLOCK] = True
    assert np.array_equal(np.isnan(result.depth), expected) and "temporal" in result.timings
    assert result.depth[0, 0] == pytest.approx(10.5)


def test_without_it_nothing_is_asked():
    estimator = SimpleNamespace(metadata=SimpleNamespace(metres_per_unit=3.0), predict=lambda rgb: wall(4))
    assert "temporal" not in FramePipeline(estimator).process(PICTURES[0], CAMERA).timings


def after(consistency, *frames):
    """What is said of the last of these frames: (picture, depth, K, stamp)."""
    for rgb, depth, K_, stamp in frames:
        said = consistency.contradicted(rgb, depth, K_, stamp)
    return said


def test_frames_that_cannot_be_compared_are_kept():
    one, wrong = wall(4), wall(3.5)
    wrong[BLOCK] = 7
    frame = (PICTURES[0], one, K, SECOND)

    def said(*frames):
        return after(TemporalConsistency(Motion(), 0.1), *frames)

    assert said(frame, (PICTURES[1], wrong, K, SECOND + 1))[BLOCK].all()
    assert said(frame, (PICTURES[1], wrong, K, SECOND // 2)) is None  # the clock went back
    assert said(frame, (PICTURES[1], wrong, K, SECOND)) is None  # the same frame again
    assert said(frame, (PICTURES[1], wrong, K, 3 * SECOND)) is None  # a pause
    assert said(frame, (PICTURES[0], wrong, K, SECOND + 1)) is None  # nothing moves
    assert said(frame, (PICTURES[1], wrong, 2 * K, SECOND + 1)) is None  # another camera
    small = tuple(np.ascontiguousarray(image[::2, ::2]) for image in (PICTURES[1], wrong))
    assert said(frame, (*small, K, SECOND + 1)) is None  # another size
    assert said(frame, (PICTURES[1], wrong, None, 1), (PICTURES[2], wrong, K, 2)) is None  # no camera in between
    assert said(frame, (PICTURES[1], wall(9), K, SECOND + 1)) is None  # all of it: then the motion is wrong
    assert said((*frame[:3], None), (PICTURES[1], wrong, K, None))[BLOCK].all()  # without stamps


def test_after_a_jump_it_goes_on_with_the_next_pair():
    wrong = wall(3.5)
    wrong[BLOCK] = 7
    consistency = TemporalConsistency(Motion(), 0.1)
    frames = [(PICTURES[0], wall(4.5), K, 9 * SECOND), (PICTURES[1], wall(4), K, 0), (PICTURES[2], wrong, K, 1)]
    assert after(consistency, *frames)[BLOCK].all()
    consistency.restart()
    assert after(consistency, (PICTURES[3], wrong, K, 2)) is None


def test_the_network_may_be_smaller_than_the_picture():
    motion = Motion()
    motion.metadata = SimpleNamespace(width=WIDTH // 2, height=HEIGHT // 2)
    wrong = wall(3.5)
    wrong[BLOCK] = 7
    said = after(TemporalConsistency(motion, 0.1), (PICTURES[0], wall(4), K, 0), (PICTURES[1], wrong, K, 1))
    assert said.shape == (HEIGHT, WIDTH) and said[22:28, 42:48].all() and not said[:16].any() and not said[34:].any()


@pytest.mark.parametrize("tolerance", [0, 1, -0.1, np.nan])
def test_impossible_tolerances_are_refused(tolerance):
    with pytest.raises(ConfigError, match="temporal_tolerance is"):
        TemporalConsistency(Motion(), tolerance)


# Weights files that carry PoseNet


def write_checkpoint(path, seed):
    """A training checkpoint of V2 with seeded networks, for 64x96 (HxW)."""
    torch.manual_seed(seed)
    networks = {"depth_net.": DepthNet("resnet18"), "pose_net.": PoseNet(), "rectify_net.": RectifyNet()}
    state = {prefix + name: value for prefix, net in networks.items() for name, value in net.state_dict().items()}
    settings = {"hyper_parameters": {"version": "v2"}, "datamodule_hyper_parameters": {"height": 64, "width": 96}}
    torch.save({"state_dict": state, **settings}, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("motion") / "last.ckpt", seed=0)


def test_a_packed_file_carries_the_motion_along(checkpoint, tmp_path, capsys):
    packed, plain = tmp_path / "both.safetensors", tmp_path / "depth.safetensors"
    assert cli.main(["pack", str(checkpoint), str(packed), "--with-motion", "--metres-per-unit", "2"]) == 0
    assert cli.main(["pack", str(checkpoint), str(plain)]) == 0
    for name in ("PoseNet", "RectifyNet"):
        before, after = load_networks(checkpoint)[0][name], load_networks(packed)[0][name]
        assert after and all(torch.equal(after[key], before[key]) for key in after)
    (depth, metadata), (alone, _) = load_weights(packed), load_weights(plain)
    assert metadata.metres_per_unit == 2 and depth.keys() == alone.keys()
    capsys.readouterr()
    assert cli.main(["info", str(packed)]) == 0
    assert "PoseNet" in capsys.readouterr().out
    assert TemporalConsistency.load(packed, 0.1, "cpu")
    with pytest.raises(ConfigError, match="depth.safetensors' holds DepthNet, but no PoseNet.*--with-motion"):
        TemporalConsistency.load(plain, 0.1, "cpu")
    with pytest.raises(ConfigError, match="temporal_tolerance needs the PoseNet of the training"):
        TemporalConsistency.load(None, 0.1, "cpu")
    with pytest.raises(CheckpointError, match="no PoseNet"):
        MotionEstimator.load(plain, "cpu")


@pytest.mark.parametrize("half", [(), ("--half",)])
def test_packed_again_with_a_scale_it_keeps_everything(checkpoint, tmp_path, capsys, half):
    """Read and written in one place, as `scdepth pack` offers; every number stays as it is, to the bit."""
    path = pack(checkpoint, tmp_path / "both.safetensors", "--with-motion", *half)
    with safe_open(path, framework="pt") as file:
        before = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    capsys.readouterr()
    pack(path, path, "--metres-per-unit", "3.2", "--json")
    written = json.loads(capsys.readouterr().out)
    assert written["networks"] == ["DepthNet", "PoseNet", "RectifyNet"] and written["metres_per_unit"] == 3.2
    assert written["precision"] == ("float16" if half else "float32")
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == before.keys()
        for name, value in before.items():
            after = file.get_tensor(name)
            assert after.dtype == value.dtype and torch.equal(after, value), name


def test_motion_that_is_not_there_cannot_be_packed(untrained_weights, tmp_path, capsys):
    assert cli.main(["pack", str(untrained_weights), str(tmp_path / "w.safetensors"), "--with-motion"]) == 1
    assert "holds DepthNet, but no PoseNet" in capsys.readouterr().err


# PoseNet belongs to one DepthNet


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A checkpoint of another training."""
    return write_checkpoint(tmp_path_factory.mktemp("stranger") / "last.ckpt", seed=1)


def pack(checkpoint, path, *options):
    assert cli.main(["pack", str(checkpoint), str(path), *options]) == 0
    return path


def refuse(depth, motion):
    refuse_another_training(depth, motion, load_networks(motion)[0])


def test_motion_of_the_same_training_is_taken(checkpoint, tmp_path, caplog, monkeypatch):
    """Whatever the precision of either file."""
    whole = pack(checkpoint, tmp_path / "whole.safetensors")
    both = pack(checkpoint, tmp_path / "both.safetensors", "--with-motion", "--half")
    for depth, motion in ((whole, checkpoint), (both, checkpoint), (whole, both)):
        refuse(depth, motion)
    assert not caplog.records
    reads = Mock(wraps=load_networks)
    monkeypatch.setattr(temporal, "load_networks", reads)
    assert TemporalConsistency.load(whole, 0.1, "cpu", both)
    reads.assert_called_once_with(both)


def test_motion_of_another_training_is_refused(checkpoint, stranger, tmp_path, capsys):
    """The sentence names both networks as `scdepth info` does."""
    depth = pack(checkpoint, tmp_path / "depth.safetensors", "--half")
    capsys.readouterr()
    known = {}
    for path in (depth, stranger):
        assert cli.main(["info", str(path), "--json"]) == 0
        known[path] = json.loads(capsys.readouterr().out)["depth_net"]
    with pytest.raises(ConfigError) as refused:
        TemporalConsistency.load(depth, 0.1, "cpu", stranger)
    assert str(refused.value).startswith(
        f"the PoseNet of '{stranger}' was trained with DepthNet {known[stranger]}, depth comes from DepthNet "
        f"{known[depth]} of '{depth}', which has another unit – give the checkpoint"
    )
    with pytest.raises(ConfigError, match=r"starter.safetensors', which has another unit"):
        refuse(STARTER_WEIGHTS, checkpoint)


def test_one_changed_parameter_is_another_network():
    state = {"a.weight": torch.ones(3), "b.num_batches_tracked": torch.tensor(7)}
    first = network_fingerprint(state)
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert network_fingerprint({"a.weight": torch.ones(3, dtype=torch.float16)}) == first
    assert network_fingerprint({"a.weight": torch.tensor([1, 1, 1.01])}) != first
    assert network_fingerprint({"c.weight": torch.ones(3)}) != first


def test_a_file_with_posenet_alone_cannot_tell(checkpoint, tmp_path, caplog):
    """As the public code has them; whoever gives one is told what to see to."""
    saved = torch.load(checkpoint, weights_only=True)
    state = {name: value for name, value in saved["state_dict"].items() if name.startswith("pose_net.")}
    torch.save(saved | {"state_dict": state}, tmp_path / "pose.ckpt")
    refuse(checkpoint, tmp_path / "pose.ckpt")
    assert "pose.ckpt' does not say with which DepthNet it was trained" in caplog.text


@pytest.mark.skipif(not is_installed("openvino"), reason="openvino is not installed")
def test_an_exported_network_says_what_it_was_made_from(checkpoint, stranger, tmp_path, caplog):
    """Here a graph that does nothing stands for the network; what counts is what the file says of itself."""
    import openvino

    exported, source = tmp_path / "depth.xml", open_source(checkpoint)

    def write(said):
        pixels = openvino.opset13.parameter([1], dtype=np.float32)
        model = openvino.Model([pixels], [pixels])
        model.set_rt_info(json.dumps(said), [ENTRY])
        openvino.save_model(model, exported)

    said = json.loads(describe(source, "float32"))
    write(said)
    refuse(exported, checkpoint)
    assert not caplog.records
    with pytest.raises(ConfigError, match="depth.xml', which has another unit"):
        refuse(exported, stranger)
    del said["network"]  # an earlier version's
    write(said)
    refuse(exported, stranger)
    assert "depth.xml' does not say with which DepthNet" in caplog.text
