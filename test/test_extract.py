"""From recordings to data sets: written, selected, split, reported, and never half done."""

import argparse
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from bag_samples import (
    ROS1,
    ROS2,
    SECOND,
    START,
    camera_info,
    cut,
    image,
    write_bag,
)
from extract_samples import (
    DEPTH,
    IMAGE,
    ODOM,
    PERIOD,
    SIZE,
    TURN,
    K,
    flat_scene,
    run,
    settings,
    table,
    view,
    walk,
)

from scdepth_core.errors import ConfigError, DataError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.quaternion import matrix_from_quaternion
from scdepth_ros import extract as command
from scdepth_ros.extraction import ExtractionSettings, extract
from scdepth_ros.extraction.report import ExtractionReport, SceneReport


@pytest.fixture(scope="module")
def scene():
    return flat_scene()


@pytest.mark.parametrize("kind", ["mcap", "sqlite", "ros1-lz4"])
def test_a_walk_becomes_a_scene(tmp_path, scene, kind):
    report, out = run(tmp_path, walk(scene, 12, ROS1 if kind.startswith("ros1") else ROS2), kind)
    folder = out / "training" / "walk_00"
    stems = [f"{number:06d}" for number in range(12)]
    assert sorted(file.stem for file in folder.glob("*.jpg")) == stems
    assert sorted(file.stem for file in (folder / "depth").glob("*.png")) == stems
    assert (out / "training" / "train.txt").read_text() == "walk_00\n"
    assert (out / "training" / "val.txt").read_text() == ""
    expected = {"format": "scdepth-1", "depth_factor": 1000, "width": 128, "height": 96, "fps": 20.0}
    assert expected.items() <= yaml.safe_load((out / "dataset.yaml").read_text()).items()
    assert np.allclose(table(folder / "cam.txt"), Camera(*SIZE, K=K).resized(128, 96).K)
    stamps = (folder / "timestamps.txt").read_text().split()
    assert stamps[:2] == ["1700000000.000000000", "1700000000.050000000"] and len(stamps) == 12
    poses = table(folder / "poses.txt")
    assert np.allclose(poses[:, 1], 0.1 * np.arange(12)) and np.allclose(poses[:, 2:4], (2, 3))
    assert np.allclose(poses[:, 4:], TURN / np.linalg.norm(TURN))
    (row,) = report.scenes
    assert (row.read, row.kept, row.depth, row.poses, dict(row.dropped)) == (12, 12, 12, 12, {})
    assert row.as_dict()["median_motion_px"] == pytest.approx(4 * 0.8, abs=0.1)
    assert json.loads((out / "report.json").read_text())["scenes"] == [row.as_dict()]
    assert {file.name for file in tmp_path.iterdir()} == {"out", report.bags[0].path.rpartition("/")[2]}


def test_pixels_of_picture_and_depth_are_those_of_their_frame(tmp_path, scene):
    _, out = run(tmp_path, walk(scene, 6), image_format="png")
    folder = out / "training" / "walk_00"
    for step in (0, 5):
        picture = cv2.imread(str(folder / f"{step:06d}.png"))[..., ::-1]
        expected = cv2.resize(view(scene, step), (128, 96), interpolation=cv2.INTER_AREA)
        assert np.abs(picture.astype(int) - expected).max() <= 1
        depth = cv2.imread(str(folder / "depth" / f"{step:06d}.png"), cv2.IMREAD_UNCHANGED)
        source = (np.arange(128) + 0.5) * SIZE[0] / 128 - 0.5
        assert depth.dtype == np.uint16
        assert np.abs(depth - (1000 + 1000 * step + source)).max() <= 0.51


def test_static_and_blurred_frames_are_dropped_with_their_reason(tmp_path, scene):
    steps = [0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9, 10, 11, 12]
    messages = []
    for topic, message, when in walk(scene, steps):
        if topic == IMAGE and when == START + 12 * PERIOD:
            message = image(cv2.blur(view(scene, 10), (9, 9)), when)
        messages.append((topic, message, when))
    report, out = run(tmp_path, messages)
    (row,) = report.scenes
    assert (row.read, row.kept, dict(row.dropped)) == (15, 12, {"static": 2, "blurred": 1})
    assert len(list((out / "training/walk_00").glob("*.jpg"))) == 12
    assert "2 static, 1 blurred" in report.as_text()


