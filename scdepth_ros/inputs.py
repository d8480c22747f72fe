"""What depth_node listens to: images, raw or compressed, and their calibration."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from scdepth_core.errors import CameraError
from scdepth_core.geometry.camera import Camera
from scdepth_ros import qos
from scdepth_ros.messages import decode_camera_info


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
        on_image: called with every image message, in the spinning thread.

    Attributes:
        image_topic, info_topic: full names after remapping.
        camera_info: the newest CameraInfo message, or None.
    """

    def __init__(self, node, transport: str, on_image):
        self._node = node
        self.camera_info: CameraInfo | None = None
        self._info_came = threading.Event()
        self._waited = False
        self.image_topic = image_topic(node, transport)
        self.info_topic = node.resolve_topic_name("camera_info")
        message = CompressedImage if transport == "compressed" else Image
        self._subscriptions = [
            self._subscribe(message, self.image_topic, on_image),
            self._subscribe(CameraInfo, self.info_topic, self._on_camera_info),
        ]

    def wait_for_camera_info(self, timeout: float) -> bool:
        """Whether a CameraInfo is there. The first call waits up to `timeout` seconds for it, later ones do not."""
        if not self._waited:
            self._waited = True
            self._info_came.wait(timeout)
        return self.camera_info is not None

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _subscribe(self, message, topic: str, callback):
        return self._node.create_subscription(
            message,
            topic,
            callback,
            qos.newest_of_a_sensor(),
            event_callbacks=qos.subscription_events(self._node.get_logger(), topic),
            qos_overriding_options=qos.overridable(),
        )

    def _on_camera_info(self, msg: CameraInfo) -> None:
        self.camera_info = msg
        self._info_came.set()


def image_topic(node, transport: str) -> str:
    """Full name of the image topic. As with image_transport, remapping `image` takes `image/compressed` along."""
    base = node.resolve_topic_name("image")
    if transport == "raw":
        return base
    remapped = node.resolve_topic_name("image/compressed")
    as_written = node.resolve_topic_name("image/compressed", only_expand=True)
    return remapped if remapped != as_written else f"{base}/compressed"


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
            raise self._outcome
        return self._outcome


def _numbers(msg: CameraInfo) -> tuple:
    """Everything in a CameraInfo that makes up the camera, as bytes where NaN equals NaN."""
    roi = msg.roi
    matrices = (np.asarray(values, np.float64).tobytes() for values in (msg.d, msg.k, msg.r, msg.p))
    size = (msg.height, msg.width, msg.distortion_model, msg.binning_x, msg.binning_y)
    return (*size, roi.x_offset, roi.y_offset, roi.width, roi.height, *matrices)
