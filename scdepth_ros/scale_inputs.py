"""What depth_node measures its scale with: odometry or reference depth, brought together with frames by their stamps.

Either may arrive after the frame that it belongs to, so frames wait until the stream has come to their stamp, for half
a second at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image

from scdepth_core.errors import BagError
from scdepth_ros import qos
from scdepth_ros.extraction.association import Associator
from scdepth_ros.extraction.odometry import PoseTrack

WINDOW_NS = 500_000_000  # that a frame waits, and by which a clock may go back before it counts as a new one
TOLERANCE_NS = 20_000_000  # between the stamps of a frame and its depth image
GAP_NS = 250_000_000  # between two odometry messages that are still interpolated
STREAMS = {  # of the sources that listen to something: its name, relative topic and type
    "odometry": ("odometry", "odom", Odometry),
    "reference_depth": ("depth", "reference_depth", Image),
}


class ScaleInputs:
    """The subscription of a source, and the frames that wait for it. Any thread may call its methods.

    Args:
        node: a rclpy node.
        source: "odometry", "reference_depth" or "camera_height", which listens to nothing.
        complain: called with a kind and a sentence when a message is broken.

    Attributes:
        topic: full name after remapping; empty without a subscription.
    """

    def __init__(self, node, source: str, complain: Callable[[str, str], None]):
        self._node, self._complain = node, complain
        self._lock = threading.Lock()
        self._poses = PoseTrack("optical", gap_ns=GAP_NS, tolerance_ns=TOLERANCE_NS, memory_ns=4 * WINDOW_NS)
        self.topic, self._subscription, stream = "", None, None
        if source in STREAMS:
            stream, topic, message = STREAMS[source]
            self.topic = node.resolve_topic_name(topic)
            self._subscription = self._subscribe(message)
        self._matched: list[tuple[object, Image | None, np.ndarray | None]] = []
        self._associator = Associator({stream} if stream else set(), TOLERANCE_NS, WINDOW_NS)

    def add(self, stamp_ns: int, frame) -> None:
        """Let a frame wait for what belongs to it."""
        with self._lock:
            self._associator.add_image(stamp_ns, time.monotonic_ns(), frame)

    def ready(self) -> list[tuple[object, Image | None, np.ndarray | None]]:
        """Frames that need not wait any longer, each with its depth message and pose (4, 4), or None; each once."""
        with self._lock:
            self._match()
            matched, self._matched = self._matched, []
            return matched

    def close(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _subscribe(self, message):
        return self._node.create_subscription(
            message,
            self.topic,
            self._on_odometry if message is Odometry else self._on_depth,
            qos.measurements(),
            event_callbacks=qos.subscription_events(self._node.get_logger(), self.topic),
            qos_overriding_options=qos.overridable(),
        )

    def _on_odometry(self, msg: Odometry) -> None:
        stamp = stamp_ns(msg.header)
        with self._lock:
            try:
                self._poses.add(stamp, msg)
            except BagError as error:
                self._complain("bad_odometry", str(error))
                return
            self._associator.reached("odometry", stamp)
            self._match()

    def _on_depth(self, msg: Image) -> None:
        with self._lock:
            self._associator.add_depth(stamp_ns(msg.header), msg)
            self._match()

    def _match(self) -> None:
        """Take out what is ready; old depth images are forgotten on the way."""
        for waiting in self._associator.ready(time.monotonic_ns()):
            self._matched.append((waiting.image, waiting.depth, self._poses.at(waiting.stamp_ns)))


def stamp_ns(header) -> int:
    """Nanoseconds of a header's stamp; any that the fields can hold."""
    return header.stamp.sec * 10**9 + header.stamp.nanosec
