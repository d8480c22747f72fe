"""Read a rosbag2 SQLite file row by row up to the first page that is missing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat

from scdepth_ros.bag_recovery.compression import DAMAGED_STREAM, ZSTD_MAGIC, expand
from scdepth_ros.bag_recovery.salvaged import Salvaged

_FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}


class SalvagedSqlite(Salvaged):
    """A .db3 file, whole or not. Rows come in the order of writing, which needs no index."""

    _log_unread = False

    def _scan(self) -> Iterator[tuple[int, int, bytes]]:
        self.damage = None
        database = None
        try:
            database = self._open()
            self._read_topics(database)
            rows = database.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id")
            for topic, stamp, data in rows:
                if topic in self._connections:
                    yield topic, stamp, _plain(data)
        except (sqlite3.Error, *DAMAGED_STREAM) as error:
            self.damage = f"its database breaks off ({error})"
        finally:
            if database is not None:
                database.close()
        if lost := missing_bytes(self.path):
            self.damage = f"it breaks off {lost} bytes before its end"
        if self._log_unread:
            note = "its write-ahead log cannot be used in a read-only folder: copy the bag to read its last seconds"
            self.damage = "; ".join(filter(None, [self.damage, note]))

    def _open(self) -> sqlite3.Connection:
        """Open for reading; with the write-ahead log that a killed recorder left, where it can be used."""
        address = self.path.absolute().as_uri()
        if has_write_ahead_log(self.path):
            database = sqlite3.connect(f"{address}?mode=ro", uri=True)
            try:
                database.execute("SELECT count(*) FROM sqlite_master")
                return database
            except sqlite3.Error:  # needs a folder that can be written to
                database.close()
                self._log_unread = True
        database = sqlite3.connect(f"{address}?immutable=1", uri=True)
        database.execute("PRAGMA writable_schema = ON")  # else SQLite refuses a file that is too short
        return database

    def _read_topics(self, database: sqlite3.Connection) -> None:
        definitions = {}
        try:
            query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            for name, encoding, text in database.execute(query):
                if encoding in _FORMATS:
                    definitions[name] = MessageDefinition(_FORMATS[encoding], text)
        except sqlite3.OperationalError:
            pass  # recorded before Iron: the file has no definitions, the standard ones apply
        query = "SELECT id, name, type FROM topics WHERE serialization_format = 'cdr'"
        for key, topic, name in database.execute(query):
            definition = definitions.get(name, MessageDefinition(MessageDefinitionFormat.NONE, ""))
            extra = ConnectionExtRosbag2("cdr", [])
            self._connections[key] = Connection(key, topic, name, definition, "", 0, extra, self)


def has_write_ahead_log(path: Path) -> bool:
    """Whether messages of this database still stand in a log beside it, as a killed recorder leaves them."""
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def missing_bytes(path: Path) -> int:
    """How much shorter this database file is than its header says; SQLite itself may read zeros there."""
    with path.open("rb") as stream:
        head = stream.read(100)
    if len(head) < 100 or head[24:28] != head[92:96]:  # too short, or the header's size is out of date
        return 0
    page = int.from_bytes(head[16:18], "big")
    pages = int.from_bytes(head[28:32], "big")
    return max(0, pages * (65536 if page == 1 else page) - path.stat().st_size)


def _plain(data: bytes) -> bytes:
    """The message, expanded if the recorder compressed it by itself; a CDR message never begins like zstd."""
    return expand(data, "zstd") if data[:4] == ZSTD_MAGIC else data
