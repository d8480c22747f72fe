"""`scdepth info`, and checkpoints of the first public code: all that a file says, and nothing that it could run."""

from __future__ import annotations

import argparse
import json
import os

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from scdepth_core import cli
from scdepth_core.checkpoint import FORMAT, load_weights, save_weights
from scdepth_core.data import SceneFolder
from scdepth_core.errors import CheckpointError, ConfigError
from scdepth_core.inference import DepthEstimator
from scdepth_core.inference.exported_file import open_source
from scdepth_core.networks import DepthNet
from scdepth_core.weights_metadata import WeightsMetadata


def info(capsys, *arguments):
    assert cli.main(["info", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def sfm_names(state):
    """SC-SfMLearner's names: the decoder is one list, (coarse to fine: first, second), then the outputs."""
    renamed = {}
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] == "decoder":
            index = int(parts[2])
            number = {"upconvs0": 2 * index, "upconvs1": 2 * index + 1, "dispconvs": 10 + index}[parts[1]]
            name = ".".join(["decoder", "decoder", str(number), *parts[3:]])
        renamed[name] = value
    return renamed


@pytest.fixture
def sfm_file(tmp_path, untrained_network):
    path = tmp_path / "dispnet_model_best.pth.tar"
    torch.save({"epoch": 200, "state_dict": sfm_names(untrained_network.state_dict())}, path)
    return path


def test_an_inference_file(untrained_weights, capsys):
    said = info(capsys, untrained_weights)
    assert said["bytes"] == untrained_weights.stat().st_size
    assert (said["version"], said["encoder"], said["height"], said["width"]) == ("v1", "resnet18", 64, 96)
    assert (said["mean"], said["std"], said["metres_per_unit"], said["dataset"]) == (0.45, 0.225, None, "nothing")
    assert (said["min_depth"], said["max_depth"]) == pytest.approx((1 / 10.01, 100))
    assert list(said["networks"]) == ["DepthNet"] and 14e6 < said["networks"]["DepthNet"] < 15e6
    assert said["precision"] == ["float32"] and "epoch" not in said


def test_a_training_checkpoint(tmp_path, untrained_network, capsys):
    state = {f"depth_net.{name}": value for name, value in untrained_network.state_dict().items()}
    state |= {"pose_net.x": torch.zeros(7), "rectify_net.x": torch.zeros(2, 4)}
    settings = {"hyper_parameters": {"version": "v2", "encoder": "resnet18"}, "epoch": 4, "global_step": 900}
    samples = {"datamodule_hyper_parameters": {"height": 64, "width": 96, "fingerprint": "0123456789abcdef"}}
    torch.save({"state_dict": state, **settings, **samples}, tmp_path / "last.ckpt")
    said = info(capsys, tmp_path / "last.ckpt")
    assert (said["version"], said["epoch"], said["global_step"]) == ("v2", 4, 900)
    assert said["fingerprint"] == "0123456789abcdef"
    assert (said["networks"]["PoseNet"], said["networks"]["RectifyNet"]) == (7, 8)
    assert cli.main(["info", str(tmp_path / "last.ckpt")]) == 0
    text = capsys.readouterr().out
    assert "SC-Depth v2" in text and "900 steps, epoch 4" in text and "96x64 (WxH)" in text


def test_progress_that_is_a_tensor(tmp_path, capsys):
    saved = {"state_dict": {"depth_net.x": torch.ones(1)}, "epoch": torch.tensor(4)}
    torch.save(saved, tmp_path / "x.ckpt")
    assert info(capsys, tmp_path / "x.ckpt")["epoch"] == 4
    torch.save(saved | {"epoch": torch.ones(2)}, tmp_path / "x.ckpt")
    assert cli.main(["info", str(tmp_path / "x.ckpt"), "--json"]) == 1
    assert "x.ckpt' has epoch tensor([1., 1.]), expected a whole number" in capsys.readouterr().err


def test_for_people(tmp_path, untrained_network, capsys):
    metadata = WeightsMetadata(height=64, width=96, metres_per_unit=2.0, fingerprint="abc")
    save_weights(tmp_path / "w.safetensors", untrained_network.state_dict(), metadata, torch.float16)
    assert cli.main(["info", str(tmp_path / "w.safetensors")]) == 0
    text = capsys.readouterr().out
    for words in (
        "2 metres a unit",
        "0.0999 to 100 network units, 0.2 to 200 m",
        "float16",
        "(x / 255 - 0.45) / 0.225",
    ):
        assert words in text
    assert cli.main(["info"]) == 0  # the starter weights
    assert "starter.safetensors" in capsys.readouterr().out


def test_files_from_before_these_fields_still_load(tmp_path, untrained_network, capsys):
    described = {"format": FORMAT, "metadata": json.dumps({"version": "v1", "height": 64, "width": 96})}
    state = {name: value for name, value in untrained_network.state_dict().items() if value.is_floating_point()}
    save_file(state, tmp_path / "old.safetensors", described)
    said = info(capsys, tmp_path / "old.safetensors")
    assert (said["fingerprint"], said["upsampling"]) == ("", "bilinear")
    assert said["max_depth"] == pytest.approx(100)
    DepthEstimator.load(tmp_path / "old.safetensors", "cpu")


@pytest.mark.parametrize("limits", [(0, 1), (2, 1), (-1, 5)])
def test_a_depth_range_that_cannot_be(limits):
    with pytest.raises(CheckpointError, match="depth range is"):
        WeightsMetadata(min_depth=limits[0], max_depth=limits[1])


def test_names_that_only_look_like_those_of_the_first_public_code(tmp_path, capsys):
    names = ("encoder.encoder.conv1.weight", "decoder.decoder.0.conv.conv.weight", "decoder.decoder.x", "decoder.net")
    torch.save({"state_dict": {name: torch.ones(1) for name in names}}, tmp_path / "x.pth.tar")
    assert info(capsys, tmp_path / "x.pth.tar")["networks"] == {"DepthNet": len(names)}


# --- the fingerprint of a data set --------------------------------------------------------------------------------


def test_the_fingerprint_is_of_the_training_data(own_data, tiny_data):
    fingerprint = SceneFolder(own_data).fingerprint
    assert fingerprint == SceneFolder(tiny_data).fingerprint and len(fingerprint) == 16
    (own_data / "training" / "val_0000" / "000003.png").unlink()
    assert SceneFolder(own_data).fingerprint == fingerprint
    scene = own_data / "training" / "train_0000"
    (scene / "cam.txt").write_text((scene / "cam.txt").read_text().replace("1", "2", 1))
    assert SceneFolder(own_data).fingerprint != fingerprint


def test_pack_notes_fingerprint_and_size(tiny_data, untrained_weights, tmp_path, capsys):
    out = tmp_path / "w.safetensors"
    options = ["--data", str(tiny_data), "--size", "128x96"]
    assert cli.main(["pack", str(untrained_weights), str(out), *options]) == 0
    metadata = load_weights(out)[1]
    assert metadata.fingerprint == SceneFolder(tiny_data).fingerprint
    assert (metadata.width, metadata.height) == (128, 96)
    assert cli.main(["pack", str(untrained_weights), str(out), "--size", "100x96"]) == 1
    assert "network input is 96x100 (HxW), expected multiples of 32" in capsys.readouterr().err


# --- SC-SfMLearner ------------------------------------------------------------------------------------------------


def test_depth_of_the_first_public_code(sfm_file, untrained_network, capsys):
    said = info(capsys, sfm_file)
    assert (said["height"], said["width"], said["upsampling"], said["epoch"]) == (256, 832, "nearest", 200)
    network = open_source(sfm_file).network
    assert network.state_dict().keys() == untrained_network.state_dict().keys()
    for name, value in untrained_network.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


def test_its_decoder_repeats_pixels(untrained_network):
    """The network with its layers written out, enlarging by repetition."""
    network = DepthNet("resnet18", "nearest").eval()
    network.load_state_dict(untrained_network.state_dict())
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        features = network.encoder(image)
        x = features[-1]
        for level, skip in enumerate([*features[-2::-1], None]):
            x = F.elu(network.decoder.upconvs0[level].conv(x))
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = F.elu(network.decoder.upconvs1[level].conv(x if skip is None else torch.cat([x, skip], 1)))
        expected = 1 / (10 * torch.sigmoid(network.decoder.dispconvs[0](x)) + 0.01)
        assert torch.allclose(network(image), expected, rtol=1e-4)
        assert not torch.allclose(untrained_network(image), expected, rtol=1e-3)


def test_a_deep_one_is_recognised(tmp_path):
    with torch.device("meta"):
        names = sfm_names(DepthNet("resnet50").state_dict())
    torch.save({"state_dict": {name: torch.zeros(()) for name in names}}, tmp_path / "d.pth.tar")
    assert load_weights(tmp_path / "d.pth.tar")[1].encoder == "resnet50"


def test_packed_it_keeps_its_upsampling(sfm_file, tmp_path, capsys):
    assert cli.main(["pack", str(sfm_file), str(tmp_path / "w.safetensors"), "--size", "320x256"]) == 0
    metadata = load_weights(tmp_path / "w.safetensors")[1]
    assert (metadata.upsampling, metadata.width, metadata.height) == ("nearest", 320, 256)


def test_an_unknown_upsampling_is_named():
    with pytest.raises(ConfigError, match="upsampling is 'cubic', expected one of bilinear, nearest"):
        DepthNet("resnet18", "cubic")


class Attack:
    """Unpickling this makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["bad.pth.tar", "bad.ckpt", "bad.tar"])
def test_a_malicious_file_is_refused(tmp_path, capsys, name):
    torch.save({"epoch": Attack(tmp_path / "owned"), "state_dict": {"encoder.x": torch.ones(1)}}, tmp_path / name)
    assert cli.main(["info", str(tmp_path / name)]) == 1
    assert "cannot be loaded safely" in capsys.readouterr().err
    assert not (tmp_path / "owned").exists()


def test_a_namespace_may_not_hide_code(tmp_path, capsys):
    options = argparse.Namespace(dataset_name=Attack(tmp_path / "owned"))
    torch.save({"state_dict": {}, "hyper_parameters": {"hparams": options}}, tmp_path / "bad.ckpt")
    assert cli.main(["info", str(tmp_path / "bad.ckpt")]) == 1
    assert not (tmp_path / "owned").exists()


def test_other_files(tmp_path, capsys):
    torch.save({"state_dict": {"fc.weight": torch.zeros(1)}}, tmp_path / "x.ckpt")
    for file, words in ((tmp_path / "x.ckpt", "holds no DepthNet and no PoseNet"), ("nowhere.ckpt", "do not exist")):
        assert cli.main(["info", str(file)]) == 1
        assert words in capsys.readouterr().err
