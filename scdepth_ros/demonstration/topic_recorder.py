"""Record what depth_node publishes, as the bytes that came, and how long each frame took to become depth."""

from __future__ import annotations

import struct
import threading
import time

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from scdepth_ros.bag import BagWriter
from scdepth_ros.outputs import CLOUD, COLOR, DEPTH, INFO

RECORDED = {DEPTH: Image, INFO: CameraInfo, CLOUD: PointCloud2, COLOR: Image}
TYPE_NAMES = {Image: "Image", CameraInfo: "CameraInfo", PointCloud2: "PointCloud2"}
_STAMP = struct.Struct("<iI")  # a CDR message that starts with a Header: 4 bytes of encapsulation, then the stamp


class TopicRecorder:
    """Subscribes, in a thread of its own, to the camera and to everything that depth_node makes of it.

    Args:
        bag: open writer for the node's topics.
        image_topic: the camera's topic as the node sees it, used to time frames; not recorded.

    Attributes:
        received: number of messages by topic.
        latencies: seconds from an image's arrival here to that of its depth, frame by frame.
        last: monotonic time of the newest depth image.
    """

    def __init__(self, bag: BagWriter, image_topic: str):
        self._bag, self._image_topic = bag, image_topic
        self._arrivals: dict[int, float] = {}
        self.received = dict.fromkeys([image_topic, *RECORDED], 0)
        self.latencies: list[float] = []
        self.last = time.monotonic()
        self.error: Exception | None = None
        self._node = rclpy.create_node("demo_recorder", start_parameter_services=False)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        sensor = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
        camera = CompressedImage if image_topic.endswith("/compressed") else Image
        self._node.create_subscription(camera, image_topic, self._on_image, sensor, raw=True)
        for topic, message in RECORDED.items():
            self._node.create_subscription(message, topic, self._writer_of(topic, message), 10, raw=True)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def wait_for_node(self, name: str, seconds: float, is_alive) -> bool:
        """Whether the node of this name subscribes to the camera before time is out or the process has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and is_alive():
            if any(info.node_name == name for info in self._node.get_subscriptions_info_by_topic(self._image_topic)):
                return True
            time.sleep(0.05)
        return False

    def close(self) -> None:
        """Stop listening; raises what went wrong while recording."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self._node.destroy_node()
        if self.error is not None:
            raise self.error

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:  # handed to the thread that closes the recorder
            self.error = error

    def _on_image(self, data: bytes) -> None:
        self.received[self._image_topic] += 1
        self._arrivals[stamp_of(data)] = time.monotonic()

    def _writer_of(self, topic: str, message):
        type_name = f"sensor_msgs/msg/{TYPE_NAMES[message]}"

        def write(data: bytes) -> None:
            now = time.monotonic()
            stamp = stamp_of(data)
            self._bag.write(f"/{topic}", data, stamp, type_name)
            self.received[topic] += 1
            if topic == DEPTH:
                self.last = now
                arrived = self._arrivals.pop(stamp, None)
                if arrived is not None:
                    self.latencies.append(now - arrived)

        return write


def stamp_of(data: bytes) -> int:
    """Header stamp, nanoseconds, of a serialised little-endian message that begins with a Header."""
    seconds, nanoseconds = _STAMP.unpack_from(data, 4)
    return seconds * 10**9 + nanoseconds
