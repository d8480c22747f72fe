"""Read an MCAP file record by record, index or not (https://mcap.dev/spec).

A record is one byte of kind, eight bytes of length, and content. Messages stand in the file itself or inside
chunks, which may be compressed; of a chunk that was cut off, the messages before the cut are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import BinaryIO
from zlib import crc32

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat

from scdepth_ros.bag_recovery.compression import DAMAGED_STREAM, expand
from scdepth_ros.bag_recovery.salvaged import LARGEST_CUT_RECORD, Salvaged

_MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last log time, size when expanded, CRC of that
_FORMATS = {
    "ros2msg": MessageDefinitionFormat.MSG,
    "ros2idl": MessageDefinitionFormat.IDL,
    "omgidl": MessageDefinitionFormat.IDL,
}


class SalvagedMcap(Salvaged):
    """An MCAP file of CDR messages, whole or not. Channels in another encoding are left out."""

    def _scan(self) -> Iterator[tuple[int, int, bytes]]:
        self.damage = None
        self._schemas: dict[int, tuple[str, MessageDefinition]] = {}
        size = self.path.stat().st_size
        with self.path.open("rb") as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                self.damage = "it does not begin as an MCAP file does"
                return
            skipped = 0
            for kind, content, whole in _records(stream, size):
                if kind in (_FOOTER, _DATA_END):
                    break
                if kind == _CHUNK:
                    body, intact = _open_chunk(content)
                    if whole and not intact:
                        skipped += 1
                        continue
                    yield from self._messages(_records(BytesIO(body), len(body)))
                    skipped += whole and not _is_sound(body)
                elif whole:
                    yield from self._messages([(kind, content, True)])
            else:
                self.damage = f"it breaks off after {size} bytes, before its end record"
        if skipped:
            self.damage = "; ".join(filter(None, [self.damage, f"{skipped} of its chunks are damaged"]))

    def _messages(self, records) -> Iterator[tuple[int, int, bytes]]:
        for kind, content, whole in records:
            if not whole:
                return
            if kind in (_SCHEMA, _CHANNEL):
                with suppress(struct.error, UnicodeDecodeError):  # a damaged one: its messages go unread
                    (self._read_schema if kind == _SCHEMA else self._read_channel)(content)
            elif kind == _MESSAGE and len(content) >= _MESSAGE_HEAD.size:
                channel, _, stamp, _ = _MESSAGE_HEAD.unpack_from(content)
                if channel in self._connections:
                    yield channel, stamp, content[_MESSAGE_HEAD.size :]

    def _read_schema(self, content: bytes) -> None:
        fields = BytesIO(content)
        (key,) = struct.unpack("<H", fields.read(2))
        name, encoding, text = _string(fields), _string(fields), _string(fields)
        definition = MessageDefinition(_FORMATS.get(encoding, MessageDefinitionFormat.NONE), text)
        self._schemas[key] = (name, definition)

    def _read_channel(self, content: bytes) -> None:
        fields = BytesIO(content)
        key, schema = struct.unpack("<HH", fields.read(4))
        topic, encoding = _string(fields), _string(fields)
        if key in self._connections or encoding != "cdr" or schema not in self._schemas:
            return
        name, definition = self._schemas[schema]
        extra = ConnectionExtRosbag2(encoding, [])
        self._connections[key] = Connection(key, topic, name, definition, "", 0, extra, self)


def _records(stream: BinaryIO, size: int) -> Iterator[tuple[int, bytes, bool]]:
    """Kind, content and completeness of each record; the last may be cut off. Ends at what is no record."""
    while True:
        head = stream.read(_RECORD.size)
        if len(head) < _RECORD.size:
            return
        kind, length = _RECORD.unpack(head)
        if kind == 0:
            return
        left = size - stream.tell()
        if length <= left:
            yield kind, stream.read(length), True
        else:
            yield kind, stream.read(min(left, LARGEST_CUT_RECORD)), False
            return


def _is_sound(body: bytes) -> bool:
    """Whether the records of an expanded chunk follow each other to its very end."""
    place = 0
    while place + _RECORD.size <= len(body) and body[place]:
        place += _RECORD.size + _RECORD.unpack_from(body, place)[1]
    return place == len(body)


def _open_chunk(content: bytes) -> tuple[bytes, bool]:
    """The expanded records of a chunk, as far as they can be had, and whether that is all of them."""
    try:
        fields = BytesIO(content)
        _, _, size, crc = _CHUNK_HEAD.unpack(fields.read(_CHUNK_HEAD.size))
        compression = _string(fields)
        fields.read(8)  # the length of what follows, which may not all be there
        body = expand(fields.read(), compression)
    except (struct.error, UnicodeDecodeError, *DAMAGED_STREAM):
        return b"", False
    return body, len(body) == size and (not crc or crc32(body) == crc)


def _string(fields: BytesIO) -> str:
    (length,) = struct.unpack("<I", fields.read(4))
    return fields.read(length).decode()
