"""One recording from its first message to its last: through the gate, into the bag, and accounted for."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field

from scdepth_ros.bag_writer import BagWriter
from scdepth_ros.recording.motion_gate import MotionGate
from scdepth_ros.recording.serialized import Serialized

MEGABYTE = 10**6


@dataclass
class Counts:
    """Messages by topic: that came, that are in the recording, that the motion gate left out; and bytes written."""

    received: Counter = field(default_factory=Counter)
    written: Counter = field(default_factory=Counter)
    gated: Counter = field(default_factory=Counter)
    bytes: int = 0

    def line(self) -> str:
        """All of them in a few words."""
        return (
            f"{self.received.total()} messages received, {self.written.total()} written "
            f"({self.bytes / MEGABYTE:.1f} MB), {self.gated.total()} left out by the motion gate"
        )

    def by_topic(self) -> dict[str, dict[str, int]]:
        return {
            topic: {"received": count, "written": self.written[topic], "gated": self.gated[topic]}
            for topic, count in sorted(self.received.items())
        }


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
