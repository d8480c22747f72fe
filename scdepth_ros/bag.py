"""Read recordings of ROS 1 and ROS 2, and write those of ROS 2, without a ROS installation.

with BagReader("drive") as bag:
    for message in bag.messages(["/camera/image_raw"]):
        picture = decode_image(message.decode())

with BagWriter("copy") as copy:
    copy.write("/chatter", raw_cdr_bytes, stamp_ns, "std_msgs/msg/String")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rosbags.interfaces import Connection

from scdepth_core.errors import BagError
from scdepth_ros.bag_storage import Source, open_storage, reopen_damaged
from scdepth_ros.bag_types import MessageTypes, ros2_name
from scdepth_ros.bag_writer import BagWriter

__all__ = ["BagMessage", "BagReader", "BagWriter"]


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One recorded message.

    Attributes:
        stamp_ns: when it was recorded, nanoseconds.
        topic, type: names; for every kind of bag the type has its name in ROS 2 (`sensor_msgs/msg/Image`).
        raw: the bytes as recorded: CDR, or ROS 1's serialisation.
    """

    stamp_ns: int
    topic: str
    type: str
    raw: bytes = field(repr=False)
    connection: Connection = field(repr=False)
    types: MessageTypes = field(repr=False)

    def decode(self) -> object:
        """The message as an object; raises BagError when the bytes are not of its type."""
        return self.types.decode(self.connection, self.raw)

    def cdr(self) -> bytes:
        """The message in ROS 2's encoding, whatever the bag; raises BagError as `decode` does."""
        return self.types.to_cdr(self.connection, self.raw)


class BagReader:
    """A rosbag2 folder (MCAP or SQLite), a bare .mcap or .db3 file, or a ROS 1 .bag. Use it as a context manager.

    A recording that was cut off is read as far as it goes, and `truncated` says what is missing; where the
    damage lies deeper in a file, it says so after `messages` came to it.

    Attributes:
        topics: type name, that of ROS 2, by topic.
        counts: number of messages by topic, as far as known.
        start_ns, end_ns: stamps of the first message and just after the last one.
        truncated: what is wrong with the recording, in words; None when it is whole.

    Raises:
        BagError: when entered, for a path without a recording that holds a readable message.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.truncated: str | None = None
        self._types = MessageTypes()
        self._sources: list[Source] = []

    def __enter__(self) -> BagReader:
        self._sources, damages = open_storage(self.path)
        self._note(damages)
        self.counts = Counter()
        self.topics = {}
        for connection in sorted(self._connections(), key=lambda connection: connection.topic):
            self.topics[connection.topic] = ros2_name(connection)
            self.counts[connection.topic] += connection.msgcount
        if not sum(self.counts.values()):
            self.close()
            raise BagError(f"bag '{self.path}' holds no messages")
        self.start_ns = min(source.start_time for source in self._sources)
        self.end_ns = max(source.end_time for source in self._sources)
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        for source in self._sources:
            source.close()
        self._sources = []

    def messages(self, topics: Collection[str] | None = None, start_ns: int | None = None) -> Iterator[BagMessage]:
        """Messages of these topics (None: of all) recorded at or after `start_ns`, in the order of recording.

        Raises:
            BagError: for a topic that the bag does not have.
        """
        wanted = set(self.topics if topics is None else topics)
        if unknown := wanted - set(self.topics):
            raise BagError(
                f"bag '{self.path}' has no topic {', '.join(sorted(unknown))}, it has {', '.join(self.topics)}"
            )
        for source in list(self._sources):
            for connection, stamp, raw in self._read(source, wanted, start_ns):
                yield BagMessage(stamp, connection.topic, ros2_name(connection), raw, connection, self._types)

    def _read(self, source: Source, wanted: set[str], start_ns: int | None):
        """The messages of one file; when its reader fails on the way, the salvaged rest of them."""
        given = Counter()
        try:
            for connection, stamp, raw in _messages(source, wanted, start_ns):
                given[connection.topic] += 1
                yield connection, stamp, raw
            if start_ns is None:
                self._compare_counts(source, wanted, given)
            return
        except Exception as error:  # the ordinary readers raise anything on damaged bytes
            salvaged = self._replace(source, error)
        for file in salvaged:
            for connection, stamp, raw in _messages(file, wanted, start_ns):
                if given[connection.topic]:
                    given[connection.topic] -= 1
                    continue
                yield connection, stamp, raw

    def _replace(self, source: Source, error: Exception) -> list[Source]:
        """The salvaged files that are read from now on in place of one whose ordinary reader failed."""
        salvaged, damages = reopen_damaged(source)
        if source in self._sources:  # else a second iterator came to the damage first, and closed the file
            self._note(damages or [f"{Path(source.path).name}: {error}"])
            place = self._sources.index(source)
            self._sources[place : place + 1] = salvaged
            source.close()
        return salvaged

    def _compare_counts(self, source: Source, wanted: set[str], given: Counter) -> None:
        """Note messages that the index of a file announces, but that are not in it."""
        announced = sum(c.msgcount for c in source.connections if c.topic in wanted)
        if given.total() < announced:
            name = Path(source.path).name
            self._note([f"{name}: {announced - given.total()} of {announced} messages are missing"])

    @property
    def connections(self) -> list[Connection]:
        """What `rosbags` knows of each topic in each file: type, definition, count, offered QoS profiles."""
        return self._connections()

    def _connections(self) -> list[Connection]:
        return [connection for source in self._sources for connection in source.connections]

    def _note(self, damages: list[str]) -> None:
        """Remember what is wrong, each thing once however often the bag is read."""
        for damage in damages:
            if damage not in (self.truncated or ""):
                self.truncated = f"{self.truncated}; {damage}" if self.truncated else damage


def _messages(source: Source, wanted: set[str], start_ns: int | None):
    connections = [connection for connection in source.connections if connection.topic in wanted]
    return source.messages(connections=connections, start=start_ns) if connections else ()
