"""KITTI: laser scans as depth at the recorded size, test frames of a split as published figures count them, poses."""

from __future__ import annotations

import filecmp
import json

import cv2
import numpy as np
import pytest
from kitti_samples import FRAMES, HIGH, LASER, P2, SCAN, WIDE, write_kitti_odometry, write_kitti_raw

from scdepth_core import cli
from scdepth_core.data.doctor import examine
from scdepth_core.data.importers.kitti import LaserCamera
from scdepth_core.data.importers.kitti_raw import _laser, kitti_test_frames
from scdepth_core.data.importers.kitti_split import SplitFrame, read_split
from scdepth_core.data.scene_folder import read_depth, read_image
from scdepth_core.errors import DataError
from scdepth_core.evaluation import evaluate
from scdepth_core.geometry.camera import Camera, scale_intrinsics
from scdepth_core.geometry.trajectory import read_tum
from scdepth_core.metrics import protocol_named

DRIVE = "2011_09_26_drive_{}_sync".format
RECORDED = ("--size", f"{WIDE}x{HIGH}")


@pytest.fixture
def raw(tmp_path):
    return write_kitti_raw(tmp_path / "raw")


@pytest.fixture
def three_drives(tmp_path):
    return write_kitti_raw(tmp_path / "raw", ("0001", "0002", "0005"))


@pytest.fixture
def split(tmp_path):
    def write(*lines):
        (tmp_path / "test_files.txt").write_text("".join(line + "\n" for line in lines))
        return tmp_path / "test_files.txt"

    return write


def poses_of(scene):
    return read_tum(scene.images[0].parent / "poses.txt").poses


# Scenes


def test_raw(raw, imported):
    folder = imported("kitti-raw", raw, *RECORDED, "--image-format", "png")
    (train,), (val,) = folder.training, folder.validation
    assert (train.name, val.name) == (DRIVE("0001"), DRIVE("0002"))
    assert np.allclose(train.K, P2[:, :3], rtol=1e-6)
    recorded = raw / "2011_09_26" / train.name / "image_02/data/0000000002.png"
    assert (read_image(train.images[2]) == read_image(recorded)).all()
    stamps = (train.images[0].parent / "timestamps.txt").read_text().split()
    assert stamps[0] == "1317042140.964389445" and stamps[1] == "1317042141.964389445"
    assert folder.preset.protocol == "kitti" and folder.depth_factor == 256


def test_images_are_scaled_and_depth_keeps_the_recorded_size(raw, imported):
    """A point 10 m ahead of the laser is at x = 0.06, z = 10; 2 m to its right at x = 2.06; the nearer one counts."""
    folder = imported("kitti-raw", raw)  # the preset's size
    scene = folder.training[0]
    assert read_image(scene.images[0]).shape == (256, 832, 3)
    assert np.allclose(scene.K, scale_intrinsics(P2[:, :3], 832 / WIDE, 256 / HIGH), rtol=1e-6)
    depth = read_depth(scene.depths[0], folder.depth_factor)
    assert depth.shape == (HIGH, WIDE)
    assert sorted(zip(*np.nonzero(depth))) == [(17, 61), (17, 76)]  # 61 + 72 * 0.06 / 10, 61 + 72 * 2.06 / 10
    assert depth[17, 61] == 10 and depth[17, 76] == 10


def test_the_doctor_knows_that_the_images_were_stretched(raw, imported):
    found = {finding.kind for finding in examine(imported("kitti-raw", raw, "--size", "320x256")).findings}
    assert "depth size" not in found


def test_raw_poses(raw, imported):
    """Driving north at yaw 90 degrees: the optical axis points north, and each frame is a metre further."""
    poses = poses_of(imported("kitti-raw", raw).training[0])
    assert np.allclose(poses[:, :3, 2], [0, 1, 0], atol=1e-6)
    assert np.allclose(np.diff(poses[:, :3, 3], axis=0), [0, 1, 0], atol=1e-3)
    assert np.allclose(poses[0, :3, 3], [-0.06, 0, 0], atol=1e-6)  # the colour camera is 6 cm left, which is west


