"""Importers: miniature copies of each published layout, with intrinsics, depth and poses worked out by hand."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
import yaml
from kitti_samples import picture, words, write_kitti_odometry, write_kitti_raw

from scdepth_core import cli
from scdepth_core.data.doctor import examine
from scdepth_core.data.importers.source import known_camera
from scdepth_core.data.importers.tum import _nearest
from scdepth_core.data.scene_folder import read_depth, read_image
from scdepth_core.geometry.camera import scale_intrinsics
from scdepth_core.geometry.image_geometry import ImageGeometry
from scdepth_core.geometry.trajectory import read_tum
from scdepth_core.presets import CAMERAS

FRAMES = 4


def depth_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels.astype(np.uint16))


@pytest.fixture
def kitti_raw(tmp_path):
    return write_kitti_raw(tmp_path / "raw")


@pytest.fixture
def kitti_odometry(tmp_path):
    return write_kitti_odometry(tmp_path / "odometry")


@pytest.fixture
def tum(tmp_path):
    """freiburg3: no distortion; depth of half the frames, poses of all."""
    folder = tmp_path / "tum" / "rgbd_dataset_freiburg3_walk"
    colors, depths, truth = ["# color images\n"], ["# depth maps\n"], ["# ground truth\n"]
    for i in range(FRAMES):
        stamp = 1341846313.5 + i / 10
        picture(folder / "rgb" / f"{stamp:.6f}.png", 640, 480, i)
        colors.append(f"{stamp:.6f} rgb/{stamp:.6f}.png\n")
        truth.append(f"{stamp + 0.004:.4f} {i} 0.5 -1 0 0 0 1\n")
        if i % 2 == 0:
            depth_png(folder / "depth" / f"{stamp + 0.01:.6f}.png", np.full((480, 640), 5000 * (i + 1)))
            depths.append(f"{stamp + 0.01:.6f} depth/{stamp + 0.01:.6f}.png\n")
    for name, lines in (("rgb.txt", colors), ("depth.txt", depths), ("groundtruth.txt", truth)):
        (folder / name).write_text("".join(lines))
    return tmp_path / "tum"


@pytest.fixture
def seven_scenes(tmp_path):
    """A scene of two sequences, the second for testing."""
    scene = tmp_path / "scenes" / "redkitchen"
    for sequence in ("seq-01", "seq-02"):
        for i in range(FRAMES):
            stem = scene / sequence / f"frame-{i:06d}"
            picture(stem.with_name(stem.name + ".color.png"), 640, 480, i)
            depth = np.full((480, 640), 1500)
            depth[:, :320] = 65535
            depth_png(stem.with_name(stem.name + ".depth.png"), depth)
            pose = np.eye(4)
            pose[:3, 3] = i, 2, 3
            stem.with_name(stem.name + ".pose.txt").write_text(words(pose))
    (scene / "TrainSplit.txt").write_text("sequence1\n")
    (scene / "TestSplit.txt").write_text("sequence2\n")
    return tmp_path / "scenes"


def poses_of(scene):
    return read_tum(scene.images[0].parent / "poses.txt").poses


def test_tum(tum, imported):
    folder = imported("tum", tum, "--size", "320x240")
    fx, fy, cx, cy = CAMERAS["freiburg3"]["intrinsics"]
    scene = folder.training[0]
    assert np.allclose(scene.K, [[fx / 2, 0, cx / 2 - 0.25], [0, fy / 2, cy / 2 - 0.25], [0, 0, 1]], rtol=1e-6)
    assert [depth is not None for depth in scene.depths] == [True, False, True]  # the last frame is for validation
    assert (read_depth(scene.depths[2], folder.depth_factor) == 3).all()
    assert np.allclose(poses_of(scene)[:, :3, 3], [[i, 0.5, -1] for i in range(3)])
    assert folder.depth_factor == 5000 and folder.validation[0].name.endswith("_tail")
    assert imported.summary["scenes"][1]["kept"] == 1


def test_tum_takes_distortion_out_and_the_border_with_it(tum, imported):
    """What the camera did not see is 6 % of a rectified image of freiburg1; none of it is in the data set."""
    source = tum / "rgbd_dataset_freiburg3_walk"
    source.rename(tum / "rgbd_dataset_freiburg1_walk")
    folder = imported("tum", tum, "--size", "640x480", "--image-format", "png")
    scene, camera = folder.training[0], known_camera("freiburg1")
    recorded = read_image(next((tum / "rgbd_dataset_freiburg1_walk" / "rgb").glob("*313.5*")))
    geometry = ImageGeometry(camera, (640, 480), "stretch")
    left, top, width, height = geometry.window
    assert (width, height) != (640, 480) and (read_depth(scene.depths[0], folder.depth_factor) == 1).all()
    assert np.allclose(scene.K, camera.cropped(left, top, width, height).resized(640, 480).K, rtol=1e-6)
    whole = cv2.undistort(recorded, camera.K, camera.D)
    expected = cv2.resize(whole[top : top + height, left : left + width], (640, 480))
    assert np.abs(read_image(scene.images[0]).astype(int) - expected).mean() < 2


def test_tum_with_a_camera_that_it_does_not_name(tum, tmp_path, imported, capsys):
    source = (tum / "rgbd_dataset_freiburg3_walk").rename(tum / "mine")
    assert cli.main(["import", "tum", str(source), str(tmp_path / "out")]) == 1
    assert "say --intrinsics FX FY CX CY" in capsys.readouterr().err
    scene = imported("tum", source, "--intrinsics", "500", "510", "320", "240", "--size", "640x480").training[0]
    assert (scene.name, scene.K[0, 0], scene.K[1, 1]) == ("mine", 500, 510)


def test_tum_with_another_depth_factor(tum, imported, tmp_path, capsys):
    """At 1000 units a metre the depth files say 5 (i + 1) metres, up to 65 m: the data set holds all of it."""
    folder = imported("tum", tum, "--size", "320x240", "--depth-factor", "1000")
    assert folder.depth_factor == 1000
    assert (read_depth(folder.training[0].depths[2], folder.depth_factor) == 15).all()
    for wrong in ("0", "-1", "nan", "inf"):
        assert cli.main(["import", "tum", str(tum), str(tmp_path / "no"), f"--depth-factor={wrong}"]) == 1
        assert f"--depth-factor is {wrong}, expected units a metre above 0" in capsys.readouterr().err


def test_nearest_in_time():
    entries = [(1.0, "a"), (2.0, "b"), (2.03, "c")]
    assert _nearest(np.array([0.99, 1.5, 2.012, 2.02, 2.06]), entries) == ["a", None, "b", "c", None]
    assert _nearest(np.array([1.0, 5.0]), entries[:1]) == ["a", None]


def test_seven_scenes(seven_scenes, imported):
    folder = imported("7scenes", seven_scenes)
    (train,), (val,) = folder.training, folder.validation
    assert (train.name, val.name) == ("redkitchen_seq-01", "redkitchen_seq-02")
    assert np.allclose(train.K, scale_intrinsics(np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]]), 0.5, 256 / 480))
    depth = read_depth(train.depths[1], folder.depth_factor)
    assert (depth[:, :160] == 0).all() and np.allclose(depth[:, 160:], 1.5)  # 65535 is no reading
    assert np.allclose(poses_of(train)[:, :3, 3], [[i, 2, 3] for i in range(FRAMES)])
    assert folder.preset.protocol == "7scenes"


def test_frames_that_do_not_move_may_be_left_out(seven_scenes, imported):
    first = seven_scenes / "redkitchen" / "seq-01" / "frame-000000.color.png"
    for i in (1, 2):
        first.with_name(f"frame-{i:06d}.color.png").write_bytes(first.read_bytes())
    for i in range(4, 7):
        picture(first.with_name(f"frame-{i:06d}.color.png"), 640, 480, i)
    imported("7scenes", seven_scenes, "--min-motion", "2")
    scenes = {scene["name"]: scene for scene in imported.summary["scenes"]}
    assert scenes["redkitchen_seq-01"]["dropped"] == {"static": 2}
    assert scenes["redkitchen_seq-01"]["kept"] == 5


def test_only_some_scenes(kitti_raw, imported):
    folder = imported("kitti-raw", kitti_raw, "--scene", "2011_09_26_drive_0002_sync")
    assert [scene.name for scene in folder.training] == ["2011_09_26_drive_0002_sync"]


def test_what_is_not_asked_for_need_not_be_complete(kitti_raw, imported, tmp_path, capsys):
    shutil.rmtree(kitti_raw / "2011_09_26" / "2011_09_26_drive_0001_sync" / "image_02")
    assert cli.main(["import", "kitti-raw", str(kitti_raw), str(tmp_path / "all")]) == 1
    assert "_drive_0001_sync/image_02/data' is missing" in capsys.readouterr().err
    folder = imported("kitti-raw", kitti_raw, "--scene", "2011_09_26_drive_0002_sync")
    assert len(folder.training[0].images) == FRAMES - 1  # the last is for validation


def test_poses_of_some_frames_only(tum, tmp_path, capsys):
    """The motion capture lost the camera at the second frame: 0.1 s without a pose."""
    truth = next(tum.glob("*/groundtruth.txt"))
    lines = truth.read_text().splitlines(keepends=True)
    truth.write_text("".join(lines[:2] + lines[3:]))
    assert cli.main(["import", "tum", str(tum), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "0 poses; only 3 of 4 frames have a pose, so none is written" in said
    assert not list((tmp_path / "out").glob("training/*/poses.txt"))


def test_the_only_scene_stays_long_enough_to_train_on(tum, imported):
    listing = next(tum.glob("*/rgb.txt"))
    listing.write_text("".join(listing.read_text().splitlines(keepends=True)[:4]))  # a comment and three frames
    folder = imported("tum", tum)
    assert len(folder.training[0].images) == 3 and (folder.root / "training" / "val.txt").read_text() == ""


def test_the_doctor_has_no_complaint_about_files(seven_scenes, imported):
    kinds = {finding.kind for finding in examine(imported("7scenes", seven_scenes)).findings}
    assert kinds <= {"cut", "no motion", "static", "blurred", "shared frames"}  # noise, the same in each scene


def test_dataset_yaml_says_where_it_is_from(tum, imported):
    entries = yaml.safe_load((imported("tum", tum).root / "dataset.yaml").read_text())
    assert entries["preset"] == "tum" and entries["source"] == "scdepth import tum"


def remove(path):
    return lambda root: next(root.glob(path)).unlink()


def stray(name):
    def spoil(root):
        for image in root.glob("*/*/image_02/data/*1.png"):
            shutil.copy(image, image.with_name(name))

    return spoil


CAMERA_OF_ZEROS = f"S_rect_02: 124 38\nR_rect_00: {words(np.eye(3))}\nP_rect_02: {'0 ' * 12}\n"


def write(path, text, coding="utf-8"):
    return lambda root: next(root.glob(path)).write_text(text, coding)


@pytest.mark.parametrize(
    ("layout", "spoil", "sentence"),
    [
        ("kitti-raw", remove("*/calib_cam_to_cam.txt"), "calib_cam_to_cam.txt' is missing (KITTI's calibration)"),
        ("kitti-raw", remove("*/*_0001_sync/oxts/data/*2.txt"), "is missing (GPS and inertial measurement)"),
        ("kitti-raw", write("*/calib_velo*", "R: 1 2\nT: 0 0 0\n"), "has 2 numbers where 9"),
        ("kitti-raw", write("*/calib_velo*", "R: 1 2\n"), "has no entry 'T'"),
        ("kitti-raw", write("*/*/image_02/timestamps.txt", "once\n" * 4), "the line 'once'"),
        ("kitti-raw", write("*/calib_velo*", "gr\u00f6\u00dfe", "latin-1"), "is not UTF-8 text"),
        ("kitti-raw", write("*/*/image_02/timestamps.txt", "once\n", "utf-16"), "is not UTF-8 text"),
        ("kitti-raw", stray("0000000001 (1).png"), "0000000001 (1).png' is no frame of KITTI, expected a number"),
        ("kitti-raw", stray("x.png"), "x.png' is no frame of KITTI, expected a number as its name – remove it"),
        ("kitti-raw", stray("\u00b2.png"), "is no frame of KITTI"),
        ("kitti-raw", lambda r: picture(next(r.glob("*/*/image_02/data/*1.png")), 20, 10), "is calibrated for 124x38"),
        (
            "kitti-raw",
            write("*/calib_cam*", CAMERA_OF_ZEROS),
            "calib_cam_to_cam.txt' has a 'P_rect_02' whose first three",
        ),
        ("kitti-odometry", write("*/*/calib.txt", f"P2: {'0 ' * 12}"), "calib.txt' has a 'P2' whose first three"),
        (
            "kitti-raw",
            write("*/*/*/data/*2.bin", "x" * 18),
            "2.bin' has 18 bytes, expected 16 a point and at least one",
        ),
        ("kitti-raw", write("*/*/*/data/*2.bin", ""), "2.bin' has 0 bytes, expected 16 a point and at least one"),
        ("tum", remove("*/rgb.txt"), "has no rgb.txt"),
        ("tum", write("*/rgb.txt", "1 2 3\n"), "is no list of 'time file' lines"),
        ("tum", write("*/rgb.txt", "# gr\u00f6\u00dfe", "latin-1"), "is not UTF-8 text"),
        ("7scenes", write("*/*/*.pose.txt", "1 2", "utf-16"), "is not UTF-8 text"),
        ("7scenes", write("*/*/*.pose.txt", "1 2"), "has 2 numbers where 16"),
        ("7scenes", write("*/*/*.pose.txt", "0 " * 15 + "1"), ".pose.txt' has no rotation in its first three rows"),
        ("7scenes", write("*/*/*.pose.txt", words(np.diag([1, 1, -1, 1]))), ".pose.txt' has no rotation"),
    ],
)
def test_what_is_not_as_published(request, layout, spoil, sentence, tmp_path, capsys):
    root = request.getfixturevalue({"7scenes": "seven_scenes"}.get(layout, layout.replace("-", "_")))
    spoil(root)
    status = cli.main(["import", layout, str(root), str(tmp_path / "out")])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 1 and error.startswith("scdepth: ") and sentence in error
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--scene", "nothing"), "scene 'nothing' is not in"),
        (("--validation", "nothing"), "validation scene 'nothing' is not there"),
        (("--intrinsics", "1", "2", "3", "4"), "--intrinsics is for tum"),
        (("--depth-factor", "1000"), "--depth-factor is for tum"),
    ],
)
def test_wrong_options(seven_scenes, tmp_path, capsys, options, sentence):
    assert cli.main(["import", "7scenes", str(seven_scenes), str(tmp_path / "out"), *options]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "size",
    ["99999x99999", "8193x64", "64x8193", "7x64", "64", "64x64x64", "9" * 5000 + "x64"],
    ids=lambda size: size[:12],
)
def test_sizes_that_no_image_has(seven_scenes, tmp_path, capsys, size):
    with pytest.raises(SystemExit):
        cli.main(["import", "7scenes", str(seven_scenes), str(tmp_path / "out"), "--size", size])
    assert "expected WIDTHxHEIGHT from 8x8 to 8192x8192" in capsys.readouterr().err


def test_a_data_set_without_training_says_so(seven_scenes, tmp_path, capsys):
    options = ("--scene", "redkitchen_seq-02", "--size", "64x64")
    assert cli.main(["import", "7scenes", str(seven_scenes), str(tmp_path / "out"), *options]) == 0
    assert "train.txt is empty, as no scene is for training – take more scenes" in capsys.readouterr().out
    assert not (tmp_path / "out" / "training" / "train.txt").read_text()


@pytest.mark.parametrize("layout", ["kitti-raw", "kitti-odometry", "tum", "7scenes"])
def test_an_empty_folder(layout, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert cli.main(["import", layout, str(tmp_path / "empty"), str(tmp_path / "out")]) == 1
    assert f"'{tmp_path / 'empty'}" in capsys.readouterr().err
    assert cli.main(["import", layout, str(tmp_path / "nowhere"), str(tmp_path / "out")]) == 1
    assert "is not a folder" in capsys.readouterr().err
