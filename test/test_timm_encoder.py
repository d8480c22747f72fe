"""Encoders of the timm library: any backbone by name, and a sentence for each that cannot be one."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from scdepth_core.checkpoint import save_weights
from scdepth_core.errors import BackendError, CheckpointError, ConfigError
from scdepth_core.inference import DepthEstimator
from scdepth_core.networks import DepthNet, build_encoder
from scdepth_core.training.v1 import SCDepthV1
from scdepth_core.weights_metadata import WeightsMetadata

SMALL = "timm/mobilenetv3_small_050"


def test_without_timm_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BackendError, match="needs the timm library – install it with 'pip install timm'"):
        build_encoder(SMALL)


def test_an_unknown_encoder_names_the_choices():
    with pytest.raises(
        ConfigError, match="encoder 'resnet19' is unknown, expected resnet18, resnet50, mobilenet_v2, .* or timm/NAME"
    ):
        build_encoder("resnet19")


@pytest.fixture
def timm():
    return pytest.importorskip("timm", reason="the optional library timm is not installed")


def test_every_parameter_learns_and_the_weights_load_elsewhere(timm, tmp_path):
    torch.manual_seed(0)
    network = DepthNet(SMALL)
    images = torch.randn(2, 3, 64, 96)
    depth = network(images)
    assert depth.shape == (2, 1, 64, 96)
    (depth * torch.rand_like(depth)).sum().backward()
    idle = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle
    path = tmp_path / "small.safetensors"
    save_weights(path, network.state_dict(), WeightsMetadata(encoder=SMALL, height=64, width=96))
    estimator = DepthEstimator.load(path, "cpu")
    assert estimator.metadata.encoder == SMALL
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    with torch.no_grad():
        normal = (torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None] / 255 - 0.45) / 0.225
        expected = network.eval()(normal)[0, 0].numpy()
    assert np.allclose(estimator.predict(rgb), expected, rtol=1e-4)


def test_the_module_carries_its_name(timm):
    assert SCDepthV1(encoder=SMALL, pretrained="none").hparams["encoder"] == SMALL


def test_a_backbone_that_starts_at_a_quarter(timm):
    network = DepthNet("timm/convnext_atto")
    assert network.encoder.channels == (0, 40, 80, 160, 320)
    assert network(torch.randn(1, 3, 64, 64)).shape == (1, 1, 64, 64)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm/no_such_net", r"cannot be built by timm .* \(Unknown model"),
        ("timm/vit_tiny_patch16_224", "has feature maps at 1/16 of the input, expected"),
    ],
)
def test_what_cannot_be_an_encoder(timm, name, words):
    with pytest.raises(ConfigError, match=words):
        build_encoder(name)


def test_imagenet_weights_from_a_folder(timm, tmp_path):
    name = SMALL.removeprefix("timm/")
    taught = timm.create_model(name, pretrained=False)
    torch.save(taught.state_dict(), tmp_path / f"{name}.pth")
    encoder = build_encoder(SMALL)
    encoder.start_from(str(tmp_path))
    assert torch.equal(encoder.encoder.conv_stem.weight, taught.conv_stem.weight)
    with pytest.raises(CheckpointError, match=rf"nowhere' do not exist – pass a folder with {name}.safetensors"):
        encoder.start_from(str(tmp_path / "nowhere"))