def test_a_pause_begins_a_new_scene_and_short_stretches_are_counted(tmp_path, scene):
    messages = [
        *walk(scene, 8),
        *walk(scene, range(10, 12), begin=START + 10 * SECOND),
        *walk(scene, range(20, 30), begin=START + 20 * SECOND),
    ]
    report, out = run(tmp_path, messages)
    assert [(row.name, row.kept) for row in report.scenes] == [("walk_00", 8), ("walk_01", 10)]
    assert report.bags[0].short_stretches == 1
    assert report.bags[0].dropped == {"in stretches that are too short": 2}
    assert sorted(file.name for file in (out / "training").iterdir() if file.is_dir()) == ["walk_00", "walk_01"]
    assert report.bags[0].images == 20


def test_another_calibration_begins_a_new_scene(tmp_path, scene):
    zoomed = K * [[1.2], [1.2], [1]]
    messages = [
        *walk(scene, 6),
        *walk(scene, range(6, 12), begin=START + 6 * PERIOD, info=lambda when: camera_info(zoomed, SIZE, when)),
    ]
    report, out = run(tmp_path, messages)
    assert [row.kept for row in report.scenes] == [6, 6]
    assert table(out / "training/walk_01/cam.txt")[0, 0] == pytest.approx(1.2 * 130 * 0.8)
    assert "camera changes" in " ".join(report.bags[0].notes)


def test_a_clock_that_jumps_back_begins_a_new_scene_and_repeats_are_dropped(tmp_path, scene):
    messages = []
    for part, begin in ((range(6), START), (range(6, 12), START - 100 * SECOND)):
        for topic, message, when in walk(scene, part, begin=begin):
            messages.append((topic, message, when if begin == START else when + 101 * SECOND))
            if topic == IMAGE and part[0] == 0:
                messages.append((topic, message, when + 5))
    report, _ = run(tmp_path, messages)
    assert [row.kept for row in report.scenes] == [6, 6] and [row.depth for row in report.scenes] == [6, 6]
    assert report.bags[0].dropped == {"repeated or out of order": 6}


def test_broken_frames_are_counted_not_fatal(tmp_path, scene):
    messages = list(walk(scene, 12))
    images = [index for index, (topic, _, _) in enumerate(messages) if topic == IMAGE]
    messages[images[3]][1].encoding = "nonsense"
    messages[images[5]] = (IMAGE, image(view(scene, 5)[:60], messages[images[5]][2]), messages[images[5]][2])
    depths = [index for index, (topic, _, _) in enumerate(messages) if topic == DEPTH]
    messages[depths[8]][1].step = 1
    report, _ = run(tmp_path, messages)
    assert report.scenes[0].kept == 10 and report.scenes[0].depth == 9
    assert report.bags[0].dropped == {"undecodable": 1, "of another size than camera_info says": 1}
    assert report.bags[0].depth_dropped == {"undecodable": 1}


def test_a_broken_calibration_on_the_way_costs_its_frames_only(tmp_path, scene):
    def info(when):
        wild = when == START + 4 * PERIOD
        return camera_info(K, SIZE, when, D=(0, 0, 0, 4e5, -7e6) if wild else np.zeros(5))

    report, _ = run(tmp_path, walk(scene, 12, info=info))
    assert [row.kept for row in report.scenes] == [4, 7]
    assert report.bags[0].dropped == {"with an impossible camera_info": 1}


def without_odometry(messages, *steps):
    """The messages of a walk, but for the odometry at these steps; negative ones count from the end."""
    messages = list(messages)
    stamps = [when for topic, _, when in messages if topic == ODOM]
    gone = {stamps[step] for step in steps}
    return [message for message in messages if message[0] != ODOM or message[2] not in gone]


