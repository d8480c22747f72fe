"""Record a rendered walk as a robot would have: images, calibration, measured depth and odometry in one bag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rosbags.typesys import Stores, get_typestore
from tqdm import tqdm

from scdepth_core.data.synthetic import Mount, Renderer, make_path, make_scene, pinhole_camera
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.quaternion import quaternion_from_matrix
from scdepth_ros.bag import BagWriter

FRAME, WORLD = "camera_color_optical_frame", "odom"
IMAGE, INFO = "/camera/color/image_raw", "/camera/color/camera_info"
DEPTH, ODOMETRY = "/camera/depth/image_raw", "/odom"
START_NS = 1_700_000_000 * 10**9
ROBOT = Mount(height=0.5, pitch=4, yaw=30)  # the starter weights know this one: config/train/synthetic_starter.yaml
SPEED = 0.8  # metres a second
MESSAGES = get_typestore(Stores.ROS2_JAZZY).types


def record_drive(
    path: Path,
    seed: int,
    frames: int = 120,
    fps: float = 10.0,
    size: tuple[int, int] = (320, 240),
    field_of_view: float = 65.0,
    kind: str = "mixed",
) -> None:
    """Render a robot's drive through a scene and write it as a rosbag2 recording (MCAP).

    Args:
        path: folder of the bag; must not exist.
        seed: of the scene and the path. `scdepth synthesize` never reaches seeds from 900,000 to 999,999.
        size: (width, height), pixels.
        field_of_view: horizontal, degrees.
    """
    scene = make_scene(seed, kind)
    camera = pinhole_camera(*size, field_of_view)
    poses = make_path(scene, seed, frames, fps, "driving", rotation=0.15, speed=SPEED, mount=ROBOT)
    renderer = Renderer(scene, camera)
    with BagWriter(path) as bag:
        for index, pose in enumerate(tqdm(poses, unit="frame", desc="rendering a drive", disable=None)):
            stamp = START_NS + round(index * 1e9 / fps)
            rgb, depth = renderer.render(pose)
            bag.write(IMAGE, image_message(rgb, "rgb8", stamp), stamp)
            bag.write(INFO, camera_info_message(camera, stamp), stamp)
            bag.write(DEPTH, image_message(depth.astype(np.float32), "32FC1", stamp), stamp)
            bag.write(ODOMETRY, odometry_message(pose, stamp), stamp)


def header(stamp_ns: int, frame: str = FRAME):
    """std_msgs/Header of the `rosbags` library."""
    time = MESSAGES["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
    return MESSAGES["std_msgs/msg/Header"](time, frame)


def image_message(image: np.ndarray, encoding: str, stamp_ns: int):
    """sensor_msgs/Image of the `rosbags` library, from (H, W[, C])."""
    data = np.ascontiguousarray(image)
    height, width = image.shape[:2]
    return MESSAGES["sensor_msgs/msg/Image"](
        header(stamp_ns), height, width, encoding, 0, data.nbytes // height, data.reshape(-1).view(np.uint8)
    )


def camera_info_message(camera: Camera, stamp_ns: int):
    """sensor_msgs/CameraInfo of the `rosbags` library."""
    P = np.hstack([camera.K, np.zeros((3, 1))]) if camera.P is None else camera.P
    everything = MESSAGES["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return MESSAGES["sensor_msgs/msg/CameraInfo"](
        header(stamp_ns),
        camera.height,
        camera.width,
        "plumb_bob" if camera.distortion_model == "none" else camera.distortion_model,
        camera.D if camera.D.size else np.zeros(5),
        camera.K.ravel(),
        camera.R.ravel(),
        P.ravel(),
        0,
        0,
        everything,
    )


def odometry_message(pose: np.ndarray, stamp_ns: int):
    """nav_msgs/Odometry of the `rosbags` library: pose (4, 4) of the optical frame in the world, metres."""
    make = {name: MESSAGES[f"geometry_msgs/msg/{name}"] for name in (
        "Point", "Quaternion", "Pose", "PoseWithCovariance", "Vector3", "Twist", "TwistWithCovariance")}  # fmt: skip
    position = make["Point"](*map(float, pose[:3, 3]))
    orientation = make["Quaternion"](*map(float, quaternion_from_matrix(pose[:3, :3])))
    still = make["Twist"](make["Vector3"](0.0, 0.0, 0.0), make["Vector3"](0.0, 0.0, 0.0))
    return MESSAGES["nav_msgs/msg/Odometry"](
        header(stamp_ns, WORLD),
        FRAME,
        make["PoseWithCovariance"](make["Pose"](position, orientation), np.zeros(36)),
        make["TwistWithCovariance"](still, np.zeros(36)),
    )
