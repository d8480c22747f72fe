"""Messages to arrays: images, depth images and camera calibrations, checked before a byte is believed.

No ROS is imported: every function takes anything with the fields of the ROS message it names, so messages of
rclpy, ROS 1 messages and those of the `rosbags` library all do.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np

from scdepth_core.errors import CameraError
from scdepth_core.geometry.camera import Camera
from scdepth_ros.messages.layout import COLOR_ENCODINGS, DEPTH_ENCODINGS, ImageMessageError, encoding_of, pixels

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_COMPRESSED_DEPTH_HEADER = struct.Struct("<iff")  # compression, and two numbers of the inverse-depth quantisation


class UncalibratedError(CameraError):
    """A CameraInfo whose camera was never calibrated."""

    kind = "uncalibrated"


def decode_image(msg) -> np.ndarray:
    """A colour or mono picture from a sensor_msgs/Image or CompressedImage.

    Returns:
        (H, W, 3) uint8 RGB, or (H, W) uint8 for a mono image; 16-bit channels are scaled by 255/65535. May be
        a view on the message's own bytes: treat it as read-only.

    Raises:
        ImageMessageError: an ImageError with a `kind`, for an encoding that is unknown, or bytes that do not fit size,
            step and encoding.
    """
    if not hasattr(msg, "encoding"):
        return _decode_compressed_image(msg)
    encoding = encoding_of(msg, COLOR_ENCODINGS)
    return _to_eight_bit(_to_rgb(pixels(msg, encoding), encoding.to_rgb))


def decode_depth(msg) -> np.ndarray:
    """Depth in metres from a sensor_msgs/Image (32FC1 or 16UC1) or CompressedImage (PNG, with or without the
    `compressedDepth` transport's header).

    Returns:
        (H, W) float32 metres along the optical axis; NaN where there is no value, be it stored as
        0, a negative number, NaN or infinity.

    Raises:
        ImageMessageError: as for decode_image.
    """
    if hasattr(msg, "encoding"):
        stored = pixels(msg, encoding_of(msg, DEPTH_ENCODINGS))
        metres = stored.astype(np.float32)
        if stored.dtype == np.uint16:
            metres *= np.float32(0.001)
    else:
        metres = _decode_compressed_depth(msg)
    metres[~(np.isfinite(metres) & (metres > 0))] = np.nan
    return metres


def decode_camera_info(msg) -> Camera:
    """The camera behind a sensor_msgs/CameraInfo, its region of interest and binning folded in.

    CameraInfo describes the full sensor; the image is its region of interest (0x0 means all), then binned.
    P = 0 (never calibrated for rectification) becomes None, R = 0 the identity.

    Raises:
        UncalibratedError: when K[0] = 0.
        CameraError: for numbers that no camera can have.
    """
    K, D, R, P = (np.array(_field(msg, name), np.float64) for name in "kdrp")
    if K.size == 9 and K[0] == 0:
        raise UncalibratedError("camera_info has fx = 0: the camera is uncalibrated – run camera_calibration once")
    model = msg.distortion_model or "none"
    if D.size and not D.any():
        model, D = "none", np.zeros(0)
    camera = Camera(
        width=int(msg.width),
        height=int(msg.height),
        K=K,
        distortion_model=model,
        D=D,
        R=R if R.any() else np.eye(3),
        P=P if P.any() else None,
    )
    roi = msg.roi
    if roi.width and roi.height and (roi.width, roi.height) != (camera.width, camera.height):
        camera = camera.cropped(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height))
    binning = max(1, int(msg.binning_x)), max(1, int(msg.binning_y))
    if binning != (1, 1):
        camera = camera.resized(camera.width // binning[0], camera.height // binning[1])
    return camera


def _field(msg, name: str):
    """A calibration field: lower case in ROS 2, upper case in ROS 1."""
    return getattr(msg, name) if hasattr(msg, name) else getattr(msg, name.upper())


def _to_rgb(image: np.ndarray, code: int | None) -> np.ndarray:
    if code is None:
        return image
    try:
        return cv2.cvtColor(np.ascontiguousarray(image), code)
    except cv2.error as error:
        raise ImageMessageError(
            "corrupt_data", f"image of shape {image.shape} cannot be converted to RGB: {error.err}"
        ) from error


def _to_eight_bit(image: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(image, alpha=255 / 65535) if image.dtype == np.uint16 else image


def _decode_compressed_image(msg) -> np.ndarray:
    stored = _decode_file(np.frombuffer(msg.data, np.uint8), msg.format)
    original, _, transport = msg.format.partition(";")
    if stored.ndim == 2:
        mosaic = COLOR_ENCODINGS[original] if original.startswith("bayer_") and original in COLOR_ENCODINGS else None
        return _to_eight_bit(_to_rgb(stored, mosaic and mosaic.to_rgb))
    if stored.shape[2] == 4:
        return _to_eight_bit(_to_rgb(stored, cv2.COLOR_BGRA2RGB))
    # image_transport writes blue first, as OpenCV does, unless it says that it compressed RGB as it was.
    return _to_eight_bit(stored if "compressed rgb" in transport else _to_rgb(stored, cv2.COLOR_BGR2RGB))


def _decode_compressed_depth(msg) -> np.ndarray:
    data = np.frombuffer(msg.data, np.uint8)
    if "compressedDepth" not in msg.format:
        return _depth_values(_decode_file(data, msg.format), msg.format) * np.float32(0.001)
    if "rvl" in msg.format:
        raise ImageMessageError(
            "unknown_encoding",
            f"depth format '{msg.format}' is not supported – set the publisher's format parameter to png",
        )
    if data.size <= _COMPRESSED_DEPTH_HEADER.size:
        raise ImageMessageError("empty_data", f"depth image in '{msg.format}' has only {data.size} bytes of data")
    _, a, b = _COMPRESSED_DEPTH_HEADER.unpack_from(data)
    stored = _depth_values(_decode_file(data[_COMPRESSED_DEPTH_HEADER.size :], msg.format), msg.format)
    if not msg.format.startswith("32FC1"):
        return stored * np.float32(0.001)
    with np.errstate(divide="ignore"):  # the transport stores a / z + b, and 0 for no value
        return np.where(stored > 0, np.float32(a) / (stored - np.float32(b)), np.nan).astype(np.float32)


def _depth_values(stored: np.ndarray, name: str) -> np.ndarray:
    if stored.ndim != 2 or stored.dtype != np.uint16:
        raise ImageMessageError(
            "corrupt_data", f"depth image in '{name}' holds {stored.shape} {stored.dtype}, expected one 16-bit channel"
        )
    return stored.astype(np.float32)


def _decode_file(data: np.ndarray, name: str) -> np.ndarray:
    """The picture in the bytes of a JPEG or PNG file, as stored: (H, W[, C]), blue first.

    A rotation noted in EXIF is ignored, because the calibration refers to the sensor.
    """
    if data.size == 0:
        raise ImageMessageError(
            "empty_data", f"compressed image in '{name}' has no data – the driver published an empty frame"
        )
    raw = data.tobytes() if data[:2].tobytes() == _JPEG_START else b""
    if raw and raw.rfind(_JPEG_END, len(raw) // 2) < 0:
        raise ImageMessageError(
            "corrupt_data", f"compressed image in '{name}' is a JPEG cut off after {len(raw)} bytes"
        )
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageMessageError(
            "corrupt_data", f"compressed image in '{name}' cannot be decoded: {error.err}"
        ) from error
    if image is None:
        raise ImageMessageError(
            "corrupt_data", f"compressed image in '{name}' ({data.size} bytes) is neither a readable JPEG nor PNG"
        )
    return image
