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
from scdepth_core.geometry.point_cloud import LAYOUTS, point_layout

_BIG_ENDIAN = sys.byteorder == "big"


def fill(data: array.array, values: np.ndarray) -> None:
    """Put the array's bytes into a new message's own `data`: one copy.

    Assigning them costs more: setters of Humble walk through every element of anything but an array.array (seconds a
    frame), and those of Jazzy copy even that one.
    """
    data.frombytes(memoryview(np.ascontiguousarray(values)).cast("B"))


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
    millimetres[~fits] = 0
    return _image(millimetres.astype(np.uint16), header, encoding)


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


def encode_cloud(cloud: np.ndarray, header):
    """An organised sensor_msgs/PointCloud2 from the (H, W, n) float32 buffer of `point_cloud`; copies it."""
    msg = _empty_cloud(*cloud.shape)
    msg.header = header
    fill(msg.data, cloud)
    return msg


class CloudBuffer:
    """A cloud message that NumPy fills in place, kept from frame to frame while the size stays.

    Publishing serialises at once, so it may be filled again as soon as publish() has returned.

    Args:
        shape: (H, W), rows and columns.
        layout: of `point_cloud`.

    Attributes:
        points: (H, W, n) float32 view on the message's bytes, n numbers a point as the layout has it.
    """

    def __init__(self, shape: tuple[int, int], layout: str = "pcl"):
        shape = (*shape, point_layout(layout).size)
        self._msg = _empty_cloud(*shape)
        fill(self._msg.data, np.zeros(shape, np.float32))
        self.points = np.frombuffer(self._msg.data, np.float32).reshape(shape)

    def message(self, header):
        """The sensor_msgs/PointCloud2 of what `points` holds now: the same one for every frame."""
        self._msg.header = header
        return self._msg


class CameraInfoBuffer:
    """The CameraInfo of a rectified image, kept from frame to frame while the camera stays the same object."""

    def __init__(self):
        self._camera: Camera | None = None
        self._msg = None

    def message(self, camera: Camera, header):
        """As encode_camera_info, but the same message for every frame."""
        if camera is not self._camera:
            self._camera, self._msg = camera, encode_camera_info(camera, header)
        self._msg.header = header
        return self._msg


def _empty_cloud(height: int, width: int, size: int):
    """A PointCloud2 of points of so many numbers, which lacks a header and its points."""
    from sensor_msgs.msg import PointCloud2, PointField

    [rgb] = [layout.rgb for layout in LAYOUTS.values() if layout.size == size]
    places, step = {"x": 0, "y": 1, "z": 2, "rgb": rgb}, 4 * size
    return PointCloud2(
        height=height,
        width=width,
        fields=[
            PointField(name=name, offset=4 * place, datatype=PointField.FLOAT32, count=1)
            for name, place in places.items()
        ],
        is_bigendian=_BIG_ENDIAN,
        point_step=step,
        row_step=step * width,
        is_dense=False,
    )


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
    fill(msg.data, values)
    return msg
