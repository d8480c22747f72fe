"""Publishes images that do not fit into the shared-memory segment that their sender has without the transport profile.

    python test/large_images.py /camera/image_raw

A process of its own, because Fast DDS reads its profiles once in a process. Between the large images come small ones,
which arrive; goes on until it is ended.
"""

from __future__ import annotations

import sys
import time
from itertools import count

import rclpy
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image

from scdepth_ros.shutdown import until_shutdown


def image(width: int, height: int) -> Image:
    """Black; of an encoding that costs its readers nothing."""
    msg = Image(width=width, height=height, step=3 * width, encoding="no encoding: what arrives is not computed")
    msg.data.frombytes(bytes(3 * width * height))
    return msg


def main(topic: str) -> None:
    with until_shutdown():
        rclpy.init()
        node = rclpy.create_node("large_images")
        best_effort = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.BEST_EFFORT)
        publisher = node.create_publisher(Image, topic, best_effort)
        large, small = image(1920, 1080), image(64, 48)
        for number in count(1):
            msg = small if number % 4 == 0 else large
            msg.header.stamp.sec = number
            publisher.publish(msg)
            time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
