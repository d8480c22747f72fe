"""The points of a sensor_msgs/PointCloud2, whatever its layout. Nothing here imports ROS."""

from __future__ import annotations

import numpy as np

from scdepth_ros.messages.layout import ImageMessageError

_FLOATS = {7: "f4", 8: "f8"}  # datatypes of sensor_msgs/PointField


def is_points(msg) -> bool:
    """Whether a message is a sensor_msgs/PointCloud2, not an image of some kind."""
    return hasattr(msg, "point_step")


def decode_points(msg) -> np.ndarray:
    """x, y and z (N, 3) float64 in the frame of the message, metres; NaN stays, an empty cloud has N = 0.

    Raises:
        ImageMessageError: an ImageError with a `kind`, when x, y or z is missing or no float, or when width, height,
            steps and the number of bytes contradict each other.
    """
    fields = {field.name: field for field in msg.fields}
    missing = [name for name in "xyz" if name not in fields or fields[name].datatype not in _FLOATS]
    if missing:
        there = ", ".join(fields) or "no fields"
        raise ImageMessageError(
            "unknown_encoding", f"point cloud has no {', '.join(missing)} of floats, its fields are {there}"
        )
    width, height, step, row_step = (int(n) for n in (msg.width, msg.height, msg.point_step, msg.row_step))
    what = f"point cloud of {width}x{height} points"
    formats = [_FLOATS[fields[name].datatype] for name in "xyz"]
    offsets = [int(fields[name].offset) for name in "xyz"]
    needed = max(offset + np.dtype(form).itemsize for offset, form in zip(offsets, formats))
    if step < needed or row_step < width * step:
        raise ImageMessageError(
            "wrong_step",
            f"{what} has point_step {step} and row_step {row_step}, expected at least {needed} and {width * step}",
        )
    if len(msg.data) != row_step * height:
        raise ImageMessageError(
            "wrong_size", f"{what} has {len(msg.data)} bytes, expected {row_step * height} ({height} rows)"
        )
    if not width * height:
        return np.empty((0, 3))
    order = ">" if msg.is_bigendian else "<"
    layout = np.dtype(
        {"names": list("xyz"), "formats": [order + form for form in formats], "offsets": offsets, "itemsize": step}
    )
    rows = np.frombuffer(msg.data, np.uint8).reshape(height, row_step)[:, : width * step]
    table = np.ascontiguousarray(rows).view(layout).ravel()
    return np.stack([table[name].astype(np.float64) for name in "xyz"], axis=-1)
