"""Weights on disk: what goes in comes out, nothing foreign is taken for ours, and no file ever runs code."""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import urllib.request

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from scdepth_core.checkpoint import (
    FORMAT,
    NEVER_RUN,
    load_network_state,
    load_weights,
    save_weights,
    write_scale,
)
from scdepth_core.errors import CheckpointError, ConfigError
from scdepth_core.inference import DepthEstimator
from scdepth_core.networks import DepthNet
from scdepth_core.weights_metadata import WeightsMetadata

METADATA = WeightsMetadata(height=64, width=96, metres_per_unit=2.5, dataset="kitchen, 3 training scenes")


def lightning_file(path, network, **entries):
    """A checkpoint with the parameter names of Lightning modules, beside a PoseNet's."""
    state = {f"depth_net.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state | {"pose_net.decoder.bias": torch.zeros(6)}, **entries}, path)
    return path


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 0.0), (torch.float16, 1e-3)])
def test_round_trip(tmp_path, untrained_network, dtype, tolerance):
    path = tmp_path / "new" / "w.safetensors"
    save_weights(path, untrained_network.state_dict(), METADATA, dtype)
    state, metadata = load_weights(path)
    assert metadata == METADATA
    assert [p.name for p in path.parent.iterdir()] == ["w.safetensors"]
    assert all(value.dtype == torch.float32 for value in state.values())
    network = DepthNet("resnet18")
    load_network_state(network, state, path)
    image = torch.randn(1, 3, 64, 96)
    expected = untrained_network(image)
    assert torch.allclose(network.eval()(image), expected, rtol=tolerance or 1e-7)


def test_only_what_runs_is_stored(untrained_weights, untrained_network):
    with safe_open(untrained_weights, framework="pt") as file:
        stored = set(file.keys())
    run = {name for name in untrained_network.state_dict() if not name.startswith(NEVER_RUN)}
    assert stored == {name for name in run if not name.endswith("num_batches_tracked")}
    assert untrained_weights.stat().st_size < 62e6


def test_half_precision_fits_the_limit_of_the_starter_weights(tmp_path, untrained_network):
    save_weights(tmp_path / "w.safetensors", untrained_network.state_dict(), METADATA, torch.float16)
    assert (tmp_path / "w.safetensors").stat().st_size < 30e6


def test_a_failed_write_keeps_the_old_file(tmp_path, untrained_network, monkeypatch):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")

    def fail(tensors, target, metadata):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("scdepth_core.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_weights(path, untrained_network.state_dict(), METADATA)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("value", "dtype"), [(float("nan"), torch.float32), (float("inf"), torch.float32), (1e6, torch.float16)]
)
def test_values_that_would_spoil_depth_are_not_stored(tmp_path, untrained_network, value, dtype):
    state = {name: tensor.clone() for name, tensor in untrained_network.state_dict().items()}
    state["encoder.encoder.bn1.running_var"][3] = value
    with pytest.raises(CheckpointError, match=r"NaN or infinity in 'encoder.encoder.bn1.running_var'"):
        save_weights(tmp_path / "w.safetensors", state, METADATA, dtype)
    assert not (tmp_path / "w.safetensors").exists()


def test_a_diverged_checkpoint_is_refused(tmp_path, untrained_network):
    path = lightning_file(tmp_path / "x.ckpt", untrained_network)
    saved = torch.load(path, weights_only=True)
    saved["state_dict"]["depth_net.encoder.encoder.conv1.weight"][0] = torch.nan
    torch.save(saved, path)
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        load_weights(path)


def test_another_encoder_is_one_sentence(untrained_network):
    with pytest.raises(CheckpointError) as error:
        load_network_state(DepthNet("resnet50"), untrained_network.state_dict(), "w.safetensors")
    text = str(error.value)
    assert "\n" not in text and len(text) < 300
    assert text.startswith("'w.safetensors' does not fit DepthNet")
    assert "missing" in text and "of another shape" in text and "another encoder or decoder?" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("decoder.dispconvs.0.conv.weight"), "1 missing, the first is 'decoder.dispconvs.0.conv.w"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 unknown, the first is 'extra'"),
        (lambda s: s.update({"encoder.encoder.bn1.bias": torch.zeros(3)}), "1 of another shape"),
    ],
)
def test_loading_is_strict(untrained_network, change, words):
    state = dict(untrained_network.state_dict())
    change(state)
    with pytest.raises(CheckpointError, match=words):
        load_network_state(DepthNet("resnet18"), state, "w")


def test_what_never_runs_may_be_missing(untrained_network):
    state = {n: v for n, v in untrained_network.state_dict().items() if not n.startswith(NEVER_RUN)}
    network = DepthNet("resnet18")
    before = network.encoder.encoder.fc.weight.clone()
    load_network_state(network, state, "w")
    assert torch.equal(network.encoder.encoder.fc.weight, before)
    assert torch.equal(network.encoder.encoder.conv1.weight, untrained_network.encoder.encoder.conv1.weight)


