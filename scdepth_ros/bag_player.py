"""Publish a recording's messages as they were, at the pace they had."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rclpy.duration import Duration
from rclpy.exceptions import NameValidationException
from rclpy.qos import QoSDurabilityPolicy

from scdepth_core.errors import BagError
from scdepth_ros.bag import BagMessage, BagReader
from scdepth_ros.messages.classes import message_class
from scdepth_ros.recorded_qos import topic_qos
from scdepth_ros.stamp_shift import shift_stamps


@dataclass
class Played:
    """What became of a recording.

    Attributes:
        published: messages by topic.
        skipped: messages that could not be published, by topic.
        reasons: why, a sentence by topic.
        lag: the most that a message was late, seconds.
    """

    published: Counter = field(default_factory=Counter)
    skipped: Counter = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    lag: float = 0.0


class BagPlayer:
    """Publishers for a bag's topics, under their own or other names.

    Args:
        node: a rclpy node.
        bag: an open BagReader.
        topics: those to play.
        names: other names by recorded topic.

    Attributes:
        played: counts so far.
        publishers: by recorded topic; one whose message package is not installed, or whose name ROS 2 does not take,
            has none.
    """

    def __init__(self, node, bag: BagReader, topics: Iterable[str], names: Mapping[str, str]):
        self._bag = bag
        self._classes: dict[str, type] = {}
        self.played = Played()
        self.publishers = {}
        self._profiles = topic_qos(bag)
        for topic in topics:
            name = names.get(topic, topic)
            try:
                self._classes[topic] = message_class(bag.topics[topic])
                self.publishers[topic] = node.create_publisher(self._classes[topic], name, self._profiles[topic])
            except BagError as error:
                self.played.reasons[topic] = str(error)
            except NameValidationException:  # ROS 1 allows more
                self.played.reasons[topic] = f"'{name}' is no topic name in ROS 2 – give it another one with --remap"

    def unheard(self, listeners: int = 1) -> list[str]:
        """Names of the topics with fewer subscribers than that."""
        return [p.topic_name for p in self.publishers.values() if p.get_subscription_count() < listeners]

    def play(self, start_ns: int, offset_ns: int, wait_until: Callable[[int], float]) -> None:
        """Publish everything recorded from `start_ns` on, once; before, at once, what latched topics said earlier.

        Args:
            offset_ns: added to the stamps in the messages.
            wait_until: called with a time of recording, returns when that moment has come, and how late in seconds.
        """
        if start_ns > self._bag.start_ns:
            self._play_latched(start_ns, offset_ns)
        for message in self._bag.messages(list({*self.publishers, *self.played.reasons}), start_ns):
            if message.topic not in self.publishers:
                self.played.skipped[message.topic] += 1
                continue
            data = self._bytes(message, offset_ns)
            self.played.lag = max(self.played.lag, wait_until(message.stamp_ns))
            self._publish(message.topic, data)

    def finish(self, seconds: float) -> None:
        """Give reliable subscribers this long to fetch what they still miss."""
        end = time.monotonic() + seconds
        for publisher in self.publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=max(0.0, end - time.monotonic())))

    def _play_latched(self, until_ns: int, offset_ns: int) -> None:
        """What was said once, earlier, and still holds: static transforms, maps, descriptions of robots."""
        latched = [t for t in self.publishers if self._profiles[t].durability == QoSDurabilityPolicy.TRANSIENT_LOCAL]
        for message in self._bag.messages(latched):
            if message.stamp_ns >= until_ns:
                return
            self._publish(message.topic, self._bytes(message, offset_ns))

    def _publish(self, topic: str, data: bytes | None) -> None:
        if data is not None:
            self.publishers[topic].publish(data)
            self.played.published[topic] += 1

    def _bytes(self, message: BagMessage, offset_ns: int) -> bytes | None:
        try:
            return shift_stamps(bytes(message.cdr()), self._classes[message.topic], offset_ns)
        except BagError as error:
            self.played.skipped[message.topic] += 1
            self.played.reasons.setdefault(message.topic, str(error))
            return None