@pytest.mark.parametrize("missing, before, behind", [((0,), 1, 0), ((-1, -2), 0, 2), ((0, 1, -1), 2, 1)])
def test_frames_before_and_behind_the_poses_are_left_out(tmp_path, scene, missing, before, behind):
    """Odometry begins one period after the camera, or ends before it: the others keep their poses."""
    report, out = run(tmp_path, without_odometry(walk(scene, 12), *missing))
    folder, kept = out / "training" / "walk_00", 12 - before - behind
    stems = [f"{number:06d}" for number in range(before, 12 - behind)]
    assert sorted(file.stem for file in folder.glob("*.jpg")) == stems
    assert sorted(file.stem for file in (folder / "depth").glob("*.png")) == stems
    assert np.allclose(table(folder / "poses.txt")[:, 1], 0.1 * np.arange(before, 12 - behind))
    assert np.array_equal(table(folder / "timestamps.txt")[:, 0], table(folder / "poses.txt")[:, 0])
    (row,) = report.scenes
    assert (row.read, row.kept, row.depth, row.poses, len(row.motion)) == (12, kept, kept, kept, kept - 1)
    counts = {"before the first pose": before, "behind the last pose": behind}
    assert row.dropped == {reason: count for reason, count in counts.items() if count}
    assert (row.start_ns, row.end_ns) == (START + before * PERIOD, START + (11 - behind) * PERIOD)
    assert not report.bags[0].notes or "have a pose" not in " ".join(report.bags[0].notes)


def test_the_validation_tail_of_a_scene_without_its_first_pose_has_its_own_poses(tmp_path, scene):
    report, out = run(tmp_path, without_odometry(walk(scene, 41), 0, -1), validation=0.25)
    assert [(row.name, row.kept, row.poses, row.depth) for row in report.scenes] == [
        ("walk_00", 29, 29, 29),
        ("walk_00_val", 10, 10, 10),
    ]
    assert np.allclose(table(out / "training/walk_00/poses.txt")[:, 1], 0.1 * np.arange(1, 30))
    assert np.allclose(table(out / "training/walk_00_val/poses.txt")[:, 1], 0.1 * np.arange(30, 40))
    assert len(report.scenes[1].motion) == 10


@pytest.mark.parametrize(
    "missing, changes, poses",
    [
        (range(3, 9), {}, 6),  # a gap in the middle, too long to be bridged
        ((0, *range(3, 9)), {}, 5),
        (range(8), {}, 4),  # most of the scene
        ((0, 1), {"min_frames": 11}, 10),
    ],
)
def test_frames_are_not_given_up_for_poses_with_gaps_or_for_a_few(tmp_path, scene, missing, changes, poses):
    report, out = run(tmp_path, without_odometry(walk(scene, 12), *missing), **changes)
    (row,) = report.scenes
    assert (row.kept, row.poses, row.dropped) == (12, 0, {})
    assert f"walk_00: only {poses} of 12 frames have a pose, so none is written" in report.bags[0].notes
    assert not (out / "training/walk_00/poses.txt").exists()


def test_the_end_of_a_single_stretch_is_set_apart(tmp_path, scene):
    report, out = run(tmp_path, walk(scene, 40), validation=0.25)
    assert [(row.name, row.split, row.kept) for row in report.scenes] == [
        ("walk_00", "train", 30),
        ("walk_00_val", "val", 10),
    ]
    assert (out / "training/val.txt").read_text() == "walk_00_val\n"
    tail = out / "training" / "walk_00_val"
    head = out / "training" / "walk_00"
    stems = sorted(file.stem for file in tail.glob("*.jpg"))
    assert stems == [f"{number:06d}" for number in range(30, 40)]
    assert sorted(file.stem for file in (tail / "depth").glob("*.png")) == stems
    assert len(table(tail / "poses.txt")) == len(table(tail / "timestamps.txt")) == 10
    assert table(head / "timestamps.txt")[-1] < table(tail / "timestamps.txt")[0]
    assert table(tail / "poses.txt")[0, 1] == pytest.approx(3.0)
    assert np.array_equal(table(tail / "cam.txt"), table(head / "cam.txt"))
    assert report.scenes[1].start_ns == START + 30 * PERIOD


