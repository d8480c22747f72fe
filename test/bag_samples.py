"""Small recordings made on the spot: messages, and bags of every kind that holds them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import yaml
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

ROS2 = get_typestore(Stores.ROS2_JAZZY)
ROS1 = get_typestore(Stores.ROS1_NOETIC)
START = 1_700_000_000 * 10**9
SECOND = 10**9
OPTICAL = "camera_color_optical_frame"


def stamp(ns: int, store=ROS2):
    return store.types["builtin_interfaces/msg/Time"](sec=ns // SECOND, nanosec=ns % SECOND)


def header(ns: int, frame: str = OPTICAL, store=ROS2):
    extra = {"seq": 0} if store is ROS1 else {}
    return store.types["std_msgs/msg/Header"](stamp=stamp(ns, store), frame_id=frame, **extra)


def text(words: str, store=ROS2):
    return store.types["std_msgs/msg/String"](data=words)


def image(pixels: np.ndarray, ns: int, encoding: str = "rgb8", store=ROS2, frame: str = OPTICAL):
    return store.types["sensor_msgs/msg/Image"](
        header=header(ns, frame, store),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=np.frombuffer(np.ascontiguousarray(pixels).tobytes(), np.uint8),
    )


def compressed(pixels: np.ndarray, ns: int, suffix: str, form: str, prefix: bytes = b"", store=ROS2):
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    data = prefix + cv2.imencode(suffix, stored)[1].tobytes()
    kind = store.types["sensor_msgs/msg/CompressedImage"]
    return kind(header=header(ns, store=store), format=form, data=np.frombuffer(data, np.uint8))


def camera_info(K, size, ns: int, model: str = "plumb_bob", D=(0, 0, 0, 0, 0), R=None, P=None, store=ROS2):
    K = np.asarray(K, np.float64)
    P = np.hstack([K, np.zeros((3, 1))]) if P is None else np.asarray(P, np.float64)
    values = {"d": np.array(D, np.float64), "k": K.ravel(), "r": np.eye(3).ravel(), "p": P.ravel()}
    if R is not None:
        values["r"] = np.asarray(R, np.float64).ravel()
    if store is ROS1:
        values = {name.upper(): value for name, value in values.items()}
    roi = store.types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return store.types["sensor_msgs/msg/CameraInfo"](
        header=header(ns, store=store),
        width=size[0],
        height=size[1],
        distortion_model=model,
        binning_x=0,
        binning_y=0,
        roi=roi,
        **values,
    )


def calibration_file(path: Path, K, size) -> Path:
    """What camera_calibration writes, for a camera without distortion."""
    entries = {
        "image_width": size[0],
        "image_height": size[1],
        "camera_matrix": {"rows": 3, "cols": 3, "data": np.ravel(K).tolist()},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.0] * 5},
    }
    path.write_text(yaml.safe_dump(entries))
    return path


def odometry(position, quaternion, ns: int, child: str = OPTICAL, store=ROS2):
    types = store.types
    zero = types["geometry_msgs/msg/Vector3"](x=0.0, y=0.0, z=0.0)
    pose = types["geometry_msgs/msg/Pose"](
        position=types["geometry_msgs/msg/Point"](**dict(zip("xyz", map(float, position)))),
        orientation=types["geometry_msgs/msg/Quaternion"](**dict(zip("xyzw", map(float, quaternion)))),
    )
    return types["nav_msgs/msg/Odometry"](
        header=header(ns, "odom", store),
        child_frame_id=child,
        pose=types["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36)),
        twist=types["geometry_msgs/msg/TwistWithCovariance"](
            twist=types["geometry_msgs/msg/Twist"](linear=zero, angular=zero), covariance=np.zeros(36)
        ),
    )


def write_bag(path: Path, messages, kind: str = "mcap", silent=()) -> Path:
    """Record (topic, message, stamp in ns) triples.

    Args:
        kind: "mcap", "mcap-zstd", "sqlite", or "ros1", "ros1-lz4", "ros1-bz2" (of messages made with ROS1).
        silent: type by name of topics that are listed and have no message.
    """
    if kind.startswith("ros1"):
        path = path.with_suffix(".bag")
        writer, store = Ros1Writer(path), ROS1
        if kind != "ros1":
            writer.set_compression(Ros1Writer.CompressionFormat[kind.removeprefix("ros1-").upper()])
    else:
        plugin = StoragePlugin.SQLITE3 if kind == "sqlite" else StoragePlugin.MCAP
        writer, store = Writer(path, version=8, storage_plugin=plugin), ROS2
        if kind == "mcap-zstd":
            writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    serialize = store.serialize_ros1 if store is ROS1 else store.serialize_cdr
    connections = {}
    with writer:
        for topic, name in dict(silent).items():
            writer.add_connection(topic, name, typestore=store)
        for topic, message, when in messages:
            name = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, name, typestore=store)
            writer.write(connections[topic], when, bytes(serialize(message, name)))
    return path


def storage_file(bag: Path) -> Path:
    """The file that holds the messages of a bag."""
    if bag.is_file():
        return bag
    return next(file for file in bag.iterdir() if file.suffix in (".mcap", ".db3"))


def cut(bag: Path, share: float) -> Path:
    """Cut a bag's storage file off after this share of its bytes, as a full disk does."""
    file = storage_file(bag)
    with file.open("r+b") as stream:
        stream.truncate(int(file.stat().st_size * share))
    return bag
