"""The data-set doctor: every ailment is found in its file, with a cure; a healthy data set has none."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from scdepth_core import cli
from scdepth_core.data import SceneFolder
from scdepth_core.data.doctor import examine
from scdepth_core.data.doctor.findings import ERROR, WARNING
from scdepth_core.data.doctor.motion import MotionRecord
from scdepth_core.data.training_advice import SceneMeasures, training_line
from scdepth_core.presets import PRESETS
from scdepth_core.training.train import build_parser
from scdepth_core.training.versions import asked_version

K = np.array([[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]])


def texture(seed=0, size=(500, 300)):
    """Rectangles laid over each other, small ones last."""
    rng = np.random.default_rng(seed)
    picture = np.full((*size[::-1], 3), 128, np.uint8)
    for length, count in ((80, 40), (30, 200), (10, 900)):
        for x, y, wide, high, grey in rng.uniform(0, 1, (count, 5)):
            corner = int(x * size[0]), int(y * size[1])
            opposite = int(corner[0] + length * (0.3 + wide)), int(corner[1] + length * (0.3 + high))
            cv2.rectangle(picture, corner, opposite, [int(30 + 195 * grey)] * 3, -1)
    return cv2.GaussianBlur(picture, (0, 0), 0.6)


def view(x, seed=0):
    """What a camera x pixels to the right sees of a flat wall."""
    return texture(seed)[60:180, 20 + x : 180 + x]


def write_scene(root, name, frames, depths=False):
    folder = root / "training" / name
    (folder / "depth").mkdir(parents=True)
    np.savetxt(folder / "cam.txt", K)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{index:04d}.png"), frame)
        if depths:
            cv2.imwrite(str(folder / "depth" / f"{index:04d}.png"), np.full(frame.shape[:2], 2000, np.uint16))
    return folder


@pytest.fixture(scope="session")
def healthy(tmp_path_factory):
    """Scenes `a` and `b` of 10 frames that move by 4 pixels, with depth, and two test images."""
    root = tmp_path_factory.mktemp("healthy") / "set"
    for name, seed in (("a", 0), ("b", 1)):
        write_scene(root, name, [view(4 * step, seed) for step in range(10)], depths=True)
    (root / "training" / "train.txt").write_text("a\n")
    (root / "training" / "val.txt").write_text("b\n")
    for split, picture in (("color", view(0)), ("depth", np.full((120, 160), 1500, np.uint16))):
        (root / "testing" / split).mkdir(parents=True)
        for stem in ("x", "y"):
            cv2.imwrite(str(root / "testing" / split / f"{stem}.png"), picture)
    return root


@pytest.fixture
def root(healthy, tmp_path):
    return shutil.copytree(healthy, tmp_path / "set")


def found(root, **options):
    return [(f.level, f.kind, f.file.removeprefix(f"{root}/")) for f in examine(SceneFolder(root), **options).findings]


def test_the_training_line_is_one_that_train_takes(root, capsys, monkeypatch):
    """It names a recipe that exists, the frames' own size, and what the depth of the validation scenes allows."""
    monkeypatch.chdir(root.parent)
    cli.main(["check", "set", "--json"])
    words = shlex.split(json.loads(capsys.readouterr().out)["train"])
    assert words[:2] == ["scdepth", "train"] and "--model.validation" not in words
    settings = build_parser(asked_version(words[2:])).parse_args(words[2:])
    assert settings.data == Path("set") and settings.out == Path("runs/set")
    assert (settings.samples.width, settings.samples.height) == (128, 96)
    shutil.rmtree(root / "training" / "b" / "depth")
    cli.main(["check", "set"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("train with: scdepth train") and last.endswith("--model.validation photometric")


@pytest.mark.parametrize(
    "figures, expected",
    [
        ({"rotation_share": 0.6}, "--version v2"),
        ({"rotation_share": 0.4}, "--version v1"),
        ({"rotation_share": None, "parallax": None}, "--version v1"),
        ({"parallax": 0.3}, "--samples.stride 7"),
        ({"parallax": 0.3, "frames": 10}, "--samples.stride 4"),  # 9 frames: a target between two sources
        ({"size": (1242, 375)}, "--samples.width 832"),
        ({"size": (1242, 375), "preset": "kitti_raw"}, "config/train/kitti.yaml"),  # 832 wide as it is
        ({"size": None, "preset": "kitti_odometry"}, "config/train/kitti.yaml"),
        ({"preset": "nyu"}, "config/train/nyu.yaml"),
        ({"size": (1936, 1216), "preset": "ddad"}, "config/train/ddad.yaml"),
        ({"size": (640, 480)}, "--out 'runs/my drive'"),
    ],
)
def test_the_training_line_follows_the_figures(figures, expected):
    wanted = {"rotation_share": 0.2, "parallax": 3.0, "frames": 50, "size": (320, 256), "preset": "custom"} | figures
    scenes = [SceneMeasures(split, wanted["frames"], wanted["parallax"], True) for split in ("train", "val")]
    known = {"rotation_share": wanted["rotation_share"], "size": wanted["size"], "preset": PRESETS[wanted["preset"]]}
    line = training_line("data/my drive", scenes, **known)
    assert expected in line and line.count("--samples") == expected.count("--samples")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_recipe_of_its_size(name):
    """Frames of the preset's size need no --samples beside the recipe."""
    line = training_line(
        "set",
        [SceneMeasures("train", 50, 3.0, False)],
        rotation_share=None,
        size=(PRESETS[name].width, PRESETS[name].height),
        preset=PRESETS[name],
    )
    assert "--samples" not in line


def test_a_healthy_data_set(root):
    result = examine(SceneFolder(root))
    assert [(f.kind, f.file) for f in result.findings if f.kind != "little parallax"] == []
    a, b = result.scenes
    assert (a.name, a.split, a.frames, a.depths, a.width, a.height) == ("a", "train", 10, 10, 160, 120)
    assert a.motion == pytest.approx(4, abs=0.1) and (a.static, a.blurred) == (0, 0)
    assert (b.split, result.testing, result.errors) == ("val", 2, 0)


def test_a_flat_wall_looks_like_a_turn(root):
    """Sideways along a wall is what a turn looks like: little parallax, V2, and a stride that helps."""
    result = examine(SceneFolder(root))
    assert "train V2" in result.advice and result.rotation_share > 0.5
    cures = [f.cure for f in result.findings if f.kind == "little parallax"]
    assert len(cures) == 2 and all(cure.startswith("train with --samples.stride") for cure in cures)


def a(*parts):
    return lambda root: root.joinpath("training", "a", *parts)


CAM = "training/a/cam.txt"


def cam(K):
    return lambda root: np.savetxt(root / CAM, K)


def resize(path, width, height):
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), (width, height)))