def test_odometry(tmp_path, imported):
    source = write_kitti_odometry(tmp_path / "odometry")
    folder = imported("kitti-odometry", source, "--validation", "11")
    (train,), (val,) = folder.training, folder.validation
    assert (train.name, val.name) == ("00", "11")
    assert np.allclose(poses_of(train)[:, :3, 3], [[-0.06, 0, 2 * i] for i in range(FRAMES)], atol=1e-6)
    assert not (val.images[0].parent / "poses.txt").exists()
    assert [depth is not None for depth in train.depths] == [True, False, False, False]
    depth = read_depth(train.depths[0], 256)
    assert depth.shape == (HIGH, WIDE) and depth[17, 61] == 10
    assert [scene["poses"] for scene in imported.summary["scenes"]] == [FRAMES, 0]


def test_odometry_is_split_as_published(tmp_path, imported, capsys):
    source = write_kitti_odometry(tmp_path / "odometry", ("00", "08", "09", "10", "11", "21"))
    folder = imported("kitti-odometry", source, *RECORDED)
    assert [scene.name for scene in folder.training] == ["00", "08"]
    assert [scene.name for scene in folder.validation] == ["09", "10"]
    assert imported.summary["left_out"] == ["11", "21"]
    assert cli.main(["import", "kitti-odometry", str(source), str(tmp_path / "named"), "--scene", "08", "21"]) == 0
    said = capsys.readouterr().out
    assert "21 (val): 4 frames" in said and "left out" not in said


# Where a point is, and how far


def by_hand(scan, rectifying, laser, place):
    """(depth, published) of a scan, point by point: x = P R [R|T] X, its pixel, the smallest depth in it."""
    rows = np.vstack([np.hstack([laser, np.reshape(place, (3, 1))]), [[0, 0, 0, 1]]])
    turn = np.eye(4)
    turn[:3, :3] = rectifying
    depth, published = {}, {}
    for ahead, left, up, _ in scan.astype(np.float64):
        x, y, w = P2 @ turn @ rows @ [ahead, left, up, 1]
        if w <= 0.1:
            continue
        u, v = int(np.floor(x / w + 0.5)), int(np.floor(y / w + 0.5))
        if 0 <= u < WIDE and 0 <= v < HIGH:
            depth[v, u] = min(w, depth.get((v, u), np.inf))
        if ahead > 0 and 1 <= u <= WIDE and 1 <= v <= HIGH:
            published[v - 1, u - 1] = min(ahead, published.get((v - 1, u - 1), np.inf))
    return depth, published


def as_image(pixels):
    image = np.zeros((HIGH, WIDE))
    for place, value in pixels.items():
        image[place] = value
    return image


def test_the_chain_from_laser_to_pixel(tmp_path):
    """Calibration as on the car: each part turned and moved a little; points on all sides, many in one pixel."""
    rng = np.random.default_rng(0)
    turns = [cv2.Rodrigues(rng.uniform(-0.05, 0.05, 3))[0] for _ in range(2)]
    calibration = {"rectifying": turns[0], "laser": turns[1] @ LASER, "place": (-0.004, -0.076, -0.27)}
    scan = rng.uniform((-30, -30, -3, 0), (60, 30, 5, 1), (4000, 4)).astype(np.float32)
    write_kitti_raw(tmp_path, ("0001",), scan=scan, **calibration)
    laser = _laser(tmp_path / "2011_09_26")
    expected = by_hand(scan, **calibration)
    assert min(map(len, expected)) > 500 and len(expected[0]) < np.count_nonzero(scan[:, 0] > 0) / 2
    points = scan[:, :3].astype(np.float64)
    np.testing.assert_allclose(laser.depth(points), as_image(expected[0]), rtol=1e-5)
    np.testing.assert_allclose(laser.published_depth(points), as_image(expected[1]), rtol=1e-5)


@pytest.mark.parametrize(("u", "column"), [(61.0, 61), (61.49, 61), (60.51, 61), (61.51, 62), (-0.4, 0), (123.4, 123)])
def test_a_point_is_in_the_pixel_whose_centre_is_nearest(u, column):
    """With the laser in the camera; the published convention counts pixels from 1, so column 0 is none there."""
    laser = LaserCamera(Camera(WIDE, HIGH, P2[:, :3]), np.block([[LASER, np.zeros((3, 1))], [np.zeros(3), 1]]))
    point = np.array([[8.0, -8 * (u - 61) / 72, 0]])
    assert list(zip(*np.nonzero(laser.depth(point)))) == [(17, column)]
    assert list(zip(*np.nonzero(laser.published_depth(point)))) == ([(16, column - 1)] if column else [])


