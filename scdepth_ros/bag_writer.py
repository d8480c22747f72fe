"""Write rosbag2 recordings in MCAP, in one file or several, so that a sudden end costs at most the last chunk.

While it is being written a recording is the folder `NAME.partial` with the storage files in it. Messages are
gathered into chunks of about a megabyte; every finished chunk is handed to the operating system at once.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import yaml
from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from scdepth_core.errors import BagError

_ROOT = "rosbag2_bagfile_information"


class BagWriter:
    """A recording under construction, which appears under its name when it is closed. A context manager.

    Args:
        path: a folder (MCAP files and metadata.yaml, as `ros2 bag` expects) or, ending in .mcap, a bare file.
        compress: pack chunks with zstd.
        split_bytes, split_seconds: begin a new file when the present one holds that much; 0 never splits. A
            recording that may split has its files numbered: NAME_0.mcap, NAME_1.mcap.
        keep_on_error: after an error leave what was written in `NAME.partial`, where BagReader reads it. Without
            it, an error inside the block removes everything.

    Attributes:
        partial: where the recording is until it is closed.
        files: number of storage files begun.

    Raises:
        BagError: when `path` exists, for a message of unknown type, or when a bare file shall be split.
    """

    def __init__(
        self,
        path,
        compress: bool = False,
        *,
        split_bytes: int = 0,
        split_seconds: float = 0.0,
        keep_on_error: bool = False,
    ):
        self.path = Path(path).absolute()
        self.bare = self.path.suffix == ".mcap"
        self.partial = self.path.with_name(self.path.name + ".partial")
        self.files = 0
        self._compress, self._keep = compress, keep_on_error
        self._split_bytes, self._split_ns = split_bytes, round(split_seconds * 1e9)
        if self.bare and self._splits:
            raise BagError(f"'{path}' is a single file and cannot be split – name a folder, without .mcap")
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._topics: dict[str, tuple[str, Sequence[Qos]]] = {}
        self._finished: list[dict] = []
        self._writer: Writer | None = None

    def __enter__(self) -> BagWriter:
        if self.path.exists():
            raise BagError(f"bag '{self.path}' exists already – choose another name, or remove it first")
        try:
            self.partial.mkdir(parents=True)
        except FileExistsError:
            raise BagError(
                f"'{self.partial}' exists: a run is writing it, or one was killed – remove it if none is running"
            ) from None
        self._begin_file()
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:
            if self._keep and not isinstance(error, OSError):  # the disk is all right: lose nothing
                self.flush()
            self._give_up()

    @property
    def _splits(self) -> bool:
        return bool(self._split_bytes or self._split_ns)

    def add_topic(self, topic: str, type_name: str, offered_qos: Sequence[Qos] = ()) -> None:
        """Declare a topic, with the QoS that its publishers offer; `write` does it without where nobody did.

        Raises:
            BagError: for a type that is unknown, or another one than the topic has already.
        """
        known = self._topics.get(topic)
        if known and known[0] != type_name:
            raise BagError(f"{topic} carries {known[0]}, it cannot carry {type_name} as well")
        if type_name not in self._store.fielddefs:
            raise BagError(f"type '{type_name}' of {topic} is unknown, expected a message type of ROS 2 Jazzy")
        if not known:
            self._topics[topic] = type_name, list(offered_qos)

    def write(self, topic: str, message, stamp_ns: int, type_name: str | None = None) -> None:
        """Append a message.

        Args:
            message: an object of the `rosbags` library, or CDR bytes together with their `type_name`
                (`sensor_msgs/msg/Image`).
            stamp_ns: time of recording, nanoseconds.
        """
        raw = isinstance(message, bytes | bytearray | memoryview)
        name = type_name if raw else message.__msgtype__
        self.add_topic(topic, name)
        data = message if raw else self._store.serialize_cdr(message, name)
        if self._is_full(stamp_ns):
            self._end_file()
            self._begin_file()
        self._writer.write(self._connection(topic), stamp_ns, data)
        self._bytes += len(data)
        self._begin_ns = min(self._begin_ns, stamp_ns)
        if not self._writer.storage.chunk.msgs:  # this message finished a chunk
            self._writer.storage.bio.flush()

    def flush(self) -> None:
        """Finish the chunk that is being gathered: from now on the end of this process cannot harm what is in it."""
        if self._writer.storage.chunk.msgs:
            self._writer.storage.close_chunk()
        self._writer.storage.bio.flush()

    def close(self) -> None:
        """Finish the recording and give it its name."""
        if self._writer is None:
            return
        try:
            self._end_file()
            if self.bare:
                (self.partial / self.path.name).rename(self.path)
                shutil.rmtree(self.partial)
            else:
                description = yaml.safe_dump({_ROOT: _merged(self._finished)}, sort_keys=False)
                (self.partial / "metadata.yaml").write_text(description)
                self.partial.rename(self.path)
        except BaseException:
            self._give_up()
            raise

    def discard(self) -> None:
        """Remove whatever was written."""
        self._let_go()
        shutil.rmtree(self.partial, ignore_errors=True)

    def _is_full(self, stamp_ns: int) -> bool:
        too_large = self._split_bytes and self._bytes >= self._split_bytes
        return too_large or (self._split_ns and stamp_ns - self._begin_ns >= self._split_ns)

    def _begin_file(self) -> None:
        name = f"{self.path.stem}_{self.files}" if self._splits else self.path.stem
        writer = Writer(self.partial / name, version=8, storage_plugin=StoragePlugin.MCAP)
        if self._compress:
            writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        writer.open()
        # `rosbags` makes a folder for each file: move the file up, so that all of them lie side by side.
        writer.storage.path = writer.storage.path.rename(self.partial / f"{name}.mcap")
        self._writer, self._connections = writer, {}
        self._bytes, self._begin_ns = 0, 2**63 - 1
        self.files += 1

    def _end_file(self) -> None:
        """Write the index of the present file, and remember its part of the description."""
        self._writer.close()
        self._finished.append(yaml.safe_load(self._writer.metapath.read_text())[_ROOT])
        shutil.rmtree(self._writer.path)

    def _connection(self, topic: str) -> Connection:
        if topic not in self._connections:
            type_name, offered = self._topics[topic]
            self._connections[topic] = self._writer.add_connection(
                topic, type_name, typestore=self._store, offered_qos_profiles=offered
            )
        return self._connections[topic]

    def _give_up(self) -> None:
        """After an error: leave the files as they are, or nothing."""
        if self._keep:
            self._let_go()
        else:
            self.discard()

    def _let_go(self) -> None:
        writer, self._writer = self._writer, None
        with suppress(OSError):  # a full disk refuses the last bytes as well
            writer.abort()
        shutil.rmtree(writer.path, ignore_errors=True)


def _merged(files: list[dict]) -> dict:
    """The description of a recording of several files, of those of its files."""
    filled = [file for file in files if file["message_count"]] or files[:1]
    begin = min(file["starting_time"]["nanoseconds_since_epoch"] for file in filled)
    end = max(file["starting_time"]["nanoseconds_since_epoch"] + file["duration"]["nanoseconds"] for file in filled)
    counts, topics = Counter(), {}
    for file in files:
        for entry in file["topics_with_message_count"]:
            topics[entry["topic_metadata"]["name"]] = entry["topic_metadata"]
            counts[entry["topic_metadata"]["name"]] += entry["message_count"]
    return {
        **files[0],
        "relative_file_paths": [path for file in files for path in file["relative_file_paths"]],
        "starting_time": {"nanoseconds_since_epoch": begin},
        "duration": {"nanoseconds": end - begin},
        "message_count": counts.total(),
        "topics_with_message_count": [
            {"topic_metadata": about, "message_count": counts[name]} for name, about in topics.items()
        ],
        "files": [part for file in files for part in file["files"]],
    }
