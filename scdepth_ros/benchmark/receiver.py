"""The benchmark's consumer, a program: receives depth and clouds as bytes, and tells on standard output when.

A line of JSON after every /diagnostics of the node (its counts), and a last one, when asked to end, with every arrival.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

from scdepth_ros.benchmark.subject import NODE
from scdepth_ros.recording.serialized import Serialized
from scdepth_ros.recording.topic_recorder import TopicRecorder
from scdepth_ros.ros_arguments import split_ros_arguments
from scdepth_ros.shutdown import until_shutdown
from scdepth_ros.topics import CLOUD, DEPTH

TYPES = {DEPTH: "sensor_msgs/msg/Image", CLOUD: "sensor_msgs/msg/PointCloud2"}


class Receiver:
    """Notes the stamp and the time of arrival of every message, nanoseconds, by topic."""

    def __init__(self, topics: list[str], keep_arrivals: bool):
        self.node = rclpy.create_node("bench_receiver", start_parameter_services=False)
        self._keep = keep_arrivals
        self._topics = {self.node.resolve_topic_name(topic): topic for topic in topics}
        self.arrivals: dict[str, list[tuple[int, int]]] = {topic: [] for topic in topics}
        recorder = TopicRecorder(self.node, self._take)
        for name, topic in self._topics.items():
            recorder.subscribe(name, TYPES[topic], QoSProfile(depth=10))
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._tell, 10)

    def _take(self, message: Serialized) -> None:
        if self._keep:
            self.arrivals[self._topics[message.topic]].append((message.stamp_ns, message.received_ns))

    def _tell(self, msg: DiagnosticArray) -> None:
        values = {}
        for status in msg.status:
            node, _, _ = status.name.partition(": ")
            if node == NODE:
                values |= {entry.key: entry.value for entry in status.values}
        if values:
            print(json.dumps({"diagnostics": values}), flush=True)


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ours, of_ros = split_ros_arguments(sys.argv[1:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", nargs="+", default=[DEPTH, CLOUD], choices=TYPES)
    parser.add_argument("--forget", action="store_true", help="receive, and keep nothing")
    args = parser.parse_args(ours)
    rclpy.init(args=of_ros)
    receiver = Receiver(args.topics, not args.forget)
    executor = SingleThreadedExecutor()
    executor.add_node(receiver.node)
    try:
        with until_shutdown():
            executor.spin()
    finally:
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, signal.SIG_IGN)
        print(json.dumps({"arrivals": receiver.arrivals}), flush=True)
        receiver.node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
