"""The `scdepth` command: results where they were asked for, one line and exit status 1 for what cannot be done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from scdepth_core import cli
from scdepth_core.checkpoint import save_weights
from scdepth_core.data.scene_folder import SceneFolder, read_depth, read_image
from scdepth_core.evaluation import ALIGNMENTS, evaluate
from scdepth_core.inference import DepthEstimator
from scdepth_core.inference.predict import save_depth
from scdepth_core.metrics import ERROR_NAMES, PROTOCOLS
from scdepth_core.weights_metadata import WeightsMetadata


@pytest.fixture
def images(tmp_path):
    """A folder of two pictures, 70x50 and 96x64."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (50, 70)), ("b.jpg", (64, 96))):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (*size, 3), np.uint8))
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def predict(images, untrained_weights, tmp_path):
    def run(*options, inputs=(images,)):
        given = ["predict", *map(str, inputs), "--out", str(tmp_path / "out"), "--weights", str(untrained_weights)]
        return cli.main([*given, "--device", "cpu", *map(str, options)])

    run.out = tmp_path / "out"
    return run


def refused(capsys) -> str:
    """The one line on stderr of a command that was refused."""
    captured = capsys.readouterr()
    assert captured.err.startswith("scdepth: ") and captured.err.count("\n") == 1, captured.err
    assert captured.out == ""
    return captured.err


# --- predict ------------------------------------------------------------------------------------------------------


def test_predict_arrays_and_pictures(predict, images, untrained_weights, capsys):
    assert predict() == 0
    assert sorted(path.name for path in predict.out.iterdir()) == ["a.npy", "a_color.png", "b.npy", "b_color.png"]
    expected = DepthEstimator.load(untrained_weights, "cpu").predict(read_image(images / "a.png"))
    depth = np.load(predict.out / "a.npy")
    assert depth.dtype == np.float32 and (depth == expected).all()
    assert cv2.imread(str(predict.out / "b_color.png")).shape == (64, 96, 3)
    said = f"weights {untrained_weights.name}: 2 depth maps in '{predict.out}', in network units\n"
    assert capsys.readouterr().out == said


def test_predict_16_bit_metres(predict, untrained_weights, capsys):
    assert predict("--format", "png", "--metres-per-unit", "2", "--depth-factor", "500", "--no-color", "--json") == 0
    assert predict("--no-color") == 0
    assert sorted(path.name for path in predict.out.iterdir()) == ["a.npy", "a.png", "b.npy", "b.png"]
    stored = cv2.imread(str(predict.out / "a.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    assert np.allclose(stored / 500, 2 * np.load(predict.out / "a.npy"), atol=0.5001 / 500)
    summary = json.loads(capsys.readouterr().out.splitlines()[0])
    assert summary.pop("seconds") >= 0
    expected = {"images": 2, "out": str(predict.out), "unit": "metres", "beyond_16_bits": 0.0}
    assert summary == {"weights": str(untrained_weights), **expected}


def test_predict_uses_the_scale_of_the_weights(predict, untrained_network, tmp_path, capsys):
    metric = tmp_path / "metric.safetensors"
    save_weights(metric, untrained_network.state_dict(), WeightsMetadata(height=64, width=96, metres_per_unit=3.0))
    assert predict("--no-color") == 0
    units = np.load(predict.out / "a.npy")
    assert predict("--no-color", "--weights", metric) == 0
    assert np.allclose(np.load(predict.out / "a.npy"), 3 * units)
    assert "in metres" in capsys.readouterr().out


def test_depth_beyond_16_bits_is_said(predict, tmp_path, capsys):
    assert save_depth(tmp_path / "x.png", np.array([[1, 65.535, 65.536, np.nan]], np.float32), 1000) == 0.5
    assert cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED).tolist() == [[1000, 65535, 0, 0]]
    assert predict("--format", "png", "--depth-factor", "1e6") == 0
    assert "100.0% of the pixels are too far for 16 bits" in capsys.readouterr().out


def test_predict_a_fixed_range_of_colours(predict):
    assert predict("--range", "50", "60") == 0  # everything an untrained network says is nearer
    assert len(np.unique(cv2.imread(str(predict.out / "a_color.png")).reshape(-1, 3), axis=0)) == 1


def test_predict_files_and_folders(predict, images):
    assert predict("--no-color", inputs=(images / "b.jpg",)) == 0
    assert [path.name for path in predict.out.iterdir()] == ["b.npy"]


def test_an_interrupted_run_leaves_whole_files_only(predict, monkeypatch, capsys):
    original, calls = DepthEstimator.predict, []

    def interrupted(self, rgb):
        calls.append(rgb)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, rgb)

    monkeypatch.setattr(DepthEstimator, "predict", interrupted)
    assert predict() == 130
    assert sorted(path.name for path in predict.out.iterdir()) == ["a.npy", "a_color.png"]
    assert "interrupted" in capsys.readouterr().err


