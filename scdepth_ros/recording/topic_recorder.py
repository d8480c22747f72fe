"""Subscriptions that hand on the bytes of every message as they came: nothing is taken apart on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection

from rclpy.qos import QoSProfile

from scdepth_core.errors import BagError
from scdepth_ros import qos
from scdepth_ros.lost_messages import LostMessages
from scdepth_ros.messages.classes import message_class
from scdepth_ros.recorded_qos import as_offered, recorder_qos
from scdepth_ros.recording.serialized import IMAGE_TYPES, Serialized

# What is recorded when nobody names topics: what a data set, a calibration of scale or SLAM is made of.
RECORDED_TYPES = (
    *IMAGE_TYPES,
    "sensor_msgs/msg/CameraInfo",
    "nav_msgs/msg/Odometry",
    "tf2_msgs/msg/TFMessage",
)
_SCALE_TYPE = "std_msgs/msg/Float64"


class TopicRecorder:
    """Listens for a recording.

    Args:
        node: a rclpy node.
        take: called with each message, in the spinning thread.
        sources_alone: unless topics are named, leave out what depth_node makes of the others, and spare it the work.

    Attributes:
        topics: type name by topic that is listened to.
        refused: why a topic cannot be recorded, by topic.
        lost: messages that never came, by topic.
    """

    def __init__(self, node, take: Callable[[Serialized], None], sources_alone: bool = False):
        self._node, self._take, self._sources_alone = node, take, sources_alone
        self.topics: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.lost: dict[str, LostMessages] = {}

    def subscribe(self, topic: str, type_name: str, profile: QoSProfile | None = None) -> None:
        """Listen to a topic, by default best effort, which every publisher matches.

        Raises:
            BagError: when the message's package is not installed.
        """
        message = message_class(type_name)

        def on_message(data: bytes) -> None:
            now = self._node.get_clock().now().nanoseconds
            self._take(Serialized(topic, type_name, data, now))

        self.lost[topic] = LostMessages()
        qos.subscribe(self._node, message, topic, on_message, profile or recorder_qos([]), self.lost[topic], raw=True)
        self.topics[topic] = type_name

    def why_nothing_came(self, names: Collection[str] = ()) -> str:
        """What there was to hear, in a sentence for a recording without messages.

        Args:
            names: full names of the topics wanted; empty for all of RECORDED_TYPES.
        """
        absent = [name for name in names if name not in self.topics and name not in self.refused]
        reasons = [f"no message came on {', '.join(self.topics)}"] if self.topics else []
        reasons += [f"nobody published {', '.join(absent)}"] if absent else []
        reasons += [f"{topic} is not recorded: {error}" for topic, error in self.refused.items()]
        return "; ".join(reasons) or "nobody publishes images, camera_info, odometry or TF"

    def subscribe_to_published(self, names: Collection[str], add_topic: Callable[[str, str, list], None]) -> list[str]:
        """Listen to what is published by now and not listened to yet, with a QoS that its publishers match.

        Args:
            names: full names of the topics wanted; empty for all of RECORDED_TYPES.
            add_topic: called with each new topic, its type and its publishers' QoS, before the first message; may
                refuse it with a BagError.

        Returns:
            the topics that are new.
        """
        new, published = [], self._node.get_topic_names_and_types()
        left_out = self._depth_nodes(published) if self._sources_alone and not names else ()
        for topic, types in published:
            wanted = topic in names if names else types[0] in RECORDED_TYPES
            infos = self._node.get_publishers_info_by_topic(topic) if wanted else []
            offers = [info.qos_profile for info in infos if _publisher(info) not in left_out]
            if not offers or topic in self.topics or topic in self.refused:
                continue
            try:
                if len(types) > 1:
                    raise BagError(f"{topic} is published as {' and as '.join(types)}")
                message_class(types[0])
                add_topic(topic, types[0], [as_offered(offer) for offer in offers])
                self.subscribe(topic, types[0], recorder_qos(offers))
                new.append(topic)
            except BagError as error:
                self.refused[topic] = str(error)
                self._node.get_logger().warning(f"{topic} is not recorded: {error}")
        return new

    def _depth_nodes(self, published: list[tuple[str, list[str]]]) -> set[str]:
        """Full names of the depth_nodes there are: nodes that publish their `scale`."""
        scales = [topic for topic, types in published if topic.endswith("/scale") and _SCALE_TYPE in types]
        infos = [(topic, info) for topic in scales for info in self._node.get_publishers_info_by_topic(topic)]
        return {_publisher(info) for topic, info in infos if topic == f"{_publisher(info)}/scale"}


def _publisher(info) -> str:
    """Full name of the node behind an end of a topic."""
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