def twice_b(root):
    shutil.copytree(root / "training" / "b", root / "training" / "more" / "b")
    (root / "training" / "train.txt").write_text("b\nmore/b\n")


def array(shape, dtype):
    """The depth of a frame as such an array."""

    def spoil(root):
        (root / "training/a/depth/0004.png").unlink()
        np.save(root / "training/a/depth/0004.npy", np.ones(shape, dtype))

    return spoil


def foreign(name, coding):
    return lambda root: (root / name).write_text("# gr\u00f6\u00dfe\n", encoding=coding)


@pytest.mark.parametrize(
    ("spoil", "level", "kind", "file"),
    [
        (lambda r: (r / "testing/depth/x.png").unlink(), ERROR, "missing partner", "testing/color/x.png"),
        (lambda r: (r / "testing/color/x.png").unlink(), ERROR, "missing partner", "testing/depth/x.png"),
        (lambda r: a("depth", "0004.png")(r).unlink(), WARNING, "missing partner", "training/a/0004.png"),
        (lambda r: a("0004.png")(r).unlink(), ERROR, "scene", "training/a"),
        (lambda r: a("0004.png")(r).write_bytes(b"no"), ERROR, "unreadable", "training/a/0004.png"),
        (lambda r: a("depth", "0004.png")(r).write_bytes(b"no"), ERROR, "unreadable", "training/a/depth/0004.png"),
        (array((0, 96), np.float32), ERROR, "unreadable", "training/a/depth/0004.npy"),
        (array((100, 160), [("near", "f4"), ("far", "f4")]), ERROR, "unreadable", "training/a/depth/0004.npy"),
        (lambda r: resize(a("0004.png")(r), 80, 60), ERROR, "frame size", "training/a/0004.png"),
        (lambda r: resize(a("depth", "0004.png")(r), 160, 100), ERROR, "depth size", "training/a/depth/0004.png"),
        (lambda r: a("cam.txt")(r).unlink(), ERROR, "scene", "training/a"),
        (cam(K * [1, 1, 3]), ERROR, "scene", "training/a"),
        (cam(4 * K - np.diag([0, 0, 3])), ERROR, "principal point", CAM),
        (cam(K + [[0, 0, 30], [0] * 3, [0] * 3]), WARNING, "principal point", CAM),
        (cam(K - np.diag([140, 140, 0])), WARNING, "field of view", CAM),
        (lambda r: (r / "training/train.txt").unlink(), ERROR, "listing", "training/train.txt"),
        (lambda r: (r / "training/val.txt").write_text("\n"), ERROR, "listing", "training/val.txt"),
        (lambda r: (r / "training/val.txt").write_text("a\n"), WARNING, "listing", "training/val.txt"),
        (lambda r: (r / "training/train.txt").write_text("a\na\n"), WARNING, "listing", "training/train.txt"),
        (lambda r: (r / "training/train.txt").write_text("a\nc\n"), ERROR, "scene", "training/c"),
        (twice_b, ERROR, "listing", "training/train.txt"),
        (lambda r: (r / "training/c").mkdir(), WARNING, "listing", "training/c"),
        (lambda r: (r / "dataset.yaml").write_text("depth_factor: -1"), ERROR, "dataset.yaml", "dataset.yaml"),
        (lambda r: (r / "dataset.yaml").write_text("depth_facto: 2"), ERROR, "dataset.yaml", "dataset.yaml"),
        (lambda r: a("timestamps.txt")(r).write_text("1\n2\n"), WARNING, "timestamps", "training/a/timestamps.txt"),
        (lambda r: a("poses.txt")(r).write_text("0 0 0 0 0 0 0 1\n"), WARNING, "poses", "training/a/poses.txt"),
        (lambda r: a("poses.txt")(r).write_text("1 2 3\n"), WARNING, "poses", "training/a/poses.txt"),
        (foreign("training/train.txt", "utf-16"), ERROR, "listing", "training/train.txt"),
        (foreign("training/val.txt", "latin-1"), ERROR, "listing", "training/val.txt"),
        (foreign("dataset.yaml", "latin-1"), ERROR, "dataset.yaml", "dataset.yaml"),
        (foreign("training/a/cam.txt", "utf-16"), ERROR, "scene", "training/a"),
        (foreign("training/a/poses.txt", "latin-1"), WARNING, "poses", "training/a/poses.txt"),
        (lambda r: a("timestamps.txt")(r).write_text("a b"), WARNING, "timestamps", "training/a/timestamps.txt"),
        (foreign("training/a/timestamps.txt", "utf-16"), WARNING, "timestamps", "training/a/timestamps.txt"),
        (
            lambda r: (r / "dataset.yaml").write_text("{width: 9, height: 9}"),
            WARNING,
            "frame size",
            "training/a/0000.png",
        ),
    ],
)
def test_every_ailment_is_found_in_its_file(root, spoil, level, kind, file):
    spoil(root)
    assert (level, kind, file) in found(root)


