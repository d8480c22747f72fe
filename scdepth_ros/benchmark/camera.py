"""The benchmark's camera driver, a program: `python -m scdepth_ros.benchmark.camera --ros-args …`.

It waits for a subscriber of its images, sends the same picture under new stamps at a steady rate, and tells on standard
output, as one line of JSON, what it sent. SIGINT and SIGTERM end it early, and it tells all the same.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from contextlib import suppress

import rclpy
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from scdepth_core.arguments import image_size
from scdepth_ros.benchmark.messages import info_message, picture_message, set_stamp
from scdepth_ros.benchmark.subject import View
from scdepth_ros.ros_arguments import split_ros_arguments

SETTLE = 0.5  # seconds after the first subscriber: one side knows of the other before the other does
SENSOR = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)


class Camera:
    """Publishes and counts.

    Attributes:
        stamps: of the frames sent, nanoseconds.
    """

    def __init__(self, view: View):
        self._node = rclpy.create_node("bench_camera", start_parameter_services=False)
        self._images = self._node.create_publisher(Image, "image", SENSOR)
        self._infos = self._node.create_publisher(CameraInfo, "camera_info", SENSOR)
        self._image, self._info = picture_message(view), info_message(view)
        self.stamps: list[int] = []

    def wait_for_subscriber(self) -> None:
        while not self._images.get_subscription_count():
            time.sleep(0.02)
        time.sleep(SETTLE)

    def send(self, rate: float, seconds: float) -> None:
        """At a rate in Hz (0: without a pause) for so long (0: until interrupted); who is late does not hurry after."""
        began = due = time.monotonic()
        while not seconds or time.monotonic() < began + seconds:
            now = time.time_ns()
            for message, publisher in ((self._info, self._infos), (self._image, self._images)):
                set_stamp(message, now)
                publisher.publish(message)
            self.stamps.append(now)
            if rate:
                due = max(due + 1 / rate, time.monotonic() - 1 / rate)
                time.sleep(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        self._node.destroy_node()


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ours, of_ros = split_ros_arguments(sys.argv[1:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=image_size, default=(640, 480))
    parser.add_argument("--distorted", action="store_true")
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--warm-up", type=float, default=0.0, help="seconds before the measured ones")
    args = parser.parse_args(ours)
    rclpy.init(args=of_ros, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    camera = Camera(View(*args.image, args.distorted))
    with suppress(KeyboardInterrupt):
        camera.wait_for_subscriber()
        camera.send(args.rate, args.seconds and args.warm_up + args.seconds)
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    begin = camera.stamps[0] + round(1e9 * args.warm_up) if camera.stamps else 0
    measured = [stamp for stamp in camera.stamps if stamp >= begin]
    print(json.dumps({"sent": len(camera.stamps), "measured": measured}), flush=True)
    camera.close()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
