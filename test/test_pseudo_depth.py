"""Pseudo depth: an ONNX file built here, files by stem, runs that go on, and what is missing in one sentence."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from scdepth_core import cli
from scdepth_core.data import PseudoDepth, SceneFolder, SequenceDataset
from scdepth_core.data.frame_index import listed_frames
from scdepth_core.data.scene_folder import read_depth, read_image
from scdepth_core.errors import BackendError, ConfigError, DataError
from scdepth_core.inference.foreign_models import IMAGENET_MEAN, IMAGENET_STD, OnnxModel, PipelineModel, load_model
from scdepth_core.inference.make_pseudo_depth import note_model, to_units


@pytest.fixture
def onnx_file(tmp_path):
    """A network that says how red a pixel is: a 1x1 convolution that takes ImageNet's normalisation back."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

    def build(height=32, width=48, channels=3, name="red.onnx", outputs=1, batch=1, reshape=None):
        make, kind = onnx.helper, onnx.TensorProto.FLOAT
        weight = np.zeros((outputs, channels, 1, 1), np.float32)
        weight[:, 0] = IMAGENET_STD[0]
        bias = np.full(outputs, IMAGENET_MEAN[0], np.float32)
        nodes = [make.make_node("Conv", ["image", "weight", "bias"], ["depth"])]
        numbers = [onnx.numpy_helper.from_array(weight, "weight"), onnx.numpy_helper.from_array(bias, "bias")]
        if reshape is not None:
            nodes[0].output[0] = "red"
            nodes.append(make.make_node("Reshape", ["red", "shape"], ["depth"]))
            numbers.append(onnx.numpy_helper.from_array(np.array(reshape), "shape"))
        graph = make.make_graph(
            nodes,
            "red",
            [make.make_tensor_value_info("image", kind, [batch, channels, height, width])],
            [make.make_tensor_value_info("depth", kind, reshape or [batch, outputs, height, width])],
            numbers,
        )
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, str(tmp_path / name))
        return tmp_path / name

    return build


def test_the_model_sees_the_picture_as_imagenet_networks_do(onnx_file):
    picture = np.random.default_rng(0).integers(1, 256, (32, 48, 3), np.uint8)
    assert np.allclose(OnnxModel(onnx_file())(picture), picture[..., 0] / 255, atol=1e-5)
    with pytest.raises(ConfigError, match="'.*' takes images of any size – say which with --input-size WxH"):
        OnnxModel(onnx_file("h", "w"))
    assert OnnxModel(onnx_file("h", "w"), (64, 32))(picture).shape == (32, 64)