@pytest.mark.parametrize(("factor", "strange"), [(1000, False), (1, True), (19, True), (21, False), (1e5, True)])
def test_depth_that_no_camera_sees(root, factor, strange):
    """Depth is 2000 units nearly everywhere; a factor that is wrong by a thousand shows in its median."""
    (root / "dataset.yaml").write_text(f"depth_factor: {factor:g}\n")
    assert ((WARNING, "depth unit", "dataset.yaml") in found(root)) == strange


def test_frames_that_are_trained_on_are_not_for_validation(root):
    """Under other names, and whatever a file of the same size holds."""
    scenes, shared = root / "training", (WARNING, "shared frames", "training/b")
    other = bytearray((scenes / "a" / "0004.png").read_bytes())
    other[-1] ^= 1
    (scenes / "b" / "0004.png").write_bytes(other)
    assert shared not in found(root)
    for place in (5, 6):
        shutil.copy(scenes / "a" / f"{place:04d}.png", scenes / "b" / f"{place + 2:04d}.png")
    assert shared in found(root) and shared not in found(root, frames=3)
    (finding,) = (f for f in examine(SceneFolder(root)).findings if f.kind == "shared frames")
    assert finding.problem.startswith("2 of its 10 frames are in training scene 'a', too")


def test_a_data_set_for_evaluation_alone_has_no_scenes_to_train_on(root):
    for path in ("training/train.txt", "training/val.txt"):
        (root / path).write_text("")
    for scene in ("a", "b"):
        shutil.rmtree(root / "training" / scene)
    listings = [(ERROR, "listing", "training/train.txt"), (ERROR, "listing", "training/val.txt")]
    assert found(root) == listings
    shutil.rmtree(root / "training")
    assert found(root) == listings and examine(SceneFolder(root)).testing == 2


