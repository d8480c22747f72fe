"""Record what depth_node publishes, and how long each frame took to become depth."""

from __future__ import annotations

import threading
import time
from collections import Counter

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

from scdepth_ros.bag import BagWriter
from scdepth_ros.recording.serialized import IMAGE_TYPES, Serialized
from scdepth_ros.recording.topic_recorder import TopicRecorder
from scdepth_ros.shutdown import until_shutdown
from scdepth_ros.topics import CLOUD, COLOR, DEPTH, INFO

RECORDED = {
    DEPTH: "sensor_msgs/msg/Image",
    INFO: "sensor_msgs/msg/CameraInfo",
    CLOUD: "sensor_msgs/msg/PointCloud2",
    COLOR: "sensor_msgs/msg/Image",
}


class DepthRecorder:
    """Listens, in a thread of its own, to the camera and to everything that depth_node makes of it.

    Args:
        bag: open writer for the node's topics; messages are written under the stamp of their frame.
        image_topic: the camera's topic as the node sees it, used to time frames; not recorded.
        info_topic: of its calibration; listened to so that a player that waits for two subscribers waits for this one.

    Attributes:
        received: number of messages by topic; lost: those that never came, by topic.
        latencies: seconds from an image's arrival here to that of its depth, frame by frame.
        last: monotonic time of the newest depth image.
    """

    def __init__(self, bag: BagWriter, image_topic: str, info_topic: str):
        self._bag, self._image_topic, self._info_topic = bag, image_topic, info_topic
        self._arrivals: dict[int, float] = {}
        self.received = Counter()
        self.latencies: list[float] = []
        self.last = time.monotonic()
        self.error: Exception | None = None
        self._node = rclpy.create_node("demo_recorder", start_parameter_services=False)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        recorder = TopicRecorder(self._node, self._take)
        self.lost = recorder.lost
        recorder.subscribe(image_topic, IMAGE_TYPES[image_topic.endswith("/compressed")])
        recorder.subscribe(info_topic, RECORDED[INFO])
        for topic, type_name in RECORDED.items():
            recorder.subscribe(f"/{topic}", type_name, QoSProfile(depth=10))
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
            with until_shutdown():
                self._executor.spin()
        except Exception as error:  # handed to the thread that closes the recorder
            self.error = error

    def _take(self, message: Serialized) -> None:
        now = time.monotonic()
        self.received[message.topic] += 1
        if message.topic == self._image_topic:
            self._arrivals[message.stamp_ns] = now
        if message.topic in (self._image_topic, self._info_topic):
            return
        self._bag.write(message.topic, message.data, message.stamp_ns, message.type)
        if message.topic == f"/{DEPTH}":
            self.last = now
            arrived = self._arrivals.pop(message.stamp_ns, None)
            if arrived is not None:
                self.latencies.append(now - arrived)
