"""Pictures of a data set against the rays of the camera that took them."""

import cv2
import numpy as np
import pytest
from bag_samples import calibration_file, camera_info
from extract_samples import IMAGE, SIZE, TURN, K, flat_scene, run, settings, table, walk

from scdepth_core.errors import BagError, CameraError, ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.image_geometry import ImageGeometry
from scdepth_core.geometry.quaternion import matrix_from_quaternion
from scdepth_ros.extraction import extract
from scdepth_ros.extraction.geometry import default_size


@pytest.fixture(scope="module")
def scene():
    return flat_scene()


@pytest.mark.parametrize(
    "size, expected",
    [((640, 480), (320, 256)), ((1242, 375), (832, 256)), ((1280, 720), (448, 256)), ((160, 120), (128, 96))],
)
def test_the_default_size_keeps_the_aspect_in_multiples_of_32(size, expected):
    assert default_size(Camera(*size, K=K)) == expected


def test_cropping_and_stretching_give_exact_intrinsics():
    camera = Camera(640, 480, K=np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]]))
    crop = ImageGeometry(camera, (320, 256), "crop")
    assert crop.window == (20, 0, 600, 480)
    s = 256 / 480
    assert np.allclose(crop.camera.K, [[585 * s, 0, 300.5 * s - 0.5], [0, 585 * s, 240.5 * s - 0.5], [0, 0, 1]])
    stretch = ImageGeometry(camera, (320, 256), "stretch")
    assert stretch.window == (0, 0, 640, 480)
    assert np.allclose(stretch.camera.K, [[292.5, 0, 159.75], [0, 585 * s, 240.5 * s - 0.5], [0, 0, 1]])


@pytest.mark.parametrize(
    "model, D",
    [
        ("plumb_bob", [-0.3, 0.08, 0.001, -0.001, 0]),
        ("plumb_bob", [0.2, 0.02, 0, 0, 0]),
        ("rational_polynomial", [0.3, -0.1, 0, 0, 0, 0.6, -0.1, 0]),
        ("equidistant", [-0.02, 0.005, 0, 0]),
    ],
)
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_every_pixel_comes_from_where_its_ray_met_the_sensor(model, D, fit):
    camera = Camera(*SIZE, K=K, distortion_model=model, D=np.array(D))
    geometry = ImageGeometry(camera, (96, 64), fit)
    columns, rows = np.meshgrid(np.arange(SIZE[0]) + 1.0, np.arange(SIZE[1]) + 1.0)
    from_column = geometry.depth(columns.astype(np.float32)) - 1
    from_row = geometry.depth(rows.astype(np.float32)) - 1
    assert np.isfinite(from_column).all()  # no border in the picture
    u, v = np.meshgrid(np.arange(96), np.arange(64))
    rays = np.stack([u, v, np.ones_like(u)], -1).reshape(-1, 3) @ np.linalg.inv(geometry.camera.K).T
    if model == "equidistant":
        points = cv2.fisheye.distortPoints(rays[None, :, :2].copy(), K, np.array(D))
    else:
        points, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), K, np.array(D))
    expected = points.reshape(64, 96, 2)
    assert np.abs(from_column - expected[..., 0]).max() < 1.3  # nearest of nearest
    assert np.abs(from_row - expected[..., 1]).max() < 1.3


def test_depth_of_lower_resolution_is_fitted_and_of_another_aspect_refused():
    geometry = ImageGeometry(Camera(*SIZE, K=K), (128, 96))
    small = np.full((60, 80), 2.0, np.float32)
    assert geometry.depth(small).shape == (96, 128) and (geometry.depth(small) == 2).all()
    with pytest.raises(ImageError, match="not registered"):
        geometry.depth(np.full((90, 160), 2.0, np.float32))


def test_a_topic_called_rect_is_taken_as_rectified(tmp_path, scene):
    P = np.array([[120.0, 0, 80, 0], [0, 120, 60, 0], [0, 0, 1, 0]])
    distorted = lambda when: camera_info(K, SIZE, when, D=(-0.3, 0.1, 0, 0, 0), P=P)  # noqa: E731
    messages = [
        (IMAGE.replace("raw", "rect_color") if topic == IMAGE else topic, message, when)
        for topic, message, when in walk(scene, 5, depth=False, odom=False, info=distorted)
    ]
    report, out = run(tmp_path, messages)
    assert "already rectified" in report.bags[0].camera["summary"]
    assert np.allclose(table(out / "training/walk_00/cam.txt"), Camera(*SIZE, K=P[:, :3]).resized(128, 96).K)


def test_a_calibration_file_stands_in_for_camera_info(tmp_path, scene):
    messages = [m for m in walk(scene, 5, depth=False, odom=False) if m[0] == IMAGE]
    with pytest.raises(BagError, match=r"no camera_info for /cam/image_raw.*--calibration"):
        run(tmp_path, messages)
    file = calibration_file(tmp_path / "ost.yaml", K, SIZE)
    extract([tmp_path / "walk"], tmp_path / "out", settings(calibration=str(file)))
    assert np.allclose(table(tmp_path / "out/training/walk_00/cam.txt"), Camera(*SIZE, K=K).resized(128, 96).K)
    calibration_file(file, K, (320, 240))
    words = rf"ost.yaml' is for 320x240, images of {IMAGE} in bag '.*walk' are 160x120 – give one for images"
    with pytest.raises(CameraError, match=words):
        extract([tmp_path / "walk"], tmp_path / "other", settings(calibration=str(file)))
    assert not list(tmp_path.glob("other*"))
    file.write_text("image_width: 160\n")
    with pytest.raises(CameraError, match="camera_matrix"):
        extract([tmp_path / "walk"], tmp_path / "other", settings(calibration=str(file)))


def test_a_rectifying_rotation_turns_the_pose_with_the_picture():
    R = cv2.Rodrigues(np.array([0.02, -0.05, 0.01]))[0]
    geometry = ImageGeometry(Camera(*SIZE, K=K, R=R, P=np.hstack([K, np.zeros((3, 1))])), (128, 96))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = matrix_from_quaternion(TURN), (1, 2, 3)
    point = np.array([0.3, -0.2, 2.0, 1.0])  # in the camera as it is
    assert np.allclose(geometry.pose(pose) @ [*(R @ point[:3]), 1], pose @ point)
