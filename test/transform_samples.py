"""A rendered drive as robots record it: TF beside the images, and lidar points in a frame of their own."""

from __future__ import annotations

import cv2
import numpy as np
from noise_samples import noisy_path, spoilt_depth

from scdepth_core.data.synthetic import Mount, Renderer, make_path, make_scene, pinhole_camera
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.quaternion import quaternion_from_matrix
from scdepth_ros.bag import BagWriter
from scdepth_ros.demonstration.synthetic_bag import (
    FRAME,
    IMAGE,
    INFO,
    MESSAGES,
    ODOMETRY,
    camera_info_message,
    header,
    image_message,
    odometry_message,
)

START_NS, RATE = 1_700_000_000 * 10**9, 10
COMPRESSED_DEPTH, PNG_DEPTH, POINTS = "/near/image_raw/compressedDepth", "/far/depth/compressed", "/lidar/points"
MOUNT = Mount(height=0.5, pitch=10)


def pose_of(translation, axis_angle=(0, 0, 0)) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(np.array(axis_angle, float))[0], translation
    return pose


LIDAR_IN_CAMERA = pose_of((0.05, -0.25, -0.1), (0.3, -1.1, 0.4))  # of the lidar's frame in the optical one
CAMERA_IN_BASE = pose_of((0.3, 0.1, 0.5), (-1.2, 1.2, -1.2))


def transform_message(entries, stamp_ns: int):
    """tf2_msgs/TFMessage of (parent, child, pose (4, 4))."""
    make = {name: MESSAGES[f"geometry_msgs/msg/{name}"] for name in ("Vector3", "Quaternion", "Transform")}
    return MESSAGES["tf2_msgs/msg/TFMessage"](
        [
            MESSAGES["geometry_msgs/msg/TransformStamped"](
                header(stamp_ns, parent),
                child,
                make["Transform"](
                    make["Vector3"](*map(float, pose[:3, 3])),
                    make["Quaternion"](*map(float, quaternion_from_matrix(pose[:3, :3]))),
                ),
            )
            for parent, child, pose in entries
        ]
    )


def points_message(points: np.ndarray, stamp_ns: int, frame: str = "lidar"):
    """sensor_msgs/PointCloud2 of (N, 3), in the layout that lidars use: x y z, padding, intensity."""
    field = MESSAGES["sensor_msgs/msg/PointField"]
    table = np.zeros((len(points), 6), np.float32)
    table[:, :3] = points
    fields = [field(name, 4 * place, 7, 1) for name, place in (("x", 0), ("y", 1), ("z", 2), ("intensity", 4))]
    data = table.reshape(-1).view(np.uint8)
    return MESSAGES["sensor_msgs/msg/PointCloud2"](
        header(stamp_ns, frame), 1, len(points), fields, False, 24, 24 * len(points), data, True
    )


def lidar_points(depth: np.ndarray, camera: Camera, rng, share: float = 0.02, noisy: bool = False) -> np.ndarray:
    """Points (N, 3) in the lidar's frame that fall on a share of the pixels of a depth image, and some behind it.

    Args:
        noisy: whether their distance is off, as in noise_samples.
    """
    row, column = np.nonzero(rng.random(depth.shape) < share)
    z = depth[row, column].astype(np.float64)
    if noisy:
        z = spoilt_depth(z, rng)
    rays = np.c_[column, row, np.ones(len(z))] @ np.linalg.inv(camera.K).T
    points = np.r_[rays * z[:, None], rng.uniform(-5, -1, (50, 3))]
    to_lidar = np.linalg.inv(LIDAR_IN_CAMERA)
    return points @ to_lidar[:3, :3].T + to_lidar[:3, 3]


def png_message(depth: np.ndarray, stamp_ns: int, form: str, prefix: bytes = b""):
    """sensor_msgs/CompressedImage of depth in millimetres as a 16-bit PNG."""
    data = prefix + cv2.imencode(".png", np.rint(1000 * depth).astype(np.uint16))[1].tobytes()
    return MESSAGES["sensor_msgs/msg/CompressedImage"](header(stamp_ns), form, np.frombuffer(data, np.uint8))


def record_robot(path, seed=4, frames=100, size=(240, 180)) -> tuple[np.ndarray, Camera]:
    """A drive with images, calibration, depth as PNG in two transports and TF, all of it exact, and with lidar points,
    odometry and the height of the ground in TF measured with 5 % noise and outliers.

    TF has odom -> base_link -> camera -> lidar and base_link -> ground, in which the floor is the plane z = 0.

    Returns:
        depth (N, H, W) float32 as rendered, and the camera.
    """
    scene, rng = make_scene(seed, "room"), np.random.default_rng(seed)
    camera = pinhole_camera(*size, 70)
    poses = make_path(scene, 0, frames, RATE, "driving", mount=MOUNT)
    renderer = Renderer(scene, camera, supersampling=1)
    measured, to_base = noisy_path(poses, rng), np.linalg.inv(CAMERA_IN_BASE)
    depths = []
    with BagWriter(path) as bag:
        fixed = [("base_link", FRAME, CAMERA_IN_BASE), (FRAME, "lidar", LIDAR_IN_CAMERA)]
        bag.write("/tf_static", transform_message(fixed, START_NS), START_NS)
        for index, pose in enumerate(poses):
            stamp = START_NS + index * 10**9 // RATE
            rgb, depth = renderer.render(pose)
            depths.append(depth.astype(np.float32))
            points = lidar_points(depth, camera, rng, noisy=True)
            moving = [("odom", "base_link", pose @ to_base), ("base_link", "ground", ground_in_base(pose, rng))]
            for topic, message in (
                (IMAGE, image_message(rgb, "rgb8", stamp)),
                (INFO, camera_info_message(camera, stamp)),
                (COMPRESSED_DEPTH, png_message(depth, stamp, "16UC1; compressedDepth png", bytes(12))),
                (PNG_DEPTH, png_message(depth, stamp, "16UC1; png compressed ")),
                (POINTS, points_message(points, stamp + 10**6)),
                (ODOMETRY, odometry_message(measured[index], stamp)),
                ("/tf", transform_message(moving, stamp)),
            ):
                bag.write(topic, message, stamp)
    return np.stack(depths), camera


def ground_in_base(pose: np.ndarray, rng) -> np.ndarray:
    """Pose in base_link of a frame on the floor below a camera; the world has z up and its floor at z = 0.

    The height is off by 5 %, and every tenth time it is anything from a fifth to five times as large.
    """
    wrong = rng.uniform(-1.6, 1.6) if rng.random() < 0.1 else 0.0
    below = np.eye(4)
    below[:3, 3] = *pose[:2, 3], pose[2, 3] * (1 - np.exp(0.05 * rng.standard_normal() + wrong))
    return CAMERA_IN_BASE @ np.linalg.inv(pose) @ below