def test_whole_scenes_at_the_end_are_set_apart_where_they_fit(tmp_path, scene):
    messages = [
        m for part in range(5) for m in walk(scene, range(8 * part, 8 * part + 8), begin=START + part * 10 * SECOND)
    ]
    report, _ = run(tmp_path, messages, validation=0.2)
    assert [row.split for row in report.scenes] == ["train"] * 4 + ["val"]
    report = extract([tmp_path / "walk"], tmp_path / "all", settings(validation=1.0))
    assert {row.split for row in report.scenes} == {"val"}
    report = extract([tmp_path / "walk"], tmp_path / "none", settings(validation=0.0))
    assert {row.split for row in report.scenes} == {"train"}
    said = report.as_text()
    assert "there is none – --validation is 0: give a share such as 0.1, or move a scene's name from" in said
    assert "train with" not in said and report.training_line() is None
    bag = write_bag(tmp_path / "brief", walk(scene, 12))
    report = extract([bag], tmp_path / "short", settings(validation=0.1, min_frames=10))
    assert "there is none – lower --min-frames" in report.as_text() and "train with" not in report.as_text()


def test_several_bags_become_scenes_of_one_data_set(tmp_path, scene):
    for part in range(2):
        (tmp_path / str(part)).mkdir()
        write_bag(tmp_path / str(part) / "drive", walk(scene, range(9 * part, 9 * part + 6)))
    report = extract([tmp_path / "0" / "drive", tmp_path / "1" / "drive"], tmp_path / "out", settings())
    assert [row.name for row in report.scenes] == ["drive_00", "drive-2_00"]
    assert yaml.safe_load((tmp_path / "out/dataset.yaml").read_text())["source"] == ["drive", "drive"]


def test_a_bag_that_is_given_twice_is_refused(tmp_path, scene):
    """As overlapping globs do: training would see what it is validated on."""
    bag = write_bag(tmp_path / "walk", walk(scene, 6))
    (tmp_path / "link").symlink_to(bag)
    for twin, also in ((bag, ""), (tmp_path / "link", rf", also as '{bag}'")):
        with pytest.raises(ConfigError, match=f"bag '{twin}' is given twice{also}: training and .* – give it once"):
            extract([bag, twin], tmp_path / "out", settings())
    assert not list(tmp_path.glob("out*"))


def test_a_bag_that_was_cut_off_gives_its_beginning_and_says_so(tmp_path, scene):
    bag = cut(write_bag(tmp_path / "walk", walk(scene, 60)), 0.6)
    report = extract([bag], tmp_path / "out", settings())
    assert 20 <= report.scenes[0].kept <= 40
    assert "breaks off" in report.bags[0].truncated and "DAMAGED" in report.as_text()


def test_an_output_that_exists_is_not_touched(tmp_path, scene):
    bag = write_bag(tmp_path / "walk", walk(scene, 4))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    with pytest.raises(DataError, match="exists already"):
        extract([bag], tmp_path / "out", settings())
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["precious"]


