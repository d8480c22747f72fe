"""`scdepth export-tum`: files, lists and camera YAML against values known by hand and an independent reader."""

import json

import cv2
import numpy as np
import pytest
from bag_samples import OPTICAL, SECOND, START, calibration_file, camera_info, image, odometry, write_bag
from extract_samples import flat_scene, view

from scdepth_core import cli
from scdepth_core.data.scene_folder import SceneFolder, read_depth
from scdepth_core.errors import CameraError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.quaternion import matrix_from_quaternion
from scdepth_core.geometry.rectification import Rectifier
from scdepth_ros.tum.orb_slam import orb_slam2_yaml, orb_slam3_yaml

SIZE = (160, 120)
K = np.array([[130.0, 0, 79.5], [0, 132.0, 59.5], [0, 0, 1]])
P = np.array([[120.0, 0, 80.25, 0], [0, 121.0, 60.0, 0], [0, 0, 1, 0]])
PERIOD = SECOND // 10
TURN = np.array([0.1, -0.2, 0.05, 0.9])


def metres(number):
    """Depth that says its frame and its column, with a hole, and a corner too far for TUM's factor."""
    depth = np.tile(1 + number + np.arange(SIZE[0]) / 100, (SIZE[1], 1)).astype(np.float32)
    depth[:10, :10] = np.nan
    depth[-4:, -5:] = 20.0
    return depth


def node_bag(path, count=4, relay=True, namespace="", colorized=True):
    """A camera, and depth_node's topics; the last image has no depth."""

    def messages():
        for k in range(count):
            when = START + k * PERIOD
            yield "/camera/image_raw", image(view(flat_scene(), k), when), when
            yield "/camera/camera_info", camera_info(K, SIZE, when, P=P), when
            if relay:
                yield f"{namespace}/rgb/image_rect_color", image(view(flat_scene(), k + 50), when), when + 1
                yield f"{namespace}/rgb/camera_info", camera_info(P[:, :3], SIZE, when, P=P), when + 1
            if k < count - 1:
                yield f"{namespace}/depth/image_rect", image(metres(k), when, "32FC1"), when + PERIOD // 3
                if colorized:
                    yield f"{namespace}/depth/colorized", image(view(flat_scene(), 0), when), when + PERIOD // 3

    return write_bag(path, messages())


def export(*arguments):
    return cli.main(["export-tum", *map(str, arguments)])


