"""Evaluation over a set: flat memory, regions by masks, a Markdown row, and the sheet of best, median and worst."""

from __future__ import annotations

import json
import tracemalloc

import cv2
import numpy as np
import pytest

from scdepth_core import cli
from scdepth_core.data.scene_folder import SceneFolder
from scdepth_core.errors import DataError
from scdepth_core.evaluation import ALIGNMENTS, evaluate
from scdepth_core.inference.evaluate import masks_of
from scdepth_core.inference.evaluation_report import table
from scdepth_core.metrics import ERROR_NAMES, Protocol, depth_errors

WIDE = Protocol(max_depth=100.0)


def scene(seed=0, shape=(12, 16)):
    return np.random.default_rng(seed).uniform(1, 8, shape).astype(np.float32)


def test_memory_does_not_grow_with_the_set():
    """80 images of 160,000 pixels are 102 MB as float32 pairs; evaluated one by one they never take a tenth of it."""
    rng = np.random.default_rng(0)
    frames = ((truth * rng.uniform(0.5, 2), truth) for truth in (scene(i, (400, 400)) for i in range(80)))
    tracemalloc.start()
    result = evaluate(frames, WIDE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.images == 80
    assert peak < 0.1 * 80 * 400 * 400 * 8


def test_regions_by_hand():
    """What stands still is right; what moves is 1.5 times too far, with every scale: fewer than half the pixels."""
    truth = np.full((4, 10), 2.0, np.float32)
    moving = np.zeros(truth.shape, bool)
    moving[:, :3] = True
    prediction = np.where(moving, 3.0, 2.0).astype(np.float32)
    result = evaluate([(prediction, truth, moving)], WIDE)
    for alignment in ALIGNMENTS:
        assert result.regions["dynamic"].errors[alignment]["abs_rel"] == pytest.approx(0.5)
        assert result.regions["static"].errors[alignment]["abs_rel"] == pytest.approx(0)
        assert result.errors[alignment]["abs_rel"] == pytest.approx(0.3 * 0.5)
    assert (result.regions["dynamic"].images, result.regions["dynamic"].share) == (1, pytest.approx(0.3))
    assert result.regions["static"].share == pytest.approx(0.7)


def test_regions_take_the_scale_of_the_whole_image():
    truth, prediction = scene(1), scene(2)
    moving = scene(3) > 4
    result = evaluate([(prediction, truth, moving)], WIDE)
    scale = np.median(truth) / np.median(prediction)
    alone = depth_errors(np.where(moving, prediction, 1), np.where(moving, truth, 0), WIDE, scale)
    for name in ERROR_NAMES:
        assert result.regions["dynamic"].errors["image"][name] == pytest.approx(alone[name], rel=1e-5)


def test_an_image_where_nothing_moves_has_no_say_in_the_dynamic_region():
    truth, still = scene(), np.zeros((12, 16), bool)
    some = still.copy()
    some[0] = True
    result = evaluate([(truth, truth, still), (truth * 2, truth, some)], WIDE)
    assert (result.regions["dynamic"].images, result.regions["static"].images) == (1, 2)
    assert result.regions["dynamic"].errors["none"]["abs_rel"] == pytest.approx(1)
    assert result.regions["static"].errors["none"]["abs_rel"] == pytest.approx(0.5)


def test_masks_of_another_size_and_holes_in_the_prediction():
    truth = np.full((4, 8), 2.0, np.float32)
    prediction = truth.copy()
    prediction[0, 0] = np.nan
    mask = np.array([[1, 0]], bool)  # the left half moves
    result = evaluate([(prediction, truth, mask)], WIDE)
    assert result.regions["dynamic"].share == pytest.approx(15 / 31)
    assert result.coverage == pytest.approx(31 / 32)


def test_no_masks_no_regions():
    assert evaluate([(scene(), scene())], WIDE).regions == {}


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def run(own_data, untrained_weights):
    def evaluate_with(*options):
        given = ["evaluate", "--data", own_data, "--weights", untrained_weights, "--device", "cpu", *options]
        return cli.main([str(word) for word in given])

    return evaluate_with


def write_masks(folder, images, rows=20):
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        mask = np.zeros((64, 80), np.uint8)
        mask[:rows] = 255
        assert cv2.imwrite(str(folder / f"{image.stem}.png"), mask)


def test_the_scale_it_tells_is_the_one_to_pack(run, untrained_weights, tmp_path, capsys):
    """Whatever scale the weights say, what is measured is metres for each unit of the network."""
    assert run("--json") == 0
    measured = json.loads(capsys.readouterr().out)["metres_per_unit"]
    packed = tmp_path / "packed.safetensors"
    assert cli.main(["pack", str(untrained_weights), str(packed), "--metres-per-unit", "0.25", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metres_per_unit"] == 0.25
    assert run("--json", "--weights", packed) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["metres_per_unit"] == pytest.approx(measured, rel=1e-5)
    assert result["scale"] == pytest.approx(measured / 0.25, rel=1e-5)


def test_the_table_tells_it_too():
    result = evaluate([(scene(), 3 * scene())], WIDE)
    assert "One scale 3.0000 m a unit, scale spread 0.000." in table(result, "weights x on y")
    assert "One scale 6.0000 m a unit (3.0000 times what the weights say), scale spread" in table(result, "", 2.0)


def test_a_broken_prediction_says_of_which_image():
    good, broken = (scene(), scene()), (np.full((12, 16), np.nan, np.float32), scene())
    with pytest.raises(DataError, match="image 2 of the set: a prediction has no finite depth"):
        evaluate([good, broken], WIDE)


def test_masks_by_stem(run, own_data, tmp_path, capsys):
    write_masks(tmp_path / "masks", [image for image, _ in SceneFolder(own_data).testing])
    assert run("--masks", tmp_path / "masks", "--json") == 0
    regions = json.loads(capsys.readouterr().out)["regions"]
    assert regions["dynamic"]["share"] == pytest.approx(20 / 64)
    assert regions["static"]["images"] == 2
    assert run("--masks", tmp_path / "masks") == 0
    said = capsys.readouterr().out
    assert "| dynamic, per-image median |" in said and "Dynamic regions are 31.2% of the pixels, in 2 images." in said


def test_coloured_masks_as_public_copies_have_them(run, own_data, tmp_path, capsys):
    """Rows of three classes, two of which move; a class that differs in one channel only does not."""
    for image, _ in SceneFolder(own_data).testing:
        mask = np.zeros((64, 80, 3), np.uint8)
        mask[:8], mask[8:20], mask[20:30] = (220, 20, 60), (0, 0, 142), (220, 20, 61)
        (tmp_path / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "masks" / f"{image.stem}.png"), mask[..., ::-1])
    (tmp_path / "masks" / "dynamic_colors.txt").write_text("220 20 60\n0.0 0.0 1.42e2\n")
    assert run("--masks", tmp_path / "masks", "--json") == 0
    assert json.loads(capsys.readouterr().out)["regions"]["dynamic"]["share"] == pytest.approx(20 / 64)
    (tmp_path / "masks" / "dynamic_colors.txt").write_text("220 20\n")
    assert run("--masks", tmp_path / "masks") == 1
    assert "dynamic_colors.txt' has the line '220 20', expected red, green and blue" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: next(f.iterdir()).unlink(), "1 of 2 images have no partner"),
        (lambda f: [p.unlink() for p in f.iterdir()] and f.rmdir(), "are not a folder"),
        (lambda f: cv2.imwrite(str(next(f.iterdir())), np.zeros((4, 4, 3), np.uint8)), "expected an 8-bit PNG of one"),
        (lambda f: next(f.iterdir()).write_bytes(b"x"), "not a picture"),
    ],
)
def test_bad_masks(run, own_data, tmp_path, capsys, spoil, words):
    write_masks(tmp_path / "masks", [image for image, _ in SceneFolder(own_data).testing])
    spoil(tmp_path / "masks")
    assert run("--masks", tmp_path / "masks") == 1
    assert words in capsys.readouterr().err


