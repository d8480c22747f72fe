"""`scdepth export`: files that other libraries open without our code, and that the estimator takes as weights."""

from __future__ import annotations

import json
import shutil
import sys

import cv2
import numpy as np
import pytest
import torch

from scdepth_core import cli
from scdepth_core.checkpoint import save_weights
from scdepth_core.errors import BackendError, CheckpointError
from scdepth_core.inference import DepthEstimator, export
from scdepth_core.inference.backends.libraries import import_optional, is_installed
from scdepth_core.inference.parity import depth_change, random_frames
from scdepth_core.machine import cpu_features
from scdepth_core.weights_metadata import WeightsMetadata

needs_onnx = pytest.mark.skipif(not is_installed("onnx", "onnxscript", "onnxruntime"), reason="extra onnx missing")
needs_openvino = pytest.mark.skipif(not is_installed("openvino"), reason="extra openvino is not installed")
needs_nncf = pytest.mark.skipif(not is_installed("openvino", "nncf"), reason="extra openvino is not installed")


@pytest.fixture(scope="module")
def metric_weights(untrained_network, tmp_path_factory):
    path = tmp_path_factory.mktemp("metric") / "metric.safetensors"
    metadata = WeightsMetadata(height=64, width=96, metres_per_unit=2.5, dataset="nothing")
    save_weights(path, untrained_network.state_dict(), metadata)
    return path


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """A folder of ten pictures."""
    folder = tmp_path_factory.mktemp("frames")
    for index in range(10):
        coarse = np.random.default_rng(index).integers(0, 256, (8, 12, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.resize(coarse, (120, 90), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture(scope="module")
def pixels():
    return random_frames(64, 96)[2]


@pytest.fixture(scope="module")
def expected(metric_weights, pixels):
    return DepthEstimator.load(metric_weights, "cpu", "torch").predict(pixels[0])[None]


def exported(weights, out, *options) -> int:
    return cli.main(["export", str(weights), str(out), *map(str, options)])


def error_of(depth, expected):
    return np.abs(depth / expected - 1).max()


@needs_onnx
def test_onnxruntime_opens_the_file_without_our_code(metric_weights, tmp_path, pixels, expected, capsys):
    out = tmp_path / "net.onnx"
    assert exported(metric_weights, out, "--to", "onnx", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["depth_change"]["random"]["frames"] == 4 and report["depth_change"]["random"]["max"] < 1e-4
    assert report["bytes"] == out.stat().st_size
    library = import_optional("onnxruntime", "onnx", "this test")
    session = library.InferenceSession(out, providers=["CPUExecutionProvider"])
    (entry,), (result,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.type, entry.shape) == ("pixels", "tensor(uint8)", [1, 64, 96, 3])
    assert (result.name, result.type, result.shape) == ("depth", "tensor(float)", [1, 64, 96])
    assert error_of(session.run(None, {"pixels": pixels})[0], expected) < 1e-4
    said = json.loads(session.get_modelmeta().custom_metadata_map["scdepth"])
    assert said["precision"] == "float32" and said["metadata"]["metres_per_unit"] == 2.5
    estimator = DepthEstimator.load(out, "cpu")
    assert estimator.backend.name == "onnxruntime" and estimator.metadata.dataset == "nothing"
    assert error_of(estimator.predict(pixels[0])[None], expected) < 1e-4
    with pytest.raises(BackendError, match="was exported in float32, asked for is float16"):
        DepthEstimator.load(out, "cpu", precision="float16")
    with pytest.raises(BackendError, match="backend openvino cannot run .* choose onnxruntime or tensorrt"):
        DepthEstimator.load(out, "cpu", "openvino")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


@needs_onnx
def test_half_precision_onnx_is_half_as_large(metric_weights, tmp_path, pixels, expected):
    out = tmp_path / "net.onnx"
    assert exported(metric_weights, out, "--to", "onnx", "--precision", "float16") == 0
    assert out.stat().st_size < 0.51 * metric_weights.stat().st_size
    assert error_of(DepthEstimator.load(out, "cpu").predict(pixels[0])[None], expected) < 2e-2


@needs_openvino
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_openvino_opens_the_file_without_our_code(metric_weights, tmp_path, pixels, expected, precision, capsys):
    if precision not in {"float32", *cpu_features()}:
        pytest.skip("this CPU has no bfloat16 instructions")
    out = tmp_path / "net.xml"
    assert exported(metric_weights, out, "--to", "openvino", "--precision", precision) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.bin", "net.xml"]
    compiled = import_optional("openvino", "openvino", "this test").Core().compile_model(out, "CPU")
    assert error_of(compiled({"pixels": pixels})["depth"], expected) < 2e-2
    estimator = DepthEstimator.load(out, "cpu")
    assert (estimator.backend.name, estimator.backend.precision) == ("openvino", precision)
    assert estimator.metadata.metres_per_unit == 2.5
    capsys.readouterr()
    assert cli.main(["info", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bytes"] == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert (said["precision"], said["metres_per_unit"], said["width"]) == ([precision], 2.5, 96)
    assert cli.main(["info", str(out)]) == 0
    assert "DepthNet, exported" in capsys.readouterr().out


def test_pytorch_opens_the_file_without_our_code(metric_weights, tmp_path, pixels, expected, capsys):
    out = tmp_path / "net.pt2"
    assert exported(metric_weights, out, "--to", "torch-export") == 0
    capsys.readouterr()
    assert cli.main(["info", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["precision"], said["metres_per_unit"], said["width"]) == (["float32"], 2.5, 96)
    extra = {"scdepth": ""}
    program = torch.export.load(out, extra_files=extra)
    depth = program.module()(torch.from_numpy(pixels)).detach().numpy()
    assert error_of(depth, expected) < 1e-4
    assert json.loads(extra["scdepth"])["metadata"]["width"] == 96


@needs_nncf
def test_int8_is_calibrated_on_own_frames(metric_weights, tmp_path, frames, capsys):
    out = tmp_path / "net.xml"
    assert exported(metric_weights, out, "--to", "openvino", "--precision", "int8", "--frames", frames, "--json") == 0
    captured = capsys.readouterr()
    change = json.loads(captured.out)["depth_change"]["own"]
    assert change["frames"] == 2 and 0 < change["mean"] < 0.05
    assert out.with_suffix(".bin").stat().st_size < 0.35 * metric_weights.stat().st_size
    assert DepthEstimator.load(out, "cpu").backend.precision == "int8"


@needs_openvino
def test_ground_truth_gives_abs_rel(metric_weights, tiny_data, tmp_path, capsys):
    out = tmp_path / "net.xml"
    assert exported(metric_weights, out, "--to", "openvino", "--data", tiny_data) == 0
    said = capsys.readouterr().out
    assert "own frames" in said and "abs_rel with a scale for each image: 0." in said


@needs_onnx
def test_a_data_set_without_ground_truth_gives_frames_all_the_same(metric_weights, own_data, tmp_path, capsys):
    shutil.rmtree(own_data / "testing")
    for depth in own_data.glob("training/*/depth"):
        shutil.rmtree(depth)
    assert exported(metric_weights, tmp_path / "net.onnx", "--to", "onnx", "--data", own_data) == 0
    said = capsys.readouterr().out
    assert "own frames" in said and "abs_rel is not measured: no validation scene of" in said


def test_a_file_that_differs_is_not_written(metric_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "runner", lambda path, target: lambda pixels: np.ones((1, 64, 96), np.float32))
    out = tmp_path / "net.pt2"
    out.write_text("an earlier file")
    assert exported(metric_weights, out, "--to", "torch-export") == 1
    assert "differs from PyTorch by" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"] and out.read_text() == "an earlier file"


@pytest.mark.parametrize(
    ("out", "options", "sentence"),
    [
        ("x.pt", ["--to", "onnx"], "expected a name that ends in .onnx for --to onnx"),
        ("x.onnx", ["--to", "onnx", "--precision", "int8"], "--to onnx has no int8, expected float32 or float16"),
        ("x.xml", ["--to", "openvino", "--precision", "int8"], "give a folder of images with --frames"),
        ("x.pt2", ["--to", "torch-export", "--frames", "."], "has no *.jpg or *.png"),
    ],
)
def test_export_refuses(metric_weights, tmp_path, monkeypatch, capsys, out, options, sentence):
    monkeypatch.chdir(tmp_path)
    assert exported(metric_weights, tmp_path / out, *options) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_export_names_the_missing_library(metric_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert exported(metric_weights, tmp_path / "x.xml", "--to", "openvino") == 1
    assert "pip install '.[openvino]' in the folder of scdepth_ros" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@needs_openvino
@pytest.mark.parametrize(("name", "content"), [("a.xml", "<net/>"), ("b.xml", ""), ("c.xml", None)])
def test_files_that_are_not_ours_are_named(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=f"{name}.*scdepth export"):
        DepthEstimator.load(tmp_path / name, "cpu")


@needs_openvino
def test_an_openvino_file_without_its_numbers_says_which_are_missing(metric_weights, tmp_path):
    assert exported(metric_weights, tmp_path / "net.xml", "--to", "openvino") == 0
    (tmp_path / "net.bin").unlink()
    with pytest.raises(CheckpointError, match=r"net.xml' cannot be used \('net.bin', .* is missing beside it\)"):
        DepthEstimator.load(tmp_path / "net.xml", "cpu")


def test_depth_change_by_hand():
    frames = [np.zeros((1, 1, 2, 3), np.uint8)] * 2
    change = depth_change(lambda _: np.array([[[1.0, 2.0]]]), lambda _: np.array([[[1.1, 2.0]]]), frames)
    assert (change.frames, change.max, change.mean) == (2, pytest.approx(0.1), pytest.approx(0.05))
    assert depth_change(lambda _: np.ones((1, 1, 1)), lambda _: np.full((1, 1, 1), np.nan), frames).max == np.inf