def test_checkpoints_of_the_public_code(tmp_path, untrained_network):
    """They pickle an argparse.Namespace; that type is allowed, and says how to build the network."""
    options = argparse.Namespace(model_version="v3", resnet_layers=18, dataset_name="kitti", lr=1e-4)
    path = lightning_file(tmp_path / "epoch=99.ckpt", untrained_network, hyper_parameters={"hparams": options})
    estimator = DepthEstimator.load(path, "cpu")
    assert estimator.metadata == WeightsMetadata("v3", "resnet18", 256, 832, dataset="kitti")
    for name, value in untrained_network.state_dict().items():
        assert torch.equal(load_weights(path)[0][name], value)


@pytest.mark.parametrize(
    ("settings", "metadata"),
    [
        ({"hparams": {"dataset_name": "ddad"}}, WeightsMetadata(height=384, width=640, dataset="ddad")),
        ({"hparams": argparse.Namespace(dataset_name="nyu")}, WeightsMetadata(dataset="nyu")),
        ({"hparams": argparse.Namespace(resnet_layers=50)}, WeightsMetadata(encoder="resnet50")),
        (argparse.Namespace(encoder="resnet50"), WeightsMetadata(encoder="resnet50")),
        ({"encoder": "resnet50", "version": "v2"}, WeightsMetadata("v2", "resnet50")),
        (None, WeightsMetadata()),
    ],
)
def test_settings_in_a_checkpoint(tmp_path, settings, metadata):
    saved = {"state_dict": {"depth_net.x": torch.ones(1)}, "hyper_parameters": settings}
    torch.save(saved, tmp_path / "x.ckpt")
    assert load_weights(tmp_path / "x.ckpt")[1] == metadata