def lines(path):
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("factor, far", [(5000, 0), (1000, 20_000)])
def test_the_nodes_topics_become_files(tmp_path, capsys, factor, far):
    out = tmp_path / "tum"
    arguments = [node_bag(tmp_path / "bag", namespace="/robot"), out, "--json", "--depth-factor", factor]
    assert export(*arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["topics"]["image"] == "/robot/rgb/image_rect_color"
    assert report["topics"]["depth"] == "/robot/depth/image_rect"
    assert (report["images"], report["depths"], report["poses"]) == (4, 3, 0)
    assert report["depth_pixels"] == 3 * (160 * 120 - 100)
    assert report["overflows"] == (3 * 20 if factor == 5000 else 0)
    assert report["depth_dropped"] == {"images without depth in time": 1} and report["fps"] == 10

    stamp = "1700000000.100000000"
    assert lines(out / "rgb.txt")[1] == f"{stamp} rgb/{stamp}.png" and len(lines(out / "rgb.txt")) == 4
    assert lines(out / "depth.txt")[1] == f"{stamp} depth/{stamp}.png" and len(lines(out / "depth.txt")) == 3
    assert (out / "associations.txt").read_text().splitlines() == [
        f"1700000000.{k}00000000 rgb/1700000000.{k}00000000.png 1700000000.{k}00000000 depth/1700000000.{k}00000000.png"
        for k in range(3)
    ]
    assert (out / "rgb.txt").read_text().splitlines()[:3] == ["# color images", "# file: 'bag'", "# timestamp filename"]
    picture = cv2.cvtColor(cv2.imread(str(out / "rgb" / f"{stamp}.png")), cv2.COLOR_BGR2RGB)
    assert np.array_equal(picture, view(flat_scene(), 51))  # as published: rectified already, not once more
    depth = cv2.imread(str(out / "depth" / f"{stamp}.png"), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16 and (depth[:10, :10] == 0).all() and (depth[-4:, -5:] == far).all()
    expected = np.rint(metres(1)[60] * np.float32(factor))
    assert np.abs(depth[60].astype(int) - expected).max() <= 0 and depth[60, 100] == 3 * factor  # 1 + 1 + 1 m
    assert not (out / "groundtruth.txt").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_without_the_relay_the_cameras_images_are_rectified(tmp_path, capsys):
    out = tmp_path / "tum"
    assert export(node_bag(tmp_path / "bag", relay=False), out) == 0
    said = capsys.readouterr().out
    assert "4 images, 3 depth images, 0 poses of /camera/image_raw" in said
    assert "60 of 57300 known pixels are beyond 13.1 m and were written as 0 – a smaller --depth-factor" in said
    rectify = Rectifier(Camera(*SIZE, K=K, P=P))
    picture = cv2.imread(str(out / "rgb" / "1700000000.000000000.png"))
    assert np.array_equal(picture[..., ::-1], rectify(view(flat_scene(), 0)))
    depth = cv2.imread(str(out / "depth" / "1700000000.000000000.png"), cv2.IMREAD_UNCHANGED)
    assert depth[60, 100] == 10_000  # depth/image_rect is rectified: untouched
    settings = cv2.FileStorage(str(out / "orb_slam2.yaml"), cv2.FILE_STORAGE_READ)
    assert settings.getNode("Camera.fx").real() == 120.0 and settings.getNode("Camera.cx").real() == 80.25


def test_a_depth_camera_with_odometry(tmp_path, capsys):
    """The camera's own, distorted, images and aligned depth: both are rectified, poses are those of the new axes."""
    angle = np.deg2rad(2)
    R = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    D = (-0.2, 0.05, 0, 0, 0)

    def messages():
        for k in range(3):
            when = START + k * PERIOD
            yield "/camera/color/image_raw", image(view(flat_scene(), k), when), when
            yield "/camera/color/camera_info", camera_info(K, SIZE, when, D=D, R=R, P=P), when
            depth = np.full(SIZE[::-1], 2000, np.uint16)
            yield "/camera/aligned_depth_to_color/image_raw", image(depth, when + 5_000_000, "16UC1"), when + 10
            yield "/odom", odometry((0.5 * k, 2, 3), TURN, when, child=OPTICAL), when + 20

    out = tmp_path / "tum"
    assert export(write_bag(tmp_path / "bag", messages()), out) == 0
    rectify = Rectifier(Camera(*SIZE, K=K, distortion_model="plumb_bob", D=np.array(D), R=R, P=P))
    picture = cv2.imread(str(out / "rgb" / "1700000000.200000000.png"))
    assert np.array_equal(picture[..., ::-1], rectify(view(flat_scene(), 2)))
    depth = cv2.imread(str(out / "depth" / "1700000000.205000000.png"), cv2.IMREAD_UNCHANGED)
    expected = rectify.rectify_depth(np.full(SIZE[::-1], 2.0, np.float32))
    assert np.abs(depth[rectify.valid] / 5000 - expected[rectify.valid]).max() <= 0.5 / 5000 + 1e-6
    assert (depth[~rectify.valid] == 0).all()
    poses = np.loadtxt(out / "groundtruth.txt")
    assert poses.shape == (3, 8) and np.allclose(poses[:, 1:4], [(0, 2, 3), (0.5, 2, 3), (1, 2, 3)])
    assert np.allclose(matrix_from_quaternion(poses[1, 4:]), matrix_from_quaternion(TURN) @ R.T)
    assert "3 poses" in capsys.readouterr().out


def test_a_calibration_file_stands_in_for_camera_info(tmp_path, capsys):
    """As in extract; `scdepth view` takes its frames from the same place."""

    def messages():
        for k in range(3):
            when = START + k * PERIOD
            yield "/camera/image_raw", image(view(flat_scene(), k), when), when
            yield "/camera/depth/image_raw", image(np.full(SIZE[::-1], 2000, np.uint16), when, "16UC1"), when

    bag = write_bag(tmp_path / "bag", messages())
    for command in (
        ["export-tum", str(bag), str(tmp_path / "tum")],
        ["view", str(bag), "--out", str(tmp_path / "v.png")],
    ):
        assert cli.main(command) == 1
        assert capsys.readouterr().err.endswith("– or give the calibration file with --calibration\n")
        file = calibration_file(tmp_path / "ost.yaml", K, SIZE)
        assert cli.main([*command, "--calibration", str(file)]) == 0
    settings = cv2.FileStorage(str(tmp_path / "tum" / "orb_slam2.yaml"), cv2.FILE_STORAGE_READ)
    assert settings.getNode("Camera.fx").real() == K[0, 0]
    assert cv2.imread(str(tmp_path / "v.png")) is not None


def test_what_was_exported_is_imported_with_its_camera_and_its_metres(tmp_path, capsys):
    """The camera is none of TUM's, and neither is the depth factor; both are in orb_slam3.yaml."""
    out = tmp_path / "tum"
    assert export(node_bag(tmp_path / "bag"), out, "--depth-factor", 1000) == 0
    size = ("--size", "160x120")
    assert cli.main(["import", "tum", str(out), str(tmp_path / "data"), *size]) == 0
    folder = SceneFolder(tmp_path / "data")
    scene = folder.training[0]
    assert folder.depth_factor == 1000 and np.allclose(scene.K, P[:, :3])
    depth = read_depth(scene.depths[1], folder.depth_factor)
    assert depth[60, 100] == pytest.approx(3.0) and depth[-1, -1] == pytest.approx(20.0)
    given = ("--intrinsics", "100", "101", "80", "60", "--depth-factor", "2000")
    assert cli.main(["import", "tum", str(out), str(tmp_path / "given"), *size, *given]) == 0
    folder = SceneFolder(tmp_path / "given")
    assert folder.training[0].K[1, 1] == 101
    assert read_depth(folder.training[0].depths[1], folder.depth_factor)[60, 100] == pytest.approx(1.5)
    settings = out / "orb_slam3.yaml"
    settings.write_text(settings.read_text().replace("Camera1.fx", "Camera1.f"))
    assert cli.main(["import", "tum", str(out), str(tmp_path / "broken"), *size]) == 1
    assert "orb_slam3.yaml' holds something other than numbers" in capsys.readouterr().err
    settings.write_text("%YAML:1.0\nCamera1.fx: 700.0\n")  # somebody else's
    assert cli.main(["import", "tum", str(out), str(tmp_path / "other"), *size]) == 1
    assert "say --intrinsics FX FY CX CY" in capsys.readouterr().err


def real(settings, name):
    """A value that ORB-SLAM3 takes as a float: it refuses whole numbers."""
    node = settings.getNode(name)
    assert node.isReal(), f"{name} is no real number"
    return node.real()


def test_camera_files_by_an_independent_reader(tmp_path):
    camera = Camera(640, 480, K=np.array([[500.0, 0, 319.5], [0, 501.25, 240.0], [0, 0, 1]]))
    (tmp_path / "2.yaml").write_text(orb_slam2_yaml(camera, 29.97, 5000))
    (tmp_path / "3.yaml").write_text(orb_slam3_yaml(camera, 29.97, 1000))
    two = cv2.FileStorage(str(tmp_path / "2.yaml"), cv2.FILE_STORAGE_READ)
    values = {"fx": 500, "fy": 501.25, "cx": 319.5, "cy": 240, "k1": 0, "k2": 0, "p1": 0, "p2": 0}
    for name, value in {**values, "bf": 40, "fps": 29.97}.items():
        assert real(two, f"Camera.{name}") == pytest.approx(value), name
    assert real(two, "DepthMapFactor") == 5000 and real(two, "ThDepth") == 40
    three = cv2.FileStorage(str(tmp_path / "3.yaml"), cv2.FILE_STORAGE_READ)
    assert three.getNode("File.version").string() == "1.0" and three.getNode("Camera.type").string() == "PinHole"
    for name, value in values.items():
        assert real(three, f"Camera1.{name}") == value
    for name, value in (("width", 640), ("height", 480), ("fps", 30), ("RGB", 0)):
        node = three.getNode(f"Camera.{name}")
        assert node.isInt() and node.real() == value
    assert (real(three, "Stereo.b"), real(three, "Stereo.ThDepth")) == (0.08, 40)
    assert real(three, "RGBD.DepthMapFactor") == 1000
    assert "0.23 m at 3 m" in (tmp_path / "2.yaml").read_text()  # 3^2 / 40
    with pytest.raises(CameraError, match="needs a rectified camera"):
        orb_slam2_yaml(Camera(640, 480, K=camera.K, distortion_model="plumb_bob", D=np.full(5, 0.1)), 30, 5000)


def test_what_cannot_be_exported_is_one_sentence_and_leaves_nothing(tmp_path, capsys):
    bag = node_bag(tmp_path / "bag")
    (tmp_path / "taken").mkdir()
    no_depth = write_bag(
        tmp_path / "plain",
        [
            ("/a/image", image(view(flat_scene(), 0), START), START),
            ("/a/camera_info", camera_info(K, SIZE, START), START),
        ],
    )
    before = set(tmp_path.iterdir())
    for arguments, words in [
        ([bag, tmp_path / "taken"], "taken' exists already"),
        ([bag, tmp_path / "out", "--depth-factor", 0], "depth factor is 0"),
        ([bag, tmp_path / "out", "--image-topic", "/nope"], "no topic /nope"),
        ([no_depth, tmp_path / "out"], "has no depth images – record depth/image_rect"),
        ([tmp_path / "nothing", tmp_path / "out"], "does not exist"),
    ]:
        assert export(*arguments) == 1
        assert words in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before