def test_published_depth_is_from_the_laser(tmp_path):
    """The scanner is 0.27 m behind the camera; what is before it but behind the camera is in neither image."""
    write_kitti_raw(tmp_path, ("0001",), place=(0, 0, -0.27))
    laser = _laser(tmp_path / "2011_09_26")
    points = np.array([[10.0, 0, 0], [12, 0, 0], [0.2, 0, 0], [-10, 0, 0]])
    assert laser.depth(points)[17, 61] == pytest.approx(9.73)
    assert laser.published_depth(points)[16, 60] == 10
    assert np.count_nonzero(laser.depth(points)) == np.count_nonzero(laser.published_depth(points)) == 1


# A split


def test_both_forms_of_lists(split):
    expected = [SplitFrame(DRIVE("0002"), 69), SplitFrame(DRIVE("0001"), 5)]
    drives = [f"2011_09_26/{DRIVE(number)}" for number in ("0002", "0001")]
    assert read_split(split(f"{drives[0]} 0000000069 l", "", f"{drives[1]} 5 l")) == expected
    names = [f"{drive}/image_02/data/{index:010d}" for drive, index in zip(drives, (69, 5))]
    assert read_split(split(f"{names[0]}.jpg", f"{names[1]}.png")) == expected
    stereo = f"{names[0]}.jpg {names[0].replace('image_02', 'image_03')}.jpg"
    ground_truth = f"{names[1]}.png {DRIVE('0001')}/proj_depth/groundtruth/image_02/0000000005.png 721.5377"
    assert read_split(split(stereo, ground_truth)) == expected


@pytest.mark.parametrize("form", ["2011_09_26/{} {:010d} l", "2011_09_26/{}/image_02/data/{:010d}.jpg"])
def test_frames_of_a_split_are_for_testing_and_their_drives_for_nothing_else(three_drives, split, imported, form):
    listed = split(form.format(DRIVE("0005"), 2), form.format(DRIVE("0001"), 1), form.format(DRIVE("0005"), 0))
    folder = imported("kitti-raw", three_drives, "--split", listed)
    assert [scene.name for scene in folder.training] == [DRIVE("0002")]
    assert [scene.name for scene in folder.validation] == [f"{DRIVE('0002')}_tail"]
    assert imported.summary["testing"] == {"frames": 3, "scenes": [DRIVE("0001"), DRIVE("0005")]}
    assert folder.attributes["split"] == "test_files.txt"
    stems = [f"{DRIVE('0001')}_0000000001", f"{DRIVE('0005')}_0000000000", f"{DRIVE('0005')}_0000000002"]
    assert [image.stem for image, _ in folder.testing] == stems
    recorded = three_drives / "2011_09_26" / DRIVE("0001") / "image_02" / "data" / "0000000001.png"
    assert filecmp.cmp(folder.testing[0][0], recorded, shallow=False)
    depth = read_depth(folder.testing[0][1], folder.depth_factor)
    laser = _laser(three_drives / "2011_09_26")
    assert (depth == laser.published_depth(SCAN[:, :3].astype(np.float64))).all() and depth[16, 60] == 10


def test_static_frames_are_dropped_from_scenes_and_never_from_the_test(three_drives, split, imported):
    for drive in ("0001", "0002"):
        images = sorted((three_drives / "2011_09_26" / DRIVE(drive) / "image_02" / "data").glob("*.png"))
        images[1].write_bytes(images[0].read_bytes())
    listed = split(*(f"2011_09_26/{DRIVE('0001')} {index} l" for index in (0, 1)))
    folder = imported("kitti-raw", three_drives, "--split", listed, "--min-motion", "0.5")
    assert imported.summary["scenes"][0]["dropped"] == {"static": 1} and len(folder.testing) == 2