def test_a_folder_is_filled_by_stem(onnx_file, tiny_data, tmp_path, capsys):
    out = tmp_path / "pseudo"
    assert cli.main(["pseudo-depth", str(tiny_data), str(out), "--model", str(onnx_file()), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(out), "written": 24, "kept": 0}
    folder = SceneFolder(tiny_data)
    for scene in (*folder.training, *folder.validation):
        assert sorted(path.name for path in (out / scene.name).iterdir()) == [path.name for path in scene.images]
    image = folder.validation[0].images[3]
    red = cv2.resize(cv2.resize(read_image(image), (48, 32), interpolation=cv2.INTER_AREA)[..., 0] / 255, (80, 64))
    made = read_depth(out / "val_0000" / f"{image.stem}.png", 1.0)
    assert made.max() == 65535 and np.allclose(made / 65535, red / red.max(), atol=0.01)


def test_an_interrupted_run_goes_on(onnx_file, tiny_data, tmp_path, capsys):
    out = tmp_path / "pseudo"
    options = ["pseudo-depth", str(tiny_data), str(out), "--model", str(onnx_file()), "--split", "val"]
    assert cli.main(options) == 0
    kept, lost = (out / "val_0000" / f"{index:06d}.png" for index in (1, 2))
    kept.write_bytes(b"mine")
    lost.unlink()
    assert cli.main([*options, "--json"]) == 0
    assert kept.read_bytes() == b"mine" and lost.exists()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["written"] == 1


@pytest.mark.parametrize(("missing", "other"), [("val", "train"), ("train", "val")])
def test_without_one_of_the_lists(onnx_file, own_data, tmp_path, capsys, missing, other):
    (own_data / "training" / f"{missing}.txt").unlink()
    options = ["pseudo-depth", str(own_data), str(tmp_path / "out"), "--model", str(onnx_file())]
    for split in ("all", missing):
        assert cli.main([*options, "--split", split]) == 1
        said = capsys.readouterr().err
        assert f"{missing}.txt' is missing – list one scene name a line in it, or choose" in said
        assert said.endswith(f"with --split {other}\n")
    assert cli.main([*options, "--split", other]) == 0
    (own_data / "training" / f"{other}.txt").unlink()
    assert (
        cli.main(options) == 1
        and "train.txt' is missing – list one scene name a line in it\n" in capsys.readouterr().err
    )


def test_maps_of_two_models_are_not_mixed(onnx_file, tiny_data, tmp_path, capsys):
    out = tmp_path / "pseudo"
    options = ["pseudo-depth", str(tiny_data), str(out), "--split", "val", "--model"]
    assert cli.main([*options, str(onnx_file())]) == 0
    digest = hashlib.sha256((tmp_path / "red.onnx").read_bytes()).hexdigest()
    assert json.loads((out / "model.json").read_text()) == {"model": "red.onnx", "input_size": None, "sha256": digest}
    assert cli.main([*options, str(onnx_file(name="other.onnx"))]) == 1
    assert "holds maps of red.onnx (input size None), not of other.onnx" in capsys.readouterr().err


def test_files_of_one_name_are_told_by_their_contents(tmp_path):
    out = tmp_path / "out"
    for folder, contents in (("a", b"one"), ("b", b"two"), ("c", b"one")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.onnx").write_bytes(contents)
    note_model(out, str(tmp_path / "a" / "model.onnx"), None)
    note_model(out, str(tmp_path / "c" / "model.onnx"), None)
    with pytest.raises(ConfigError, match=r"out' holds maps of another file named model\.onnx – choose another OUT"):
        note_model(out, str(tmp_path / "b" / "model.onnx"), None)
    (tmp_path / "c" / "model.onnx.data").write_bytes(b"the weights of a large network")
    with pytest.raises(ConfigError, match=r"holds maps of another file named model\.onnx"):
        note_model(out, str(tmp_path / "c" / "model.onnx"), None)


def test_a_note_of_an_earlier_release(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"one")
    note = tmp_path / "model.json"
    note.write_text('{"model": "model.onnx", "input_size": [64, 32]}\n')
    note_model(tmp_path, str(tmp_path / "model.onnx"), (64, 32))
    with pytest.raises(ConfigError, match=r"holds maps of model\.onnx \(input size \[64, 32\]\), not of .* \(None\)"):
        note_model(tmp_path, str(tmp_path / "model.onnx"), None)
    for text in ("[]", "{}"):
        note.write_text(text)
        with pytest.raises(
            ConfigError, match=r"model\.json' names no model – remove it, if the maps beside it are of red"
        ):
            note_model(tmp_path, "red", None)


def test_a_model_that_is_refused_leaves_the_folder_to_another(onnx_file, tiny_data, tmp_path, capsys):
    options = ["pseudo-depth", str(tiny_data), str(tmp_path / "out"), "--split", "val", "--model"]
    assert cli.main([*options, str(onnx_file(name="scores.onnx", reshape=[1, 1536]))]) == 1
    assert "is it a depth network?" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert cli.main([*options, str(onnx_file())]) == 0


def test_the_note_is_whole_or_not_there(tmp_path, monkeypatch):
    def killed(self, text):
        self.write_bytes(b'{"mod')
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_text", killed)
        note_model(tmp_path, "red", None)
    assert not (tmp_path / "model.json").exists()
    (tmp_path / "model.json").write_text('{"mod')  # as earlier releases could leave it
    with pytest.raises(ConfigError, match="model.json' is not JSON .* remove it, if the maps beside it are of red"):
        note_model(tmp_path, "red", None)


def test_a_device_is_not_ignored(onnx_file):
    with pytest.raises(ConfigError, match="--device is cuda:0, but ONNX files run on the CPU here"):
        load_model(str(onnx_file()), device="cuda:0")


def maps_in(folder, scene, value):
    folder.mkdir(parents=True)
    for image in scene.images:
        cv2.imwrite(str(folder / f"{image.stem}.png"), np.full((64, 80), value, np.uint16))


def test_a_folder_that_is_both_in_the_scene_and_where_the_command_runs(own_data, tmp_path, monkeypatch):
    scene = SceneFolder(own_data).training[0]
    inside, here = scene.images[0].parent / "pseudo_depth", tmp_path / "cwd" / "pseudo_depth"
    maps_in(here / scene.name, scene, 7)
    monkeypatch.chdir(here.parent)
    assert {path.parent.resolve() for path in PseudoDepth().files(scene)} == {here / scene.name}
    maps_in(inside, scene, 9)
    with pytest.raises(
        DataError, match=rf"in '{inside}' and in 'pseudo_depth/{scene.name}' – rename one, or .* {here}$"
    ):
        PseudoDepth().files(scene)
    assert {path.parent for path in PseudoDepth(str(here)).files(scene)} == {here / scene.name}
    monkeypatch.chdir(tmp_path)
    assert {path.parent for path in PseudoDepth().files(scene)} == {inside}


def test_one_folder_by_two_names(own_data, tmp_path, monkeypatch):
    scene = SceneFolder(own_data).training[0]
    maps_in(tmp_path / "pseudo_depth" / scene.name, scene, 7)
    (scene.images[0].parent / "pseudo_depth").symlink_to(tmp_path / "pseudo_depth" / scene.name)
    monkeypatch.chdir(tmp_path)
    assert len(PseudoDepth().files(scene)) == len(scene.images)


@pytest.mark.parametrize("pseudo_depth", [None, PseudoDepth("depth")])
def test_a_scene_with_an_empty_frame_index_is_left_out(own_data, caplog, pseudo_depth):
    scenes = SceneFolder(own_data).training
    (scenes[0].images[0].parent / "frame_index.txt").write_text("")
    scenes[0] = listed_frames(scenes[0])
    data = SequenceDataset(scenes, 64, 80, pseudo_depth=pseudo_depth)
    assert len(data) == sum(len(scene.images) - 2 for scene in scenes[1:]) and data[0]["images"].shape == (3, 3, 64, 80)
    assert f"1 of {len(scenes)} scenes have fewer than 3 frames and are left out" in caplog.text
    with pytest.raises(DataError, match="no scene is long enough"):
        SequenceDataset(scenes[:1], 64, 80, pseudo_depth=pseudo_depth)


def test_sixteen_bits_keep_order_and_no_value():
    made = np.array([[-1.0, 0.0, 1e-9, 0.5, 2.0]], np.float32)
    assert to_units(made).tolist() == [[0, 0, 1, 16384, 65535]]


@pytest.mark.parametrize(
    ("shape", "size", "words"),
    [
        ({"channels": 1}, None, r"expected one float image \(1, 3, H, W\)"),
        ({}, (64, 64), "--input-size is 64x64, but '.*' takes 48x32 only"),
        ({"batch": 2}, None, r"takes image tensor\(float\) \[2, 3, 32, 48\], expected one float image \(1, 3, H, W\)"),
        ({"width": "w"}, (48, 64), "--input-size is 48x64, but '.*' takes Wx32 only"),
        ({"height": "h"}, (64, 32), "--input-size is 64x32, but '.*' takes 48xH only"),
        ({"width": "w"}, None, "takes images of any width – say which with --input-size Wx32"),
        ({"height": "h"}, None, "takes images of any height – say which with --input-size 48xH"),
    ],
)
def test_networks_that_do_not_fit(onnx_file, shape, size, words):
    with pytest.raises(ConfigError, match=words):
        load_model(str(onnx_file(**shape)), size)


def test_one_fixed_side_and_any_batch(onnx_file):
    picture = np.zeros((64, 96, 3), np.uint8)
    assert OnnxModel(onnx_file(width="w", batch="n"), (64, 32))(picture).shape == (32, 64)
    assert OnnxModel(onnx_file("h", "w", batch=None), (56, 40))(picture).shape == (40, 56)


@pytest.mark.parametrize(
    ("sides", "size", "way_out"),
    [
        (("h", "w"), (64, 50), "give another --input-size, many take multiples of 14 or 32"),
        ((50, 64), None, "export again"),
    ],
)
def test_a_network_that_cannot_take_its_size(onnx_file, tiny_data, tmp_path, capfd, sides, size, way_out):
    out, network = tmp_path / "out", onnx_file(*sides, reshape=[1, 1, 32, 48])
    options = ["--input-size", f"{size[0]}x{size[1]}"] if size else []
    assert cli.main(["pseudo-depth", str(tiny_data), str(out), "--model", str(network), *options]) == 1
    error = capfd.readouterr().err
    assert "red.onnx' fails on an image of 64x50 ([ONNXRuntimeError]" in error and f") – {way_out}\n" in error
    assert "[E:onnxruntime" not in error and not list(out.rglob("*.png*"))


@pytest.mark.parametrize("output", [[1, 1536], [1536, 1], [4, 384], [1, 1, 192, 8], [1, 16, 96]])
def test_what_is_no_map_of_the_image(onnx_file, output):
    """Scores of a classifier and tokens of a transformer are numbers in two dimensions, too."""
    network = OnnxModel(onnx_file(reshape=output))
    found = ", ".join(map(str, output))
    with pytest.raises(ConfigError, match=rf"gives \({found}\) for an image of 48x32, expected a map of the image"):
        network(np.zeros((64, 96, 3), np.uint8))


def test_more_than_one_map(onnx_file):
    with pytest.raises(ConfigError, match=r"the model gives \(1, 2, 32, 48\), expected one map"):
        OnnxModel(onnx_file(outputs=2))(np.zeros((32, 48, 3), np.uint8))


def test_files_that_are_no_network(onnx_file, tmp_path):
    onnx_file()
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(ConfigError, match=r"bad\.onnx' cannot be read as an ONNX network"):
        load_model(str(tmp_path / "bad.onnx"))
    with pytest.raises(BackendError, match=r"nowhere\.onnx' does not exist"):
        load_model(str(tmp_path / "nowhere.onnx"))


def test_without_onnxruntime(monkeypatch, tiny_data, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert cli.main(["pseudo-depth", str(tiny_data), str(tmp_path / "out"), "--model", "x.onnx"]) == 1
    error = capsys.readouterr().err
    assert "needs onnxruntime, which is not installed – pip install '.[pseudo-depth]' in the folder of" in error
    assert not (tmp_path / "out").exists()


def test_without_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackendError, match=r"'some/model' needs transformers .* or give an \.onnx file"):
        load_model("some/model")
    with pytest.raises(ConfigError, match="--input-size is for ONNX files"):
        load_model("some/model", (32, 32))


def test_a_name_without_a_connection(monkeypatch):
    """transformers raises OSError for what is not in its cache; the sentence says what to do."""

    def offline(task, model, device):
        raise OSError("We couldn't connect to the hub\nto load this file")

    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(pipeline=offline))
    with pytest.raises(BackendError, match="cannot be fetched.*couldn't connect.* give its folder, or give an .onnx"):
        load_model("some/model")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ImportError("It requires the Torchvision\nlibrary"),
            r"needs a library .* \(ImportError: It requires the Torch",
        ),
        (KeyError("new_kind"), r"cannot load model 'some/model' on cpu \(KeyError: 'new_kind'\) – update transformers"),
        (
            AssertionError("Torch not compiled"),
            r"cannot load .* on cpu \(AssertionError: Torch not compiled\) – .*--device",
        ),
        (
            RuntimeError("out of memory"),
            r"cannot load model .* \(RuntimeError: out of memory\) – .* or give an \.onnx file",
        ),
    ],
)
def test_a_pipeline_that_cannot_be_made(monkeypatch, tiny_data, tmp_path, capsys, error, words):
    def pipeline(task, model, device):
        raise error

    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(pipeline=pipeline))
    assert cli.main(["pseudo-depth", str(tiny_data), str(tmp_path / "out"), "--model", "some/model"]) == 1
    said = capsys.readouterr().err
    assert re.search(words, said) and len(said.strip().splitlines()) == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", "device 'gpu' is unknown, expected auto, cpu, cuda or cuda:N"),
        ("cuda:0", r"device 'cuda:0' is not there \(0 CUDA devices found\) – use cpu"),
    ],
)
def test_a_device_that_is_not_there(monkeypatch, device, words):
    def pipeline(task, model, device):
        raise AssertionError("asked for a model before its device was found")

    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(pipeline=pipeline))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(BackendError, match=words):
        load_model("some/model", device=device)


