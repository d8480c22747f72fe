"""What every salvaged storage file offers, in the shape of the `rosbags` readers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from rosbags.interfaces import Connection

LARGEST_CUT_RECORD = 64 << 20  # bytes read of a record whose end is missing: its length field may be garbage


class Salvaged(ABC):
    """Base of the salvaged files: a first pass counts what is readable, later passes yield it.

    Attributes:
        damage: what is wrong with the file, in words; None when it is whole.
        connections: the topics, with message counts.
        start_time, end_time: stamps of the first and just after the last message, ns.
    """

    def __init__(self, path: Path):
        self.path = path
        self.damage: str | None = None
        self.start_time, self.end_time = 2**63 - 1, 0
        self._connections: dict[int, Connection] = {}
        counts = Counter()
        for key, stamp, _ in self._scan():
            counts[key] += 1
            self.start_time = min(self.start_time, stamp)
            self.end_time = max(self.end_time, stamp + 1)
        self.connections = [connection._replace(msgcount=counts[key]) for key, connection in self._connections.items()]

    @property
    def message_count(self) -> int:
        return sum(connection.msgcount for connection in self.connections)

    def messages(
        self, connections: Collection[Connection], start: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Messages of these connections recorded at or after `start` (ns), in the order of the file."""
        wanted = {connection.id: connection for connection in connections}
        for key, stamp, data in self._scan():
            if key in wanted and (start is None or stamp >= start):
                yield wanted[key], stamp, data

    def close(self) -> None:  # noqa: B027 - the interface of `rosbags`
        """Nothing stays open between passes."""

    @abstractmethod
    def _scan(self) -> Iterator[tuple[int, int, bytes]]:
        """Yields (connection id, stamp in ns, bytes) in the file's order.

        Fills `self._connections` by id before it yields a message of one, and sets `self.damage`.
        """
