"""DepthEstimator: any image in, depth of its own size out, the same every time, and clear words for what cannot be."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from scdepth_core import cli
from scdepth_core.checkpoint import load_weights, save_weights
from scdepth_core.data import SceneFolder
from scdepth_core.errors import BackendError, CheckpointError, ImageError
from scdepth_core.inference import DepthEstimator
from scdepth_core.machine import resolve_device
from scdepth_core.networks.normalization import denormalize, normalize, resize_for_network
from scdepth_core.visualization import NO_VALUE, colorize_depth
from scdepth_core.weights_metadata import WeightsMetadata


@pytest.fixture(scope="module")
def estimator(untrained_weights):
    return DepthEstimator.load(untrained_weights, "cpu")


def picture(height=64, width=96, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("size", [(64, 96), (480, 640), (37, 53), (1, 1), (1081, 3), (64, 97), (200, 96)])
def test_depth_has_the_size_of_the_image(estimator, size):
    depth = estimator.predict(picture(*size))
    assert depth.shape == size and depth.dtype == np.float32
    assert np.isfinite(depth).all() and (depth > 0.0999 - 1e-4).all() and (depth < 100.1).all()


def test_depth_is_that_of_the_network(estimator, untrained_network):
    rgb = picture()
    batch = (torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None].float() / 255 - 0.45) / 0.225
    with torch.no_grad():
        expected = untrained_network(batch)[0, 0].numpy()
    assert np.allclose(estimator.predict(rgb), expected, rtol=1e-4)


def test_the_same_image_gives_the_same_depth(estimator, untrained_weights):
    rgb = picture(100, 150)
    first = estimator.predict(rgb)
    estimator.predict(picture(100, 150, seed=1))
    assert (estimator.predict(rgb) == first).all()
    assert (DepthEstimator.load(untrained_weights, "cpu").predict(rgb) == first).all()


def test_the_image_is_not_changed_and_may_be_any_view(estimator):
    rgb = picture(64, 96)
    before = rgb.copy()
    depth = estimator.predict(rgb)
    assert (rgb == before).all()
    assert (estimator.predict(np.asfortranarray(rgb)) == depth).all()
    assert (estimator.predict(rgb[..., ::-1].copy()[..., ::-1]) == depth).all()  # BGR, looked at backwards
    wide = np.zeros((64, 200, 3), np.uint8)
    wide[:, 50:146] = rgb
    assert (estimator.predict(wide[:, 50:146]) == depth).all()


@pytest.mark.filterwarnings("error")
def test_a_read_only_image(estimator):
    """As a message's buffer gives it."""
    rgb = np.frombuffer(picture().tobytes(), np.uint8).reshape(64, 96, 3)
    assert estimator.predict(rgb).shape == (64, 96)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 96), np.uint8),
        np.zeros((64, 96, 4), np.uint8),
        np.zeros((64, 96, 3), np.float32),
        np.zeros((64, 96, 3), np.uint16),
        np.zeros((0, 96, 3), np.uint8),
        np.zeros((1, 64, 96, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_named(estimator, image):
    with pytest.raises(ImageError) as error:
        estimator.predict(image)
    assert str(image.dtype) in str(error.value) and str(image.shape) in str(error.value)
    assert "expected uint8 (H, W, 3) RGB" in str(error.value)


def test_the_normalisation_is_that_of_the_weights(untrained_network, tmp_path):
    shifted = WeightsMetadata(height=64, width=96, mean=0.5, std=0.25)
    save_weights(tmp_path / "w.safetensors", untrained_network.state_dict(), shifted)
    rgb = picture()
    batch = (torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None].float() / 255 - 0.5) / 0.25
    with torch.no_grad():
        expected = untrained_network(batch)[0, 0].numpy()
    assert np.allclose(DepthEstimator.load(tmp_path / "w.safetensors", "cpu").predict(rgb), expected, rtol=1e-4)


def test_normalisation_and_back():
    image = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    assert torch.allclose(normalize(image), (image / 255 - 0.45) / 0.225, atol=1e-6)
    assert torch.allclose(denormalize(normalize(image)), image / 255, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 96), (90, 130), (128, 192), (300, 100), (20, 30)])
def test_resizing_for_the_network(size):
    """A ramp stays a ramp of the same values: no shift, no overshoot."""
    ramp = np.repeat(np.linspace(0, 255, size[1])[None, :, None].repeat(size[0], 0), 3, axis=2).round().astype(np.uint8)
    small = resize_for_network(ramp, 96, 64)
    assert small.shape == (64, 96, 3)
    centre = (np.arange(96) + 0.5) * size[1] / 96 - 0.5
    expected = np.clip(centre, 0, size[1] - 1) * 255 / (size[1] - 1)
    assert np.abs(small[32, 3:-3, 0] - expected[3:-3]).max() < 2


# --- devices ------------------------------------------------------------------------------------------------------