def test_files_appear_complete(tmp_path, monkeypatch):
    def fail(file, depth):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_depth(tmp_path / "x.npy", np.ones((2, 2), np.float32), 1000)
    assert not (tmp_path / "x.npy").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--metres-per-unit", "0"), "--metres-per-unit is 0, expected a number above 0"),
        (("--metres-per-unit", "nan"), "--metres-per-unit is nan"),
        (("--metres-per-unit", "1e300"), "--metres-per-unit is 1e+300, expected a number above 0, up to 10000"),
        (("--metres-per-unit", "inf"), "--metres-per-unit is inf"),
        (("--depth-factor", "-5"), "--depth-factor is -5"),
        (("--depth-factor", "1e300"), "--depth-factor is 1e+300, expected a number above 0, up to 1e+06"),
        (("--range", "3", "2"), "--range is 3 2, expected 0 < NEAR < FAR"),
        (("--device", "gpu"), "device 'gpu' is unknown"),
        (("--backend", "tflite"), "backend 'tflite' is unknown, expected auto, torch, compiled"),
        (("--precision", "half"), "precision 'half' is unknown, expected auto, float32, bfloat16"),
        (("--backend", "cuda-graph"), "backend cuda-graph runs on CUDA only, the device is cpu"),
        (("--precision", "int8"), "int8 has to be calibrated on frames of your camera"),
        (("--weights", "nowhere.safetensors"), "weights 'nowhere.safetensors' do not exist"),
    ],
)
def test_predict_refuses(predict, capsys, options, words):
    assert predict(*options) == 1
    assert words in refused(capsys)
    assert not predict.out.exists()


def test_predict_runs_in_the_backend_that_is_named(predict, images, untrained_weights):
    assert predict("--backend", "torch", "--precision", "float32") == 0
    expected = DepthEstimator.load(untrained_weights, "cpu", "torch", "float32").predict(read_image(images / "a.png"))
    assert (np.load(predict.out / "a.npy") == expected).all()


def test_predict_refuses_inputs(predict, images, tmp_path, capsys):
    assert predict(inputs=(tmp_path / "nowhere",)) == 1
    assert "nowhere' does not exist – give images or folders" in refused(capsys)
    (tmp_path / "empty").mkdir()
    assert predict(inputs=(tmp_path / "empty",)) == 1
    assert "has no *.jpg or *.png" in refused(capsys)
    assert predict(inputs=(images, images / "a.png")) == 1
    assert "would both become 'a'" in refused(capsys)
    assert predict(inputs=(images / "notes.txt",)) == 1
    assert "cannot be decoded as an image" in capsys.readouterr().err.splitlines()[-1]


def test_predict_never_replaces_its_input(predict, images, untrained_weights, capsys):
    before = (images / "a.png").read_bytes()
    options = ["--out", str(images), "--weights", str(untrained_weights), "--format", "png", "--no-color"]
    assert cli.main(["predict", str(images), *options]) == 1
    assert "is an input and would be replaced" in refused(capsys)
    assert (images / "a.png").read_bytes() == before


def test_predict_leaves_no_pictures_beside_its_input(images, untrained_weights, capsys):
    """Training would take them for frames; arrays it would not."""
    before = sorted(images.iterdir())
    options = ["--out", str(images / "." / ".." / images.name), "--weights", str(untrained_weights)]
    for given in ([], ["--format", "png"]):
        assert cli.main(["predict", str(images / "a.png"), *options, *given]) == 1
        said = refused(capsys)
        assert "which images are read from" in said or "would be replaced" in said
        assert sorted(images.iterdir()) == before
    assert cli.main(["predict", str(images), *options, "--no-color"]) == 0


