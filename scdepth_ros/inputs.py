"""What depth_node listens to: images, raw or compressed, and their calibration."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from scdepth_core.errors import CameraError, ConfigError
from scdepth_core.geometry.camera import Camera
from scdepth_ros import qos
from scdepth_ros.lost_messages import TRANSPORT_CURE, LostMessages
from scdepth_ros.messages import decode_camera_info

FIRST_INFO_TIMEOUT = 0.5  # seconds that the first image waits for its calibration, which may travel behind it
EXACT_INFO_TIMEOUT = 0.2  # and every image, when only the CameraInfo of its own stamp will do
_INFOS = 100  # kept to look for a stamp in


@dataclass(frozen=True)
class Frame:
    """An image message, the inputs it came through, and the monotonic time of its arrival in seconds."""

    msg: Image | CompressedImage
    inputs: CameraInputs
    arrived: float


class CameraInputs:
    """The two subscriptions of an active node.

    Args:
        node: a rclpy node.
        transport: "raw" or "compressed".
        sync: which CameraInfo belongs to an image: the "latest", or the one with "exact"ly its stamp.
        on_image: called with every image message, in the spinning thread.
        complain: called with "frames_lost", a sentence and how many, when images were lost on the way.

    Attributes:
        image_topic, info_topic: full names after remapping.
        image_type: of the images, such as "sensor_msgs/msg/Image".
        lost: LostMessages of the images.

    Raises:
        ConfigError: for QoS parameters that are no QoS.
    """

    def __init__(self, node, transport: str, sync: str, on_image, complain: Callable[[str, str, int], None]):
        self._node, self._exact = node, sync == "exact"
        self._infos: deque[CameraInfo] = deque(maxlen=_INFOS if self._exact else 1)
        self._info_came = threading.Condition()
        self._waited = False
        self.image_topic = transported(node, "image", transport)
        self.info_topic = node.resolve_topic_name("camera_info")
        message = CompressedImage if transport == "compressed" else Image
        self.image_type = f"sensor_msgs/msg/{message.__name__}"
        sentence = f"images of {self.image_topic} were lost on the way: {TRANSPORT_CURE}"
        self.lost = LostMessages(lambda count: complain("frames_lost", sentence, count))
        info_qos = qos.measurements() if self._exact else qos.newest_of_a_sensor()
        self._subscriptions = [qos.subscribe(node, CameraInfo, self.info_topic, self._on_camera_info, info_qos)]
        try:
            images = qos.subscribe(node, message, self.image_topic, on_image, qos.newest_of_a_sensor(), self.lost)
        except ConfigError:
            self.close()
            raise
        self._subscriptions.append(images)

    def camera_info_of(self, stamp) -> CameraInfo | None:
        """The CameraInfo of an image with this stamp; None when none comes in time.

        With "latest", the first image waits for it, later ones take what is there.
        """
        with self._info_came:
            if self._exact:
                return self._info_came.wait_for(lambda: self._with_stamp(stamp), EXACT_INFO_TIMEOUT)
            if not self._waited:
                self._waited = True
                self._info_came.wait_for(lambda: self._infos, FIRST_INFO_TIMEOUT)
            return self._infos[-1] if self._infos else None

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _with_stamp(self, stamp) -> CameraInfo | None:
        return next((info for info in reversed(self._infos) if info.header.stamp == stamp), None)

    def _on_camera_info(self, msg: CameraInfo) -> None:
        with self._info_came:
            self._infos.append(msg)
            self._info_came.notify_all()


def transported(node, topic: str, transport: str) -> str:
    """Full name of an image topic in a transport. As with image_transport, remapping `image` takes `image/compressed`
    along.
    """
    base = node.resolve_topic_name(topic)
    if transport == "raw":
        return base
    remapped = node.resolve_topic_name(f"{topic}/{transport}")
    as_written = node.resolve_topic_name(f"{topic}/{transport}", only_expand=True)
    return remapped if remapped != as_written else f"{base}/{transport}"


class Calibration:
    """Decodes CameraInfo messages, and gives the same Camera object for as long as their numbers stay the same."""

    def __init__(self):
        self._key: tuple | None = None
        self._outcome: Camera | CameraError | None = None

    def camera(self, msg: CameraInfo) -> Camera:
        """The camera that the message describes.

        Raises:
            CameraError: as decode_camera_info does.
        """
        key = _numbers(msg)
        if key != self._key:
            try:
                self._outcome = decode_camera_info(msg)
            except CameraError as error:
                self._outcome = error
            self._key = key
        if isinstance(self._outcome, CameraError):
            raise self._outcome.with_traceback(None)  # which would grow with every raise, and keep every image
        return self._outcome


def _numbers(msg: CameraInfo) -> tuple:
    """Everything in a CameraInfo that makes up the camera, as bytes where NaN equals NaN."""
    roi = msg.roi
    matrices = (np.asarray(values, np.float64).tobytes() for values in (msg.d, msg.k, msg.r, msg.p))
    size = (msg.height, msg.width, msg.distortion_model, msg.binning_x, msg.binning_y)
    return (*size, roi.x_offset, roi.y_offset, roi.width, roi.height, *matrices)