def test_masks_of_several_scenes_need_folders(own_data, tmp_path):
    scenes = SceneFolder(own_data).training
    images = [image for one in scenes for image in one.images]
    write_masks(tmp_path / "masks" / scenes[0].name, scenes[0].images)
    with pytest.raises(Exception, match=rf"masks of 2 scenes need a folder each, .*{scenes[1].name}' is missing"):
        masks_of(images, tmp_path / "masks")
    write_masks(tmp_path / "masks" / scenes[1].name, scenes[1].images)
    masks = masks_of(images, tmp_path / "masks")
    assert [(m.parent.name, m.stem) for m in masks] == [(i.parent.name, i.stem) for i in images]


def test_a_markdown_row(run, own_data, capsys):
    assert run("--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert run("--markdown", "--align", "set") == 0
    row = capsys.readouterr().out.strip().split(" | ")
    assert row[:4] == ["| untrained.safetensors", "data", "custom", "one scale for the set"]
    assert float(row[4]) == pytest.approx(result["errors"]["set"]["abs_rel"], abs=6e-4)
    assert row[-1] == f"{result['scale_spread']:.3f} |"
    assert len(row) == 4 + 8 + 1


def test_the_protocol_of_the_data_set(run, own_data, capsys):
    (own_data / "dataset.yaml").write_text("preset: 7scenes")
    assert run("--json") == 0
    assert json.loads(capsys.readouterr().out)["protocol"] == "7scenes"
    assert run("--json", "--protocol", "custom") == 0
    assert json.loads(capsys.readouterr().out)["protocol"] == "custom"


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_sheet_of_best_median_and_worst(run, tmp_path, capsys, alignment):
    sheet = tmp_path / "new" / "sheet.png"
    assert run("--sheet", sheet, "--align", alignment, "--split", "val") == 0
    picture = cv2.imread(str(sheet))
    assert picture is not None and picture.std() > 10
    assert [path.name for path in sheet.parent.iterdir()] == ["sheet.png"]


def test_the_sheet_shows_the_ranked_frames(run, own_data, tmp_path, monkeypatch, capsys):
    seen = {}

    def look(path, rows, note, labels):
        seen.update(rows=rows, labels=labels)

    monkeypatch.setattr("scdepth_core.inference.evaluation_report.save_depth_sheet", look)
    assert run("--sheet", tmp_path / "s.png", "--split", "val", "--json") == 0
    errors = json.loads(capsys.readouterr().out)["per_image"]
    images = SceneFolder(own_data).validation[0].images
    order = np.argsort(errors)
    for label, name, index in zip(seen["labels"], ("best", "median", "worst"), (order[0], order[4], order[-1])):
        assert label == f"{name}: {images[index].stem}, abs_rel {errors[index]:.3f}"
    shown = depth_errors(seen["rows"][0][1], seen["rows"][0][2], Protocol(100.0), scale=1.0)  # under its own scale
    assert shown["abs_rel"] == pytest.approx(min(errors), rel=1e-4)


def test_a_sheet_is_a_png(run, tmp_path, capsys):
    assert run("--sheet", tmp_path / "sheet.jpg") == 1
    assert "expected a name that ends in .png" in capsys.readouterr().err
