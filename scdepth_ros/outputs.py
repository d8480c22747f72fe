"""What depth_node publishes, and whether anybody listens."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Float64

from scdepth_core.errors import ConfigError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.point_cloud import point_layout
from scdepth_ros import qos
from scdepth_ros.messages import CameraInfoBuffer, CloudBuffer, encode_cloud, encode_color, encode_depth
from scdepth_ros.topics import CLOUD, COLOR, DEPTH, INFO, RGB, RGB_INFO, SCALE

_TYPES = {
    DEPTH: Image,
    INFO: CameraInfo,
    CLOUD: PointCloud2,
    COLOR: Image,
    RGB: Image,
    RGB_INFO: CameraInfo,
    SCALE: Float64,
}
RELAY = {INFO, RGB, RGB_INFO}  # what needs no depth


class DepthOutputs:
    """Lifecycle publishers of the results: made on configure, silent until activated.

    Args:
        node: a rclpy lifecycle node.

    Raises:
        ConfigError: for QoS parameters that are no QoS.
    """

    def __init__(self, node):
        self._node = node
        self._info = CameraInfoBuffer()
        self._cloud: CloudBuffer | None = None
        self._publishers = {}
        try:
            for topic, message in _TYPES.items():
                self._publishers[topic] = qos.advertise(node, message, topic, qos.results(), lifecycle=True)
        except ConfigError:
            self.close()
            raise

    def wanted(self) -> set[str]:
        """The topics that have a subscriber now."""
        return {topic for topic, publisher in self._publishers.items() if publisher.get_subscription_count() > 0}

    def cloud_buffer(self, shape: tuple[int, int], layout: str) -> CloudBuffer:
        """Memory for a cloud of this shape and layout; the same one until either changes."""
        if self._cloud is None or self._cloud.points.shape != (*shape, point_layout(layout).size):
            self._cloud = CloudBuffer(shape, layout)
        return self._cloud

    def relay(self, rgb: np.ndarray, camera: Camera | None, header, wanted: set[str]) -> None:
        """Send the rectified picture and its calibration, which is that of the depth image as well."""
        if RGB in wanted:
            self._publishers[RGB].publish(encode_color(rgb, header))
        for topic in (INFO, RGB_INFO):
            if topic in wanted and camera is not None:
                self._publishers[topic].publish(self._info.message(camera, header))

    def publish(self, result, header, depth_encoding: str, wanted: set[str]) -> None:
        """Send whatever of a FrameResult is wanted, under the header of its image; depth first."""
        if DEPTH in wanted:
            self._publishers[DEPTH].publish(encode_depth(result.depth, header, depth_encoding))
        self.relay(result.rgb, result.camera, header, wanted)
        if CLOUD in wanted and result.cloud is not None:
            ours = self._cloud is not None and result.cloud is self._cloud.points
            msg = self._cloud.message(header) if ours else encode_cloud(result.cloud, header)
            self._publishers[CLOUD].publish(msg)
        if COLOR in wanted and result.color is not None:
            self._publishers[COLOR].publish(encode_color(result.color, header))
        if SCALE in wanted and result.metres_per_unit is not None:
            self._publishers[SCALE].publish(Float64(data=result.metres_per_unit))

    def close(self) -> None:
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers, self._cloud = {}, None