def test_predict_never_writes_a_file_twice(predict, images, capsys):
    (images / "a.png").rename(images / "b_color.png")
    assert predict("--format", "png") == 1
    assert "'b_color.png' would be written twice" in refused(capsys)


def test_an_output_folder_that_cannot_be(predict, capsys):
    predict.out.write_text("a file is in the way")
    assert predict() == 1
    assert f"--out is '{predict.out}', which is a file – expected a folder" in refused(capsys)


# --- evaluate -----------------------------------------------------------------------------------------------------


def expected_evaluation(weights, pairs):
    estimator = DepthEstimator.load(weights, "cpu")
    return evaluate([(estimator.predict(read_image(i)), read_depth(d, 1000.0)) for i, d in pairs], PROTOCOLS["7scenes"])


@pytest.mark.parametrize("backend", ["cuda-graph", "tensorrt"])
def test_evaluate_takes_backend_and_precision(tiny_data, untrained_weights, capsys, backend):
    options = ["--data", str(tiny_data), "--weights", str(untrained_weights), "--device", "cpu"]
    assert cli.main(["evaluate", *options, "--backend", backend, "--precision", "float16"]) == 1
    assert f"backend {backend} runs on CUDA only, the device is cpu" in refused(capsys)
    assert cli.main(["evaluate", *options, "--backend", "torch", "--precision", "float16"]) == 1
    assert "backend torch has no float16 on cpu – choose float32" in refused(capsys)


