"""Between ROS messages and arrays. Decoding needs no ROS; encoding imports message classes when called."""

from scdepth_ros.messages.decode import decode_camera_info, decode_depth, decode_image

__all__ = ["decode_camera_info", "decode_depth", "decode_image"]
