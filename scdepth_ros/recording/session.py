"""One recording from its first message to its last: through the gate, into the bag, and accounted for."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field

from scdepth_ros.bag_writer import BagWriter
from scdepth_ros.lost_messages import LostMessages, loss_sentences
from scdepth_ros.recording.motion_gate import MotionGate
from scdepth_ros.recording.serialized import Serialized

MEGABYTE = 10**6
_QUEUE_CURE = (
    "they came faster than they could be written – record fewer topics, smaller images or to a faster disk, or without "
    "--compress and --min-motion, which take time"
)


@dataclass
class Counts:
    """Messages by topic: that came, that are in the recording, that the motion gate left out, that never came; and
    bytes written.
    """

    received: Counter = field(default_factory=Counter)
    written: Counter = field(default_factory=Counter)
    gated: Counter = field(default_factory=Counter)
    lost: dict[str, LostMessages] = field(default_factory=dict)
    bytes: int = 0

    def line(self) -> str:
        """All of them in a few words."""
        return (
            f"{self.received.total()} messages received, {self.written.total()} written "
            f"({self.bytes / MEGABYTE:.1f} MB), {self.gated.total()} left out by the motion gate, "
            f"{sum(self._on_the_way().values())} lost on the way, {sum(self._in_queue().values())} in the queue"
        )

    def by_topic(self) -> dict[str, dict[str, int]]:
        """The numbers of every topic with a message: `lost` are those on the way, `overflowed` those in the queue."""
        on_the_way, in_queue = self._on_the_way(), self._in_queue()
        return {
            topic: {
                "received": self.received[topic],
                "written": self.written[topic],
                "gated": self.gated[topic],
                "lost": on_the_way.get(topic, 0),
                "overflowed": in_queue.get(topic, 0),
            }
            for topic in sorted({*self.received, *on_the_way})
        }

    def losses(self) -> list[str]:
        """A sentence with its cause and cure for each kind of loss that there was."""
        return loss_sentences(self.lost, _QUEUE_CURE)

    def _on_the_way(self) -> dict[str, int]:
        return {topic: lost.on_the_way for topic, lost in self.lost.items() if lost.on_the_way}

    def _in_queue(self) -> dict[str, int]:
        return {topic: lost.in_queue for topic, lost in self.lost.items() if lost.in_queue}


class RecordingSession:
    """Takes messages and writes them.

    Args:
        bag: an open writer.
        gate: what decides on frames; None keeps all.

    Attributes:
        counts: what happened so far.
    """

    def __init__(self, bag: BagWriter, gate: MotionGate | None = None):
        self._bag, self._gate = bag, gate
        self.counts = Counts()

    def take(self, message: Serialized) -> None:
        """Write this message, or what the gate lets through now.

        Raises:
            OSError: when the disk refuses.
        """
        self.counts.received[message.topic] += 1
        self._write([(message, True)] if self._gate is None else self._gate.sift(message))

    def finish(self) -> None:
        """Decide on what still waits."""
        if self._gate is not None:
            self._write(self._gate.rest())

    @property
    def unreadable(self) -> int:
        """Frames that are recorded because the gate could not decode them."""
        return 0 if self._gate is None else self._gate.unreadable

    @property
    def watched(self) -> str | None:
        """The image topic that the gate watches; None without a gate, and until it has found one."""
        return None if self._gate is None else self._gate.watched

    @property
    def unwatched(self) -> str:
        """A sentence when there is a gate and nothing came that it could watch, else nothing."""
        if self._gate is None or self.counts.received[self.watched]:
            return ""
        return f"the motion gate left nothing out: no image came on {self.watched or 'any topic'} to watch for motion"

    def free_bytes(self) -> int:
        """Room that is left on the disk."""
        return shutil.disk_usage(self._bag.partial).free

    def _write(self, decided) -> None:
        for message, keep in decided:
            if keep:
                self._bag.write(message.topic, message.data, message.received_ns, message.type)
                self.counts.written[message.topic] += 1
                self.counts.bytes += len(message.data)
            else:
                self.counts.gated[message.topic] += 1