def test_evaluate_as_json(tiny_data, untrained_weights, capsys):
    options = ["--weights", str(untrained_weights), "--protocol", "7scenes", "--device", "cpu", "--json"]
    assert cli.main(["evaluate", "--data", str(tiny_data), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    expected = expected_evaluation(untrained_weights, SceneFolder(tiny_data).testing)
    assert set(result["errors"]) == set(ALIGNMENTS)
    for alignment in ALIGNMENTS:
        assert result["errors"][alignment] == pytest.approx(expected.errors[alignment])
    assert set(result["constant"]) == set(ERROR_NAMES)
    assert (result["images"], result["skipped"], result["coverage"]) == (2, 0, 1.0)
    assert result["scale"] == pytest.approx(expected.scale)
    assert result["per_image"] == pytest.approx(expected.per_image)
    assert (result["weights"], result["data"]) == (str(untrained_weights), str(tiny_data))


def test_evaluate_the_validation_scenes_as_a_table(tiny_data, untrained_weights, capsys):
    options = ["--weights", str(untrained_weights), "--split", "val", "--protocol", "7scenes"]
    assert cli.main(["evaluate", "--data", str(tiny_data), *options]) == 0
    said = capsys.readouterr().out
    scene = SceneFolder(tiny_data).validation[0]
    expected = expected_evaluation(untrained_weights, zip(scene.images, scene.depths))
    assert f"| one scale for the set | {expected.errors['set']['abs_rel']:.3f} |" in said
    for words in ("| per-image median |", "| as it stands |", "| constant depth, one scale |", ": 8 images (0 without"):
        assert words in said
    assert f"One scale {expected.scale:.4f} m a unit, scale spread {expected.scale_spread:.3f}" in said


def test_evaluate_without_truth_in_some_images(own_data, untrained_weights, capsys):
    first, _ = sorted((own_data / "testing" / "depth").iterdir())
    cv2.imwrite(str(first), np.zeros((64, 80), np.uint16))
    assert cli.main(["evaluate", "--data", str(own_data), "--weights", str(untrained_weights), "--json"]) == 0
    result = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert (result["images"], result["skipped"]) == (1, 1)
    assert result["per_image"][0] is None and result["per_image"][1] > 0


def test_evaluate_counts_frames_without_a_depth_file(own_data, capsys):
    """And says that it took the starter weights, which nobody named."""
    depths = sorted((own_data / "training" / "val_0000" / "depth").iterdir())
    for path in depths[2:]:
        path.unlink()
    assert cli.main(["evaluate", "--data", str(own_data), "--split", "val", "--device", "cpu"]) == 0
    sentence = f"starter weights on {own_data.name}: 2 images ({len(depths) - 2} without ground truth)."
    out = capsys.readouterr().out
    assert sentence in out and "Protocol 'custom', 1000 units a metre in 16-bit depth." in out


def test_evaluate_a_flat_wall(own_data, untrained_weights, capsys):
    """A constant depth is perfect there, and nothing is divided by its error."""
    for path in (own_data / "testing" / "depth").iterdir():
        cv2.imwrite(str(path), np.full((64, 80), 2000, np.uint16))
    assert cli.main(["evaluate", "--data", str(own_data), "--weights", str(untrained_weights)]) == 0
    assert "| constant depth, one scale | 0.000 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "options", "words"),
    [
        (lambda d: None, ("--protocol", "nyu"), "this protocol crops 640x480"),
        (lambda d: None, ("--data", "nowhere"), "data set 'nowhere' is not a folder"),
        (lambda d: (d / "dataset.yaml").write_text("depth_factor: 1"), (), "none of the 2 ground-truth depths"),
        (lambda d: next((d / "testing" / "depth").iterdir()).unlink(), (), "1 of 2 images have no partner"),
        (lambda d: (d / "training" / "val.txt").unlink(), ("--split", "val"), "val.txt' is missing"),
        (
            lambda d: [p.unlink() for p in (d / "training" / "val_0000" / "depth").iterdir()],
            ("--split", "val"),
            "has ground-truth depth",
        ),
    ],
)
def test_evaluate_refuses(own_data, untrained_weights, capsys, spoil, options, words):
    spoil(own_data)
    assert cli.main(["evaluate", "--data", str(own_data), "--weights", str(untrained_weights), *options]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("scdepth: ") and words in error


# --- the command itself -------------------------------------------------------------------------------------------


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in cli.COMMANDS)


@pytest.mark.parametrize("command", ["predict", "evaluate", "synthesize", "train"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert f"scdepth {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["predikt"], ["predict"], ["evaluate", "--data", "x", "--split", "some"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "usage: scdepth" in error and "Traceback" not in error
    if arguments == ["predikt"]:
        assert all(name in error for name in cli.COMMANDS)


@pytest.mark.parametrize("command", ["predict a.png --out b", "view a", "extract a b", "check a"])
def test_an_option_that_a_command_does_not_have_is_answered_by_that_command(command, capsys):
    name = command.split()[0]
    with pytest.raises(SystemExit) as stop:
        cli.main([*command.split(), "--colour", "red"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith(f"usage: scdepth {name} [-h]")
    assert error.endswith(f"scdepth {name}: error: unrecognized arguments: --colour red\n")


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(args):
        raise ZeroDivisionError

    monkeypatch.setattr("scdepth_core.inference.predict.run", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["predict", "x", "--out", "y"])


def test_an_error_of_the_system_is_one_line(monkeypatch, capsys):
    def full(args):
        raise OSError(28, "No space left on device", "/data/x.npy")

    monkeypatch.setattr("scdepth_core.inference.predict.run", full)
    assert cli.main(["predict", "x", "--out", "y"]) == 1
    assert refused(capsys) == "scdepth: No space left on device '/data/x.npy'\n"


def test_the_installed_command(tmp_path):
    """In its own process: exit status 1, one line on stderr, no traceback."""
    code = "import sys; from scdepth_core.cli import main; sys.exit(main())"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, "evaluate", "--data", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and "nowhere' is not a folder" in done.stderr


def test_commands_are_modules_of_one_form():
    import importlib

    for name, (module, _) in cli.COMMANDS.items():
        if name in ("predict", "evaluate", "synthesize"):
            loaded = importlib.import_module(module)
            loaded.add_arguments(ArgumentParser())
            assert callable(loaded.run)


RECIPES = (Path(__file__).parent.parent / "config" / "train").glob("*.yaml")


@pytest.mark.parametrize("recipe", sorted(RECIPES), ids=lambda path: path.stem)
def test_every_recipe_is_understood(recipe, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "--config", str(recipe), "--data", "anything", "--print_config"])
    encoder = yaml.safe_load(recipe.read_text())["model"]["encoder"]
    assert ended.value.code == 0 and f"encoder: {encoder}" in capsys.readouterr().out
