"""What the benchmark's camera sends."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from scdepth_ros.benchmark.subject import FRAME_ID, View
from scdepth_ros.messages import encode_color


def picture_message(view: View) -> Image:
    """rgb8, without a stamp."""
    return encode_color(view.picture(), Header(frame_id=FRAME_ID))


def info_message(view: View) -> CameraInfo:
    """Of that picture, without a stamp; a lens that distorts is described as such."""
    camera = view.camera()
    return CameraInfo(
        header=Header(frame_id=FRAME_ID),
        width=view.width,
        height=view.height,
        distortion_model="plumb_bob",
        d=camera.D,
        k=camera.K.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([camera.K, np.zeros((3, 1))]).ravel(),
    )


def set_stamp(message, nanoseconds: int) -> None:
    """Put a time of day into a message's header."""
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(nanoseconds, 10**9)
