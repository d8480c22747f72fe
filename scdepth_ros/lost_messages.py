"""Messages that were sent and never taken: how many, and whether they were lost on the way or in the queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping

TRANSPORT_CURE = (
    "most often the shared-memory segment of the sender is too small for its images – start the camera driver with "
    'the transport profile: eval "$(python3 -m scdepth_ros.transport_env)" in its shell, before it'
)


class LostMessages:
    """What a subscription missed; qos.subscribe keeps it up to date.

    What is lost on the way, the middleware reports. What a newer message pushes out of the subscription's queue, it
    does not: that is what is missing in the numbers that the publisher gave its messages, beyond what was reported.
    Numbers count for themselves while one publisher sends, and ROS 2 Humble does not tell them.

    Args:
        on_report: called with the number of messages that were lost on the way, whenever the middleware reports some.

    Attributes:
        on_the_way: messages that the middleware reported as lost.
    """

    def __init__(self, on_report: Callable[[int], None] = lambda count: None):
        self._on_report = on_report
        self.on_the_way = 0
        self._settled = self._missing = self._reported = 0  # the last two since the publisher last changed
        self._last, self._publishers = 0, 0

    @property
    def in_queue(self) -> int:
        """Messages that newer ones pushed out of the subscription's queue."""
        return self._settled + max(0, self._missing - self._reported)

    def report(self, event) -> None:
        """Take a message_lost event in."""
        self.on_the_way += event.total_count_change
        self._reported += event.total_count_change
        self._on_report(event.total_count_change)

    def came(self, number: int, publishers: int) -> None:
        """Take note of a message.

        Args:
            number: that its publisher gave it.
            publishers: that the subscription hears now.
        """
        if publishers == self._publishers == 1 and number > self._last:
            self._missing += number - self._last - 1
        else:
            self._settled, self._missing, self._reported = self.in_queue, 0, 0
        self._last, self._publishers = number, publishers


def loss_sentences(lost: Mapping[str, LostMessages], queue_cure: str) -> list[str]:
    """A sentence with its cause and cure for each kind of loss that there was.

    Args:
        lost: by topic.
        queue_cure: what to do about messages that came faster than they were taken.
    """
    kinds = (
        ("on the way", {topic: losses.on_the_way for topic, losses in lost.items()}, TRANSPORT_CURE),
        ("in the queue", {topic: losses.in_queue for topic, losses in lost.items()}, queue_cure),
    )
    sentences = []
    for where, counts, cure in kinds:
        if listed := " and ".join(f"{count} of {topic}" for topic, count in counts.items() if count):
            sentences.append(f"messages were lost {where}, {listed}: {cure}")
    return sentences