def test_a_test_set_alone(raw, split, imported, untrained_weights, capsys):
    """Who only evaluates needs no other drives."""
    listed = split(f"2011_09_26/{DRIVE('0001')} 3 l", f"2011_09_26/{DRIVE('0002')} 0 l")
    folder = imported("kitti-raw", raw, "--split", listed)
    assert len(folder.testing) == 2 and imported.summary["scenes"] == []
    given = ["--data", str(folder.root), "--weights", str(untrained_weights), "--device", "cpu", "--backend", "torch"]
    assert cli.main(["evaluate", *given, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["images"], result["protocol"]) == (2, "kitti")


@pytest.mark.parametrize(
    ("lines", "options", "sentence"),
    [
        ([], (), "lists no frame"),
        (["drive 1"], (), "line 1 of split"),
        ([f"2011_09_26/{DRIVE('0001')} 1 r"], (), "asks for camera 'r', only images of the left"),
        ([f"2011_09_26/{DRIVE('0001')}/image_03/data/1.png"], (), "asks for camera 'image_03'"),
        ([f"2011_09_26/{DRIVE('0001')} {index} l" for index in ("1", "01")], (), "lists frame 1 of"),
        ([f"2011_09_26/{DRIVE('0009')} 1 l"], (), "1 of 1 test frames are not complete, the first lacks"),
        ([f"2011_09_26/{DRIVE('0001')} {index} l" for index in (1, 4)], (), "1 of 2 test frames are not complete"),
        ([f"2011_09_26/{DRIVE('0001')} 1 l"], ("--validation", DRIVE("0001")), "can only be for testing"),
        ([f"2011_09_26/{DRIVE('0001')} 1 l"], ("--scene", DRIVE("0001")), "can only be for testing"),
    ],
)
def test_splits_that_cannot_be_honoured(raw, split, tmp_path, capsys, lines, options, sentence):
    given = ["import", "kitti-raw", str(raw), str(tmp_path / "out"), "--split", str(split(*lines)), *options]
    assert cli.main(given) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("scdepth: ") and sentence in error
    assert not list(tmp_path.glob("out*"))


def test_a_split_in_another_encoding_is_named(split):
    path = split()
    path.write_text(f"2011_09_26/{DRIVE('0001')} 1 l", encoding="utf-16")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_split(path)


def test_a_split_is_a_file_and_for_raw_drives(raw, tmp_path, capsys):
    assert cli.main(["import", "kitti-raw", str(raw), str(tmp_path / "out"), "--split", str(tmp_path / "no")]) == 1
    assert "does not exist – give a list of test frames" in capsys.readouterr().err
    assert cli.main(["import", "tum", str(raw), str(tmp_path / "out"), "--split", str(tmp_path / "no")]) == 1
    assert "--split is for kitti-raw" in capsys.readouterr().err


def test_scans_of_test_frames_have_to_be_there(raw, tmp_path):
    scan = raw / "2011_09_26" / DRIVE("0001") / "velodyne_points" / "data" / "0000000001.bin"
    scan.unlink()
    (tmp_path / "list").write_text(f"2011_09_26/{DRIVE('0001')} 1 l\n")
    with pytest.raises(DataError, match=r"the first lacks '.*velodyne_points/data/0000000001.bin'"):
        kitti_test_frames(raw, read_split(tmp_path / "list"))


# Evaluation at the recorded size


def test_garg_crop_at_full_size_and_a_prediction_of_the_networks_size():
    """A ramp stays a ramp when it is enlarged: pixel u of 1242 is (u + 0.5) 832 / 1242 - 0.5 of the prediction's.

    Garg's crop keeps rows 153 to 370 and columns 44 to 1196 of 375x1242; what is just outside is wrong, and does not
    count.
    """
    prediction = np.tile(10 + 0.05 * np.arange(832, dtype=np.float32), (256, 1))
    ramp = 10 + 0.05 * ((np.arange(1242) + 0.5) * 832 / 1242 - 0.5)
    truth = np.zeros((375, 1242), np.float32)
    for row, column in [(153, 44), (153, 1196), (370, 44), (370, 1196), (260, 700)]:
        truth[row, column] = ramp[column]
    for row, column in [(152, 600), (371, 600), (260, 43), (260, 1197)]:
        truth[row, column] = 79
    truth[200, 600] = 81  # beyond 80 m
    result = evaluate([(prediction, truth)], protocol_named("kitti"))
    assert result.errors["none"]["abs_rel"] == pytest.approx(0, abs=1e-5)
    assert result.scale == pytest.approx(1, abs=1e-5)
    truth[260, 701] = 2 * ramp[701]
    wrong = evaluate([(prediction, truth)], protocol_named("kitti"))
    assert wrong.errors["none"]["abs_rel"] == pytest.approx(0.5 / 6, rel=1e-3)