def test_every_finding_has_a_cure(root):
    a("0001.png")(root).write_bytes(b"no")
    a("depth", "0002.png")(root).unlink()
    (root / "training/b/cam.txt").write_text("1 2 3")
    for finding in examine(SceneFolder(root)).findings:
        assert finding.problem and finding.cure and "–" not in finding.cure


def test_all_ailments_are_told_at_once(root):
    a("0001.png")(root).write_bytes(b"no")
    a("0003.png")(root).write_bytes(b"no")
    (root / "testing/depth/x.png").unlink()
    (root / "testing/depth/y.png").unlink()
    assert [file for level, _, file in found(root) if level == ERROR] == [
        "testing/color/x.png",
        "testing/color/y.png",
        "training/a/0001.png",
        "training/a/0003.png",
    ]


def test_static_and_blurred_stretches(tmp_path):
    moving = [view(4 * step) for step in range(24)]
    frames = moving[:8] + [moving[7]] * 6 + [cv2.blur(f, (9, 9)) for f in moving[8:12]] + moving[12:]
    folder = write_scene(tmp_path, "a", frames)
    record = MotionRecord(K, 256)
    for index, frame in enumerate(frames):
        record.add(folder / f"{index:04d}.png", frame)
    stretches = {f.kind: f for f in record.findings(folder) if f.kind in ("static", "blurred")}
    assert stretches["static"].file.endswith("a/0008.png") and "up to '0013.png'" in stretches["static"].problem
    assert stretches["blurred"].file.endswith("a/0014.png") and stretches["blurred"].problem.startswith("4 frames")
    assert (record.count("static"), record.count("blurred")) == (6, 4)


def test_a_cut_and_motion_that_is_too_fast(tmp_path):
    record = MotionRecord(K, 256)
    for index, frame in enumerate([view(0, 3), view(30, 3), view(60, 3), view(0, 4), view(30, 4)]):
        record.add(tmp_path / f"{index}.png", frame)
    kinds = {f.kind: f for f in record.findings(tmp_path)}
    assert record.motion == pytest.approx(30, abs=1)
    assert kinds["cut"].file.endswith("3.png")
    assert "19% of the width" in kinds["fast"].problem


def test_slow_motion_is_counted_from_frame_to_frame(tmp_path):
    """1 pixel a frame: every other frame is dropped as static, the motion is still 1, and no stretch stands still."""
    record = MotionRecord(K, 256)
    for index in range(12):
        record.add(tmp_path / f"{index}.png", view(index))
    assert record.motion == pytest.approx(1, abs=0.1)
    assert [f.kind for f in record.findings(tmp_path)] == ["little parallax"]


