"""Arrays to messages: depth, calibration, cloud and colour picture, ready to publish.

Every function takes the std_msgs/Header of the input image: results carry its stamp and optical frame, never now().
Message classes are imported when they are needed, so that this package imports without ROS.
"""

from __future__ import annotations

import array
import sys

import numpy as np

from scdepth_core.errors import ConfigError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.point_cloud import POINT_STEP, RGB_OFFSET, X_OFFSET, Y_OFFSET, Z_OFFSET

_BIG_ENDIAN = sys.byteorder == "big"


def to_message_bytes(values: np.ndarray) -> array.array:
    """The array's bytes as the one type that a ROS message takes in one go.

    Anything else (bytes, list, ndarray) makes the message's setter walk through every element: seconds per frame.
    """
    data = array.array("B")
    data.frombytes(memoryview(np.ascontiguousarray(values)).cast("B"))
    return data


def encode_depth(depth: np.ndarray, header, encoding: str = "32FC1"):
    """A sensor_msgs/Image of depth, as REP 117 and REP 118 want it.

    Args:
        depth: (H, W) float32 metres, NaN where there is none.
        header: of the image that the depth belongs to.
        encoding: "32FC1" (metres, NaN for none) or "16UC1" (millimetres, 0 for none and beyond 65.535 m).

    Raises:
        ConfigError: for another encoding.
    """
    if encoding == "32FC1":
        return _image(np.asarray(depth, np.float32), header, encoding)
    if encoding != "16UC1":
        raise ConfigError(f"depth encoding is '{encoding}', expected 32FC1 (metres) or 16UC1 (millimetres)")
    with np.errstate(invalid="ignore", over="ignore"):
        millimetres = np.rint(depth * np.float32(1000))
        fits = (millimetres >= 1) & (millimetres <= 65535)
    return _image(np.where(fits, millimetres, 0).astype(np.uint16), header, encoding)


def encode_color(rgb: np.ndarray, header):
    """A sensor_msgs/Image in rgb8 from (H, W, 3) uint8."""
    return _image(np.asarray(rgb, np.uint8), header, "rgb8")


def encode_camera_info(camera: Camera, header):
    """The sensor_msgs/CameraInfo of a rectified image: D = 0, R = identity, P = [K | 0], no binning, no region.

    Args:
        camera: the rectified camera (Rectifier.camera); its distortion, if any, is not written.
    """
    from sensor_msgs.msg import CameraInfo

    projection = np.hstack([camera.K, np.zeros((3, 1))])
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=camera.K.ravel(),
        r=np.eye(3).ravel(),
        p=projection.ravel(),
    )


def encode_cloud(cloud: np.ndarray, header, data: array.array | None = None):
    """An organised sensor_msgs/PointCloud2 from the (H, W, 8) float32 buffer of `point_cloud`.

    Args:
        data: the array.array that `cloud` is a view on (see CloudBuffer), to send it without another copy.
    """
    from sensor_msgs.msg import PointCloud2, PointField

    height, width = cloud.shape[:2]
    offsets = {"x": X_OFFSET, "y": Y_OFFSET, "z": Z_OFFSET, "rgb": RGB_OFFSET}
    msg = PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=[
            PointField(name=name, offset=offset, datatype=PointField.FLOAT32, count=1)
            for name, offset in offsets.items()
        ],
        is_bigendian=_BIG_ENDIAN,
        point_step=POINT_STEP,
        row_step=POINT_STEP * width,
        is_dense=False,
    )
    msg.data = to_message_bytes(cloud) if data is None else data  # given to the constructor it would be copied twice
    return msg


class CloudBuffer:
    """Memory for one cloud that NumPy fills and a message sends, kept from frame to frame while the size stays.

    Publishing serialises at once, so the buffer may be filled again as soon as publish() has returned.

    Attributes:
        data: array.array("B"), for PointCloud2.data.
        points: (H, W, 8) float32 view on the same bytes.
    """

    def __init__(self, shape: tuple[int, int]):
        self.data = array.array("B", bytes(shape[0] * shape[1] * POINT_STEP))
        self.points = np.frombuffer(self.data, np.float32).reshape(*shape, POINT_STEP // 4)


def _image(values: np.ndarray, header, encoding: str):
    from sensor_msgs.msg import Image

    height, width = values.shape[:2]
    msg = Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(_BIG_ENDIAN),
        step=values.nbytes // height,
    )
    msg.data = to_message_bytes(values)  # given to the constructor it would be copied twice
    return msg
