"""depth_node without a network, a program: answers every image with depth and cloud of the node's size.

What is left of a frame's latency is the transport: there and back, through the same middleware and the same settings.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import rclpy
from sensor_msgs.msg import Image, PointCloud2

from scdepth_ros import qos
from scdepth_ros.benchmark.subject import Cloud
from scdepth_ros.messages import CloudBuffer, encode_depth
from scdepth_ros.ros_arguments import split_ros_arguments
from scdepth_ros.shutdown import until_shutdown
from scdepth_ros.topics import CLOUD, DEPTH


class Relay:
    """Subscribes and publishes with the node's QoS."""

    def __init__(self, cloud: Cloud):
        self.node = rclpy.create_node("bench_relay", start_parameter_services=False)
        self._kind, self._depth, self._cloud = cloud, np.ones((0, 0), np.float32), None
        self._publishers = {
            topic: self.node.create_publisher(kind, topic, qos.results())
            for topic, kind in ((DEPTH, Image), (CLOUD, PointCloud2))
        }

    def listen(self) -> None:
        """Subscribe once somebody listens for the answers: the camera begins when it sees the subscription."""
        while not self._publishers[DEPTH].get_subscription_count():
            time.sleep(0.02)
        self.node.create_subscription(Image, "image", self._answer, qos.newest_of_a_sensor())

    def _answer(self, msg: Image) -> None:
        if self._depth.shape != (msg.height, msg.width):
            self._depth = np.ones((msg.height, msg.width), np.float32)
            step = self._kind.step
            self._cloud = CloudBuffer(self._depth[::step, ::step].shape, self._kind.layout)
        if self._publishers[DEPTH].get_subscription_count():
            self._publishers[DEPTH].publish(encode_depth(self._depth, msg.header))
        if self._publishers[CLOUD].get_subscription_count():
            self._publishers[CLOUD].publish(self._cloud.message(msg.header))


def main() -> int:
    ours, of_ros = split_ros_arguments(sys.argv[1:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cloud", type=int, default=1)
    parser.add_argument("--cloud-layout", default="pcl")
    args = parser.parse_args(ours)
    rclpy.init(args=of_ros)
    try:
        with until_shutdown():
            relay = Relay(Cloud(args.cloud, args.cloud_layout))
            relay.listen()
            rclpy.spin(relay.node)
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