def test_nothing_is_left_behind_when_it_fails(tmp_path, scene, monkeypatch):
    with pytest.raises(DataError, match="no scene with 3 frames .* 9 static.*--min-motion") as error:
        run(tmp_path, walk(scene, [0] * 10))
    assert "10 images" in str(error.value)
    monkeypatch.setattr("scdepth_ros.extraction.job.split_scenes", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    bag = write_bag(tmp_path / "second", walk(scene, 5))
    with pytest.raises(KeyboardInterrupt):
        extract([bag], tmp_path / "out", settings())
    assert {file.name for file in tmp_path.iterdir()} == {"walk", "second"}


def parse(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_the_command_prints_a_table_or_json(tmp_path, scene, capsys):
    bag = write_bag(tmp_path / "walk", walk(scene, 12))
    options = ("--size", "64x64", "--min-frames", 3, "--validation", 0.25)
    assert command.run(parse(bag, tmp_path / "a", *options)) == 0
    printed = capsys.readouterr().out
    assert "walk_00_val" in printed and "train V" in printed or "V1 will do" in printed
    line = printed.splitlines()[-1]
    assert line.startswith("train with: scdepth train --version v") and f" --data {tmp_path / 'a'} " in line
    assert "--samples.height 64" in line and "--model.validation" not in line
    assert command.run(parse(bag, tmp_path / "b", "--json", "--no-depth", "--no-poses", *options)) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["train"].endswith(" --model.validation photometric")
    assert "train" not in json.loads((tmp_path / "b" / "report.json").read_text())
    assert report["size"] == [64, 64] and report["scenes"][0]["depth"] == 0
    assert table(tmp_path / "b/training/walk_00/cam.txt")[0, 0] == pytest.approx(130 * 64 / 120)


def test_the_training_command_leaves_room_for_parallax():
    """Half a pixel from frame to frame is left of 1 and of 2 without the rotation; what was lost says nothing."""
    motion = {"motion": [1.0, np.inf, 2.0], "rotation": [0.5, np.nan, 0.75]}
    scenes = [SceneReport("a", "bag", 0, 1, kept=40, **motion), SceneReport("b", "bag", 1, 2, kept=20, split="val")]
    report = ExtractionReport("out", (320, 256), scenes=scenes)
    assert scenes[0].parallax == 0.5 and scenes[1].parallax is None
    assert report.training_line().endswith("--samples.stride 4 --model.validation photometric")
    assert "--version v2" in report.training_line()
    for alone in (scenes[1:], scenes[:1]):  # without a scene to train on, or to validate on, it would not run
        assert ExtractionReport("out", (320, 256), scenes=alone).training_line() is None


@pytest.mark.parametrize("words", [("--size", "big"), ("--fit", "squeeze"), ("--min-frames", "many")])
def test_the_command_refuses_what_it_cannot_read(words, capsys):
    with pytest.raises(SystemExit):
        parse("bag", "out", *words)
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"validation": 2},
        {"min_frames": 1},
        {"max_gap": 0},
        {"depth_tolerance": float("inf")},
        {"size": (8, 8)},
        {"fit": "no"},
        {"odometry_frame": "x"},
    ],
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ConfigError):
        ExtractionSettings(**change)


@pytest.mark.footage
def test_measured_depth_moved_by_the_poses_meets_measured_depth(tmp_path, kitchen):
    """The proof that poses, intrinsics and depth of a real recording agree: 10 frames apart, within 2 %."""
    report = extract([kitchen], tmp_path / "out", settings(size=(320, 256)))
    folder = tmp_path / "out" / "training" / report.scenes[0].name
    camera, poses = table(folder / "cam.txt"), table(folder / "poses.txt")
    assert np.allclose(camera[0], [312, 0, 159.7667], atol=1e-3)
    errors = []
    for first in range(0, report.scenes[0].kept - 10, 8):
        here, there = (_depth_and_pose(folder, poses, number) for number in (first, first + 10))
        errors.append(_depth_mismatch(camera, *here, *there))
    assert np.median(np.concatenate(errors)) < 0.02
    assert report.rotation_share > 0.5 and "V2" in report.advice


@pytest.fixture
def kitchen():
    root = Path(os.environ.get("SCDEPTH_BAGS", Path(__file__).parents[2] / "shared" / "bags"))
    bag = root / "redkitchen_val"
    if not bag.exists():
        pytest.skip(f"no recorded footage at {bag} (set SCDEPTH_BAGS to the folder that holds redkitchen_val)")
    return bag


def _depth_and_pose(folder, poses, number):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = matrix_from_quaternion(poses[number, 4:]), poses[number, 1:4]
    return cv2.imread(str(folder / "depth" / f"{number:06d}.png"), cv2.IMREAD_UNCHANGED) / 1000, pose


def _depth_mismatch(camera, depth, pose, other_depth, other_pose):
    """Relative differences of depth projected into the other view and depth measured there."""
    height, width = depth.shape
    v, u = np.nonzero(depth)
    points = np.linalg.inv(camera) @ np.stack([u, v, np.ones_like(u)]) * depth[v, u]
    move = np.linalg.inv(other_pose) @ pose
    x, y, z = camera @ (move[:3, :3] @ points + move[:3, 3:])
    seen = (z > 0.1) & (x > 0) & (x < (width - 1) * z) & (y > 0) & (y < (height - 1) * z)
    x, y, z = x[seen] / z[seen], y[seen] / z[seen], z[seen]
    measured = other_depth[np.rint(y).astype(int), np.rint(x).astype(int)]
    return np.abs(z[measured > 0] / measured[measured > 0] - 1)
