"""Between ROS messages and arrays. Decoding needs no ROS; encoding imports message classes when called."""

from scdepth_ros.messages.decode import decode_camera_info, decode_depth, decode_image
from scdepth_ros.messages.encode import (
    CameraInfoBuffer,
    CloudBuffer,
    encode_camera_info,
    encode_cloud,
    encode_color,
    encode_depth,
)
from scdepth_ros.messages.points import decode_points, is_points
from scdepth_ros.messages.stamp import stamp_ns

__all__ = [
    "CameraInfoBuffer",
    "CloudBuffer",
    "decode_camera_info",
    "decode_depth",
    "decode_image",
    "decode_points",
    "encode_camera_info",
    "encode_cloud",
    "encode_color",
    "encode_depth",
    "is_points",
    "stamp_ns",
]
