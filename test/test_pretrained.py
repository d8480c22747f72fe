"""Weights to start from: ImageNet's in a file, a folder or torchvision's cache, and what is said where they are not."""

from __future__ import annotations

import shutil
from urllib.error import URLError

import pytest
import torch
from torchvision.models import resnet18

from scdepth_core import cli
from scdepth_core.errors import CheckpointError
from scdepth_core.networks import ResNetEncoder, imagenet_state
from scdepth_core.training.v1 import SCDepthV1


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A torchvision ResNet-18 in a file, under torchvision's name."""
    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("imagenet") / "resnet18-f37072fd.pth"
    torch.save(resnet18(weights=None).state_dict(), path)
    return path


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path / "cache"


def test_without_a_connection_the_choices_are_named(offline, tiny_data, tmp_path, capsys):
    options = ["--model.pretrained", "imagenet", "--trainer.accelerator", "cpu"]
    assert cli.main(["train", "--data", str(tiny_data), "--out", str(tmp_path / "run"), *options]) == 1
    error = capsys.readouterr().err
    for words in ("resnet18-f37072fd.pth", str(offline), "--model.pretrained PATH", "--model.pretrained none"):
        assert words in error
    assert error.count("\n") == 1


def test_the_cache_needs_no_connection(offline, classifier):
    (offline / "hub" / "checkpoints").mkdir(parents=True)
    shutil.copy(classifier, offline / "hub" / "checkpoints")
    state = imagenet_state("resnet18", "imagenet")
    assert torch.equal(state["conv1.weight"], torch.load(classifier, weights_only=True)["conv1.weight"])


def test_half_a_file_in_the_cache(offline, classifier):
    folder = offline / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / classifier.name).write_bytes(classifier.read_bytes()[:10_000])
    with pytest.raises(CheckpointError, match="--model.pretrained none"):
        imagenet_state("resnet18", "imagenet")


def test_both_encoders_start_from_a_local_file(classifier):
    model = SCDepthV1(pretrained=str(classifier))
    state = torch.load(classifier, weights_only=True)
    assert torch.equal(model.depth_net.encoder.encoder.conv1.weight, state["conv1.weight"])
    pair = model.pose_net.encoder.encoder.conv1.weight
    assert torch.allclose(pair, state["conv1.weight"].repeat(1, 2, 1, 1) / 2)
    assert torch.equal(model.pose_net.encoder.encoder.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


def test_a_folder_may_hold_the_files_of_both_encoders(classifier):
    assert (
        imagenet_state("resnet18", str(classifier.parent)).keys() == imagenet_state("resnet18", str(classifier)).keys()
    )
    with pytest.raises(CheckpointError, match=r"resnet50-0676ba61\.pth"):
        imagenet_state("resnet50", str(classifier.parent))


def test_stacking_averages_so_that_equal_images_give_the_features_of_one(classifier):
    one, two = ResNetEncoder("resnet18"), ResNetEncoder("resnet18", images=2)
    for encoder in (one, two):
        encoder.load_imagenet(imagenet_state("resnet18", str(classifier)))
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, found = one.eval()(image)[-1], two.eval()(torch.cat([image, image], dim=1))[-1]
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["weights.safetensors", "notes.pth"])
def test_a_file_of_another_kind_is_named(untrained_weights, tmp_path, name):
    """Not with PyTorch's advice to read it unsafely."""
    path = tmp_path / name
    path.write_bytes(untrained_weights.read_bytes() if name.endswith("safetensors") else b"<net/>")
    with pytest.raises(CheckpointError, match=r"is not a file of torchvision's .*resnet18-f3.*--model\.start") as error:
        imagenet_state("resnet18", str(path))
    assert "weights_only" not in str(error.value)


def test_a_file_of_another_network_is_named(classifier, tmp_path):
    with pytest.raises(CheckpointError, match=r"does not hold torchvision's resnet50 .*folder with resnet50-0676ba61"):
        imagenet_state("resnet50", str(classifier))
    torch.save([1, 2], tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="does not hold torchvision's resnet18"):
        imagenet_state("resnet18", str(tmp_path / "x.pth"))
    with pytest.raises(CheckpointError, match=r"cannot read ImageNet weights from 'imagnet' .* none"):
        imagenet_state("resnet18", "imagnet")