def test_motion_is_that_of_a_training_sample(tmp_path):
    """The same view in twice the pixels: half as many rows are trained on, so all that is measured is the same."""
    small, large = MotionRecord(K, 256), MotionRecord(np.array([[300.0, 0, 159.5], [0, 300.0, 119.5], [0, 0, 1]]), 120)
    for index in range(6):
        frame = view(6 * index)
        small.add(tmp_path / f"{index}.png", frame)
        large.add(tmp_path / f"{index}.png", frame.repeat(2, 0).repeat(2, 1))
    assert small.motion == pytest.approx(6, abs=0.2) and large.motion == pytest.approx(small.motion, abs=0.1)
    assert large.rotation_share == pytest.approx(small.rotation_share, abs=0.02)


def test_depth_that_the_protocol_cannot_crop(root):
    (root / "dataset.yaml").write_text("preset: nyu\n")
    errors = [finding for finding in examine(SceneFolder(root)).findings if finding.kind == "depth size"]
    assert errors and all(finding.level == ERROR for finding in errors)
    assert "protocol 'nyu' crops 640x480" in errors[0].problem and "--protocol custom" in errors[0].cure


def test_a_scene_that_never_moves(tmp_path):
    record = MotionRecord(K, 256)
    for index in range(8):
        record.add(tmp_path / f"{index}.png", view(0))
    assert {f.kind for f in record.findings(tmp_path)} == {"static", "no motion"}
    assert record.motion is None and record.rotation_share is None


def test_short_scenes(root):
    for index in range(2, 10):
        a(f"{index:04d}.png")(root).unlink()
        a("depth", f"{index:04d}.png")(root).unlink()
    assert (WARNING, "short", "training/a") in found(root)
    (root / "training/val.txt").write_text("a\n")
    assert (ERROR, "short", "training") in found(root)


# --- the command --------------------------------------------------------------------------------------------------


def test_exit_status_and_json(root, capsys):
    assert cli.main(["check", str(root), "--json"]) == 0
    healthy = json.loads(capsys.readouterr().out)
    assert (healthy["errors"], healthy["testing"]) == (0, 2) and healthy["warnings"] == len(healthy["findings"])
    a("0004.png")(root).write_bytes(b"no")
    assert cli.main(["check", str(root), "--json"]) == 1
    sick = json.loads(capsys.readouterr().out)
    assert sick["errors"] == 1
    assert {"level", "kind", "file", "problem", "cure"} == set(sick["findings"][0])


def test_the_report_for_people(root, capsys):
    a("0004.png")(root).write_bytes(b"no")
    assert cli.main(["check", str(root)]) == 1
    said = capsys.readouterr().out
    assert f"error: {a('0004.png')(root)}: " in said and "remove it or write it again" in said
    assert "2 scenes with 20 frames, 2 test images; 1 errors," in said
    advice, line = said.splitlines()[-2:]
    assert "takes rotation out first" in advice and line.startswith(
        "when the errors are cured, train with: scdepth train"
    )


def test_only_the_first_frames(root, capsys):
    a("0004.png")(root).write_bytes(b"no")
    assert cli.main(["check", str(root), "--frames", "4"]) == 0
    assert cli.main(["check", str(root), "--frames", "0"]) == 1
    assert "--frames is 0, expected at least 1" in capsys.readouterr().err


def test_what_is_no_data_set(tmp_path, capsys):
    assert cli.main(["check", str(tmp_path / "nowhere")]) == 1
    assert "is not a folder" in capsys.readouterr().err
    assert cli.main(["check", str(tmp_path), "--json"]) == 1
    assert [f["kind"] for f in json.loads(capsys.readouterr().out)["findings"]] == ["listing", "listing"]


def test_a_rendered_data_set_is_healthy(tiny_data):
    assert examine(SceneFolder(tiny_data)).errors == 0
