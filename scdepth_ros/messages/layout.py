"""How the pixels of a sensor_msgs/Image lie in its bytes: the encodings we read, and a checked view.

Nothing here imports ROS. A message is anything with the fields of sensor_msgs/Image.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scdepth_core.errors import ImageError


class ImageMessageError(ImageError):
    """An image message that cannot be decoded.

    Attributes:
        kind: one of KINDS, for counting: the sentence differs from frame to frame, the kind does not.
    """

    KINDS = ("empty_data", "wrong_size", "wrong_step", "unknown_encoding", "corrupt_data")

    def __init__(self, kind: str, sentence: str):
        super().__init__(sentence)
        self.kind = kind


@dataclass(frozen=True)
class Encoding:
    """One pixel format.

    Attributes:
        dtype: numpy type of one channel, without byte order ("u1", "u2", "f4").
        channels: interleaved channels of a pixel.
        to_rgb: OpenCV's colour conversion to RGB, or None where the channels are RGB or grey already.
        rows: (numerator, denominator) of stored rows per image row; 3/2 for the two planes of NV12.
        even: the pixel format comes in pairs, so that the width (and with planes the height) must be even.
    """

    dtype: str
    channels: int
    to_rgb: int | None = None
    rows: tuple[int, int] = (1, 1)
    even: bool = False

    @property
    def pixel_bytes(self) -> int:
        return np.dtype(self.dtype).itemsize * self.channels


_BAYER = {  # ROS names the first two rows of the mosaic, and so do these constants of OpenCV
    "rggb": cv2.COLOR_BayerRGGB2RGB,
    "bggr": cv2.COLOR_BayerBGGR2RGB,
    "gbrg": cv2.COLOR_BayerGBRG2RGB,
    "grbg": cv2.COLOR_BayerGRBG2RGB,
}
_UYVY = Encoding("u1", 2, cv2.COLOR_YUV2RGB_UYVY, even=True)
_YUYV = Encoding("u1", 2, cv2.COLOR_YUV2RGB_YUY2, even=True)

# What a colour or mono camera sends. 8UC3, 8UC4 and 16UC3 do not name their colours: read blue first,
# as OpenCV writes them.
COLOR_ENCODINGS = {
    "rgb8": Encoding("u1", 3),
    "bgr8": Encoding("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": Encoding("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": Encoding("u1", 4, cv2.COLOR_BGRA2RGB),
    "rgb16": Encoding("u2", 3),
    "bgr16": Encoding("u2", 3, cv2.COLOR_BGR2RGB),
    "rgba16": Encoding("u2", 4, cv2.COLOR_RGBA2RGB),
    "bgra16": Encoding("u2", 4, cv2.COLOR_BGRA2RGB),
    "mono8": Encoding("u1", 1),
    "mono16": Encoding("u2", 1),
    "8UC1": Encoding("u1", 1),
    "8UC3": Encoding("u1", 3, cv2.COLOR_BGR2RGB),
    "8UC4": Encoding("u1", 4, cv2.COLOR_BGRA2RGB),
    "16UC1": Encoding("u2", 1),
    "16UC3": Encoding("u2", 3, cv2.COLOR_BGR2RGB),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": Encoding("u1", 1, cv2.COLOR_YUV2RGB_NV12, rows=(3, 2), even=True),
    "nv21": Encoding("u1", 1, cv2.COLOR_YUV2RGB_NV21, rows=(3, 2), even=True),
    **{f"bayer_{order}8": Encoding("u1", 1, code) for order, code in _BAYER.items()},
    **{f"bayer_{order}16": Encoding("u2", 1, code) for order, code in _BAYER.items()},
}

DEPTH_ENCODINGS = {"32FC1": Encoding("f4", 1), "16UC1": Encoding("u2", 1), "mono16": Encoding("u2", 1)}


def encoding_of(msg, known: dict[str, Encoding]) -> Encoding:
    """The layout of this message's encoding.

    Raises:
        ImageMessageError: when the encoding is not one of `known`.
    """
    encoding = known.get(msg.encoding)
    if encoding is None:
        allowed = ", ".join(known)
        raise ImageMessageError(
            "unknown_encoding", f"image encoding '{msg.encoding}' is unknown, expected one of {allowed}"
        )
    return encoding


def pixels(msg, encoding: Encoding) -> np.ndarray:
    """The message's pixels as (rows, width[, channels]) in this machine's byte order, row padding cut off.

    A view on the message where nothing has to be moved, so treat it as read-only.

    Raises:
        ImageMessageError: when width, height, step and the number of bytes contradict each other.
    """
    width, height, step, size = int(msg.width), int(msg.height), int(msg.step), len(msg.data)
    what = f"image of {width}x{height} in '{msg.encoding}'"
    if size == 0:
        raise ImageMessageError("empty_data", f"{what} has no data – the driver published an empty frame")
    if width < 1 or height < 1:
        raise ImageMessageError("wrong_size", f"{what} has no pixels, expected at least 1x1")
    if encoding.even and (width % 2 or (encoding.rows != (1, 1) and height % 2)):
        raise ImageMessageError(
            "wrong_size", f"{what} is impossible: this encoding stores pixels in pairs and needs even sizes"
        )
    row_bytes = width * encoding.pixel_bytes
    if step < row_bytes:
        raise ImageMessageError("wrong_step", f"{what} has step {step}, expected at least {row_bytes} bytes a row")
    rows = height * encoding.rows[0] // encoding.rows[1]
    if size != step * rows:
        raise ImageMessageError(
            "wrong_size", f"{what} has {size} bytes of data, expected {step * rows} ({rows} rows of step {step})"
        )
    table = np.frombuffer(msg.data, np.uint8).reshape(rows, step)[:, :row_bytes]
    if encoding.dtype != "u1":
        order = ">" if msg.is_bigendian else "<"
        table = np.ascontiguousarray(table).view(order + encoding.dtype)
        table = table.astype(table.dtype.newbyteorder("="), copy=False)
    if encoding.channels == 1:
        return table
    return np.ascontiguousarray(table).reshape(rows, width, encoding.channels)
