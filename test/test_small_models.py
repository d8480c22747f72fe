"""Small models: torchvision's MobileNets and the decoder of half width, from training to every file that keeps them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn
from torchvision import models

from scdepth_core import cli
from scdepth_core.checkpoint import load_weights, save_weights
from scdepth_core.errors import CheckpointError, ConfigError
from scdepth_core.inference import DepthEstimator
from scdepth_core.inference.lean import fold_batch_norm
from scdepth_core.networks import DepthNet, build_encoder
from scdepth_core.networks.normalization import normalize
from scdepth_core.training.checkpoint_io import check_resumable
from scdepth_core.training.v1 import SCDepthV1
from scdepth_core.training.warm_start import warm_start
from scdepth_core.weights_metadata import WeightsMetadata, metadata_from_json

MOBILENETS = ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")
SMALL = "mobilenet_v3_small"  # of config/train/small.yaml


def small_network(name: str = SMALL) -> DepthNet:
    """Half-width decoder, seeded weights, and batch norms that have seen something."""
    torch.manual_seed(0)
    network = DepthNet(name, decoder="half")
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, 3, 64, 96))
    return network.eval()


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    metadata = WeightsMetadata(encoder=SMALL, decoder="half", height=64, width=96)
    save_weights(path, small_network().state_dict(), metadata)
    return path


@pytest.mark.parametrize("name", MOBILENETS)
def test_features_halve_five_times_and_every_parameter_learns(name):
    torch.manual_seed(0)
    network = DepthNet(name, decoder="half")
    images = torch.randn(2, 3, 64, 96)
    features = network.encoder(images)
    assert [tuple(f.shape[1:]) for f in features] == [
        (channels, 64 >> level, 96 >> level) for level, channels in enumerate(network.encoder.channels, start=1)
    ]
    depth = network(images)
    assert depth.shape == (2, 1, 64, 96)
    (depth * torch.rand_like(depth)).sum().backward()
    assert not [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]


def test_half_is_half_of_every_width():
    full, half = (DepthNet("resnet18", decoder=width).decoder for width in ("full", "half"))
    for one, other in zip(full.modules(), half.modules()):
        if isinstance(one, nn.Conv2d) and one.out_channels > 1:
            assert one.out_channels == 2 * other.out_channels
    with pytest.raises(ConfigError, match="decoder is 'third', expected one of full, half"):
        DepthNet(decoder="third")


@pytest.mark.parametrize("name", MOBILENETS)
def test_batch_norms_fold_through_every_kind_of_block(name):
    """Depthwise, squeeze-and-excitation, hard-swish: the copy has no batch norm left and gives the same depth."""
    network = small_network(name)
    lean = fold_batch_norm(network)
    assert not [m for m in lean.modules() if isinstance(m, nn.BatchNorm2d)]
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.allclose(lean(image), network(image), rtol=1e-4)


@pytest.mark.parametrize("name", MOBILENETS)
def test_imagenet_weights_from_a_folder(name, tmp_path):
    torch.manual_seed(1)
    taught = getattr(models, name)(weights=None)
    file = models.get_model_weights(name).IMAGENET1K_V1.url.rpartition("/")[2]
    torch.save(taught.state_dict(), tmp_path / file)
    encoder = build_encoder(name)
    encoder.start_from(str(tmp_path))
    for key, value in encoder.encoder.state_dict().items():
        assert torch.equal(value, taught.state_dict()[f"features.{key}"]), key
    with pytest.raises(CheckpointError, match=f"folder with {file} in it, with --model.pretrained PATH"):
        encoder.start_from(str(tmp_path / "nowhere"))


# --- files --------------------------------------------------------------------------------------------------------


def test_a_run_keeps_its_decoder_in_checkpoint_and_weights(tiny_data, tmp_path, capsys):
    run = tmp_path / "run"
    settings = ("--model.encoder", SMALL, "--model.decoder", "half", "--model.pretrained", "none")
    short = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--trainer.limit_val_batches", "1")
    sizes = ("--samples.height", "64", "--samples.width", "96", "--samples.batch_size", "2", "--samples.workers", "0")
    common = ["--data", str(tiny_data), "--pictures", "0", "--trainer.accelerator", "cpu", *settings, *short, *sizes]
    assert cli.main(["train", "--out", str(run), *common]) == 0
    last, weights = run / "checkpoints" / "last.ckpt", run / "weights.safetensors"
    capsys.readouterr()
    for path in (last, weights):
        assert cli.main(["info", str(path), "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["encoder"], said["decoder"]) == (SMALL, "half")
    assert cli.main(["info", str(weights)]) == 0
    assert "half width, bilinear upsampling" in capsys.readouterr().out
    assert cli.main(["pack", str(last), str(tmp_path / "packed.safetensors"), "--half"]) == 0
    assert load_weights(tmp_path / "packed.safetensors")[1].decoder == "half"
    assert cli.main(["evaluate", "--data", str(tiny_data), "--weights", str(weights), "--device", "cpu"]) == 0

    with pytest.raises(CheckpointError, match="its decoder is half, these settings say full"):
        check_resumable(last, "v1", SMALL, "full")
    with torch.device("meta"):
        module = SCDepthV1(encoder=SMALL, decoder="full", pretrained="none")
    with pytest.raises(CheckpointError, match=r"its decoder is half, these settings say full .* --model\.decoder half"):
        warm_start(module, weights)
    started = SCDepthV1(encoder=SMALL, decoder="half", start=weights, pretrained="none").depth_net.state_dict()
    assert all(torch.equal(value, started[name]) for name, value in load_weights(weights)[0].items())


def test_a_file_that_does_not_name_its_decoder_has_the_full_one(untrained_weights, tmp_path):
    with safe_open(untrained_weights, framework="pt") as file:
        metadata = json.loads(file.metadata()["metadata"])
    assert metadata.pop("decoder") == "full"
    assert metadata_from_json(metadata).decoder == "full"


def test_the_estimator_gives_the_depth_of_the_network(small_weights):
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    with torch.no_grad():
        expected = small_network()(normalize(torch.from_numpy(rgb).permute(2, 0, 1)[None]))[0, 0].numpy()
    for backend in ("torch", "auto"):
        assert np.allclose(DepthEstimator.load(small_weights, "cpu", backend).predict(rgb), expected, rtol=1e-4)