class Attack:
    """Unpickling this makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("place", ["hyper_parameters", "state_dict", None])
def test_a_pickle_never_runs_code(tmp_path, place):
    attack = Attack(tmp_path / "owned")
    saved = {"state_dict": {"depth_net.x": torch.ones(1)}, "hyper_parameters": {}}
    torch.save(saved | {place: {"depth_net.x": attack}} if place else attack, tmp_path / "bad.ckpt")
    with pytest.raises(CheckpointError, match="cannot be loaded safely") as error:
        load_weights(tmp_path / "bad.ckpt")
    assert "\n" not in str(error.value) and "posix.mkdir, which is code" in str(error.value)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("keep", [0, 5, 1000, 100_000])
def test_truncated_weights(tmp_path, untrained_weights, keep):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(untrained_weights.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors' is not a readable safetensors file"):
        load_weights(path)


@pytest.mark.parametrize("keep", [0, 10, 1000, 100_000])
def test_truncated_checkpoint(tmp_path, untrained_network, keep):
    path = lightning_file(tmp_path / "cut.ckpt", untrained_network)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"cut\.ckpt' cannot be loaded safely"):
        load_weights(path)


def test_nobody_is_told_to_switch_the_safety_off(tmp_path):
    """As torch.load does for a file that is no archive."""
    (tmp_path / "x.ckpt").write_text("<net> is no checkpoint")
    with pytest.raises(CheckpointError, match="it is no checkpoint, or damaged") as error:
        load_weights(tmp_path / "x.ckpt")
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("name", ["r.xml", "r.onnx", "r.pt2"])
def test_an_exported_network_is_no_weights(tmp_path, name):
    (tmp_path / name).write_text("<net></net>")
    for load in (load_weights, lambda path: write_scale(path, 2.0)):
        with pytest.raises(CheckpointError, match=f"{name}' is an exported network – give the weights that it was exp"):
            load(tmp_path / name)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"hyper_parameters": [1, 2]}, r"hyper_parameters is \[1, 2\], expected a dict or a Namespace"),
        ({"hyper_parameters": "v1"}, "hyper_parameters is 'v1', expected"),
        ({"hyper_parameters": 3}, "hyper_parameters is 3, expected"),
        ({"datamodule_hyper_parameters": [[1, 2]]}, "datamodule_hyper_parameters is"),
        ({"datamodule_hyper_parameters": {"height": "64"}}, "height is '64', expected a whole number"),
        ({"hyper_parameters": {"encoder": None}}, "encoder is None, expected text"),
        ({"hyper_parameters": {"hparams": 5}}, "hparams is 5, expected a dict or a Namespace"),
        ({"hyper_parameters": {"hparams": {"dataset_name": [1]}}}, r"dataset_name is \[1\], expected text"),
        ({"hyper_parameters": {"hparams": {"resnet_layers": [1]}}}, r"resnet_layers is \[1\], expected a whole"),
        ({"hyper_parameters": {"hparams": {"model_version": 3}}}, "version is 3, expected text"),
    ],
)
def test_malformed_settings_in_a_checkpoint(tmp_path, entries, words):
    torch.save({"state_dict": {"depth_net.x": torch.ones(1)}} | entries, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=rf"metadata of .*x\.ckpt' cannot be used \({words}"):
        load_weights(tmp_path / "x.ckpt")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (5, torch.ones(1), "names a parameter 5, expected text"),
        ("depth_net.x", torch.eye(2).to_sparse(), "'depth_net.x' as torch.float32, torch.sparse_coo"),
        ("depth_net.x", torch.ones(1, dtype=torch.complex64), "'depth_net.x' as torch.complex64"),
        ("depth_net.x", torch.ones(1, device="meta"), "torch.strided, on meta, expected dense, plain tensors"),
        ("depth_net.x", torch.quantize_per_tensor(torch.ones(1), 0.1, 0, torch.qint8), "'depth_net.x' as torch.qint8"),
    ],
)
def test_parameters_that_no_network_has(tmp_path, name, value, words):
    torch.save({"state_dict": {name: value}}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=rf"x\.ckpt' .*{words}"):
        load_weights(tmp_path / "x.ckpt")


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, [1, 2], {"state_dict": {"depth_net.x": 3}}])
def test_something_else_in_a_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="give a training checkpoint"):
        load_weights(tmp_path / "x.ckpt")


def test_missing_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere\.ckpt' do not exist – give a"):
        load_weights(tmp_path / "nowhere.ckpt")
    with pytest.raises(CheckpointError, match=r"are a folder – give a file, such as .*/weights\.safetensors"):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (None, "has format 'None'"),
        ({"format": "pt"}, "has format 'pt', expected 'scdepth-weights-1'"),
        ({"format": FORMAT}, "metadata of"),
        ({"format": FORMAT, "metadata": "{"}, "metadata of"),
        ({"format": FORMAT, "metadata": "[1]"}, "metadata of"),
        ({"format": FORMAT, "metadata": json.dumps({"height": 100})}, "100x320 .* multiples of 32"),
        ({"format": FORMAT, "metadata": json.dumps({"metres_per_unit": 0})}, "metres_per_unit is 0"),
        ({"format": FORMAT, "metadata": json.dumps({"std": 0})}, r"x\.safetensors' .*std is 0, expected .* above 0"),
        ({"format": FORMAT, "metadata": '{"a":' * 100_000}, "metadata of"),
    ],
)
def test_foreign_safetensors(tmp_path, described, words):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", described)
    with pytest.raises(CheckpointError, match=words):
        load_weights(tmp_path / "x.safetensors")


def test_metadata_of_a_later_version_is_ignored(tmp_path):
    entries = {"height": 64, "width": 96, "invented_later": 1}
    described = {"format": FORMAT, "metadata": json.dumps(entries)}
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", described)
    assert load_weights(tmp_path / "x.safetensors")[1] == WeightsMetadata(height=64, width=96)


def test_an_unknown_encoder_is_named(tmp_path):
    described = {"format": FORMAT, "metadata": json.dumps({"encoder": "resnet99"})}
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", described)
    with pytest.raises(
        ConfigError, match="encoder 'resnet99' is unknown, expected resnet18, resnet50, mobilenet_v2, .* or timm/NAME"
    ):
        DepthEstimator.load(tmp_path / "x.safetensors", "cpu")


def test_inference_never_asks_the_network(untrained_weights, monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise AssertionError("asked the network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    estimator = DepthEstimator.load(untrained_weights, "cpu")
    assert estimator.predict(torch.zeros(64, 96, 3, dtype=torch.uint8).numpy()).shape == (64, 96)
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"mean": "x"}, "mean is 'x', expected a finite number"),
        ({"mean": math.inf}, "mean is inf, expected a finite number"),
        ({"std": 0}, "std is 0, expected a finite number above 0"),
        ({"std": math.nan}, "std is nan, expected a finite number above 0"),
        ({"std": True}, "std is True, expected a finite number above 0"),
        ({"height": 64.0}, "height is 64.0, expected a whole number of pixels"),
        ({"width": "96"}, "width is '96', expected a whole number of pixels"),
        ({"encoder": 5}, "encoder is 5, expected text"),
        ({"upsampling": [1]}, "upsampling is [1], expected text"),
        ({"dataset": None}, "dataset is None, expected text"),
        ({"metres_per_unit": "2"}, "metres_per_unit is '2', expected a number above 0, up to 10000, or None"),
        ({"metres_per_unit": math.nan}, "metres_per_unit is nan, expected a number above 0, up to 10000, or None"),
        ({"metres_per_unit": 1e9}, "metres_per_unit is 1000000000.0, expected a number above 0, up to 10000, or None"),
        ({"min_depth": None}, "min_depth is None, expected a finite number"),
        ({"max_depth": math.inf}, "max_depth is inf, expected a finite number"),
    ],
)
def test_metadata_of_the_wrong_kind_is_one_sentence(entry, sentence):
    with pytest.raises(CheckpointError) as refused:
        WeightsMetadata(**entry)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("size", [(32, 96), (64, 100), (64, 10**6 // 32 * 32)])
def test_an_input_size_that_the_network_cannot_take_is_refused(size):
    with pytest.raises(
        CheckpointError, match=rf"network input is {size[0]}x{size[1]} \(HxW\), expected multiples of 32"
    ):
        WeightsMetadata(height=size[0], width=size[1])