def test_a_pipeline_that_fails_on_an_image(monkeypatch):
    def pipeline(task, model, device):
        return lambda picture: {"depth": None}

    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(pipeline=pipeline))
    with pytest.raises(
        BackendError, match=r"'some/model' fails on an image of 48x32 \(KeyError: 'predicted_depth'\) – "
    ):
        load_model("some/model")(np.zeros((32, 48, 3), np.uint8))


def test_a_pipeline_is_asked_for_its_raw_map(monkeypatch):
    def pipeline(task, model, device):
        assert (task, model, device) == ("depth-estimation", "some/model", "cpu")
        return lambda picture: {"predicted_depth": np.asarray(picture, np.float32)[None, ..., 1], "depth": None}

    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(pipeline=pipeline))
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    assert (PipelineModel("some/model")(picture) == picture[..., 1]).all()


def test_a_model_that_gives_nothing(monkeypatch, tiny_data, tmp_path, capsys):
    def pipeline(task, model, device):
        return lambda picture: {"predicted_depth": np.zeros((1, 8, 8))}

    monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(pipeline=pipeline))
    assert cli.main(["pseudo-depth", str(tiny_data), str(tmp_path / "out"), "--model", "some/model"]) == 1
    assert "gives no finite value above 0 for" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.png*"))