def test_devices(monkeypatch):
    assert resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BackendError, match=r"device 'cuda' is not there \(0 CUDA devices found\) – use cpu"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(BackendError, match="'cuda:2' is not there"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "tpu:0", "cuda:x", "", "meta"])
def test_unknown_devices(name):
    with pytest.raises(BackendError, match="is unknown, expected auto, cpu, cuda or cuda:N"):
        resolve_device(name)


def test_a_wrong_device_is_found_before_the_weights_are_read(tmp_path):
    with pytest.raises(BackendError):
        DepthEstimator.load(tmp_path / "nowhere", "gpu")
    with pytest.raises(CheckpointError):
        DepthEstimator.load(tmp_path / "nowhere", "cpu")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(untrained_weights, estimator):
    depth = DepthEstimator.load(untrained_weights, "cuda").predict(picture())
    assert np.allclose(depth, estimator.predict(picture()), rtol=1e-2)


# --- colours ------------------------------------------------------------------------------------------------------


def brightness(picture):
    return picture.astype(int).sum(axis=2)


def test_near_is_bright_far_is_dark_unknown_is_grey():
    depth = np.array([[1.0, 2.0, 4.0, 10.0, np.nan, np.inf, 0.0, -1.0]], np.float32)
    colors = colorize_depth(depth, 1, 10)
    assert colors.shape == (1, 8, 3) and colors.dtype == np.uint8
    assert (np.diff(brightness(colors)[0, :4]) < 0).all()
    assert (colors[0, 4:] == NO_VALUE).all()


def test_colours_are_even_in_inverse_depth_and_stop_at_the_range():
    inverse = np.linspace(1 / 10, 1, 10)
    once, twice = colorize_depth(1 / inverse[None], 1, 10), colorize_depth(3 / inverse[None], 3, 30)
    assert np.abs(once.astype(int) - twice).max() <= 8  # neighbouring colours of the map, by rounding
    beyond = colorize_depth(np.array([[0.5, 1, 10, 20]]), 1, 10)[0]
    assert (beyond[0] == beyond[1]).all() and (beyond[2] == beyond[3]).all()


@pytest.mark.filterwarnings("error")
def test_colours_of_nothing_and_of_one_depth():
    assert (colorize_depth(np.full((2, 3), np.nan, np.float32), 1, 10) == NO_VALUE).all()
    flat = colorize_depth(np.full((2, 3), 2.0, np.float32), 2.0, 2.0)
    assert (flat == flat[0, 0]).all()


def test_pack_writes_scale_and_half_precision(untrained_weights, tmp_path, capsys):
    out = tmp_path / "packed.safetensors"
    assert cli.main(["pack", str(untrained_weights), str(out), "--half", "--metres-per-unit", "2.5"]) == 0
    assert "2.5 m a unit" in capsys.readouterr().out
    assert out.stat().st_size < 0.51 * untrained_weights.stat().st_size
    estimators = [DepthEstimator.load(path, "cpu") for path in (untrained_weights, out)]
    assert estimators[1].metadata == replace(estimators[0].metadata, metres_per_unit=2.5)
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    full, half = (estimator.predict(picture) for estimator in estimators)
    assert np.abs(half / full - 1).max() < 0.01


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x.pt"], "ends in .safetensors"),
        (["x.safetensors", "--metres-per-unit", "-1"], "expected a number above 0"),
        (["x.safetensors", "--metres-per-unit", "1e9"], "is 1e+09, expected a number above 0, up to 10000"),
    ],
)
def test_pack_refuses(untrained_weights, tmp_path, capsys, arguments, sentence):
    assert cli.main(["pack", str(untrained_weights), str(tmp_path / arguments[0]), *arguments[1:]]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_pack_believes_the_weights_about_their_data_set(untrained_network, tiny_data, tmp_path, capsys):
    """Unless both are given: a name of one data set does not go with the fingerprint of another."""
    weights, out = tmp_path / "w.safetensors", tmp_path / "packed.safetensors"
    fingerprint = SceneFolder(tiny_data).fingerprint

    def packed(known, *options):
        state = untrained_network.state_dict()
        save_weights(weights, state, WeightsMetadata(height=64, width=96, dataset="kitchen", fingerprint=known))
        return cli.main(["pack", str(weights), str(out), "--data", str(tiny_data), *options])

    assert packed("0123456789abcdef") == 1 and not out.exists()
    said = capsys.readouterr().err
    assert "trained on 'kitchen' (fingerprint 0123456789abcdef)" in said and fingerprint in said
    for known, options, name in (
        ("", (), "kitchen"),
        (fingerprint, (), "kitchen"),
        ("0123456789abcdef", ("--dataset", "tiny"), "tiny"),
    ):
        assert packed(known, *options) == 0
        _, metadata = load_weights(out)
        assert (metadata.dataset, metadata.fingerprint) == (name, fingerprint)
