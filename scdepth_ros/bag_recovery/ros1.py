"""Read a ROS 1 bag (format 2.0) record by record, without the index that `rosbag record` writes last.

A record is a header (name=value fields with their lengths) and data, each preceded by its length. Messages stand
in the file itself or in chunks; of a chunk that was cut off, the messages before the cut are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import BinaryIO

from rosbags.interfaces import Connection, ConnectionExtRosbag1, MessageDefinition, MessageDefinitionFormat
from rosbags.typesys.msg import normalize_msgtype

from scdepth_ros.bag_recovery.compression import DAMAGED_STREAM, expand
from scdepth_ros.bag_recovery.salvaged import LARGEST_CUT_RECORD, Salvaged

_MAGIC = b"#ROSBAG V2.0\n"
_MESSAGE, _BAG_HEADER, _CHUNK, _CHUNK_INFO, _CONNECTION = 2, 3, 5, 6, 7
_LARGEST_HEADER = 1 << 20


class SalvagedRos1(Salvaged):
    """A .bag file, indexed or not, whole or not."""

    def _scan(self) -> Iterator[tuple[int, int, bytes]]:
        self.damage = None
        size = self.path.stat().st_size
        with self.path.open("rb") as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                self.damage = "it does not begin as a ROS 1 bag of version 2.0 does"
                return
            indexed = finished = False
            damaged = 0
            for fields, data, whole in _records(stream, size):
                kind = fields.get("op", b"\0")[0]
                finished |= kind == _CHUNK_INFO
                if kind == _BAG_HEADER:
                    indexed = any(fields.get("index_pos", b""))
                elif kind == _CHUNK:
                    body, intact = _open_chunk(fields, data)
                    if whole and not intact:
                        damaged += 1
                        continue
                    yield from self._messages(_records(BytesIO(body), len(body)))
                elif whole:
                    yield from self._messages([(fields, data, True)])
        if not (indexed and finished):
            self.damage = f"it breaks off after {size} bytes, before its index"
        if damaged:
            self.damage = "; ".join(filter(None, [self.damage, f"{damaged} of its chunks are damaged"]))

    def _messages(self, records) -> Iterator[tuple[int, int, bytes]]:
        for fields, data, whole in records:
            if not whole:
                return
            kind = fields.get("op", b"\0")[0]
            if kind == _CONNECTION:
                with suppress(struct.error, ValueError, KeyError):  # a damaged one: its messages go unread
                    self._read_connection(fields, data)
            elif kind == _MESSAGE and len(fields.get("time", b"")) == 8 and len(fields.get("conn", b"")) == 4:
                (key,) = struct.unpack("<I", fields["conn"])
                seconds, nanoseconds = struct.unpack("<II", fields["time"])
                if key in self._connections:
                    yield key, seconds * 10**9 + nanoseconds, data

    def _read_connection(self, fields: dict[str, bytes], data: bytes) -> None:
        (key,) = struct.unpack("<I", fields["conn"])
        if key in self._connections:
            return
        about = _fields(data)
        definition = about.get("message_definition", b"").decode(errors="replace")
        self._connections[key] = Connection(
            id=key,
            topic=fields["topic"].decode(),
            msgtype=normalize_msgtype(about["type"].decode()),
            msgdef=MessageDefinition(MessageDefinitionFormat.MSG, definition),
            digest=about.get("md5sum", b"").decode(),
            msgcount=0,
            ext=ConnectionExtRosbag1(None, None),
            owner=self,
        )


def _records(stream: BinaryIO, size: int) -> Iterator[tuple[dict[str, bytes], bytes, bool]]:
    """Header fields, data and completeness of each record; the last may be cut off."""
    while True:
        header = _sized(stream, size, _LARGEST_HEADER)
        if header is None or not header[1]:
            return
        data = _sized(stream, size, LARGEST_CUT_RECORD)
        if data is None:
            return
        try:
            fields = _fields(header[0])
        except (struct.error, ValueError):
            return
        yield fields, *data
        if not data[1]:
            return


def _sized(stream: BinaryIO, size: int, largest_cut: int) -> tuple[bytes, bool] | None:
    """Bytes preceded by their number, and whether all of them are there; None at the end of the stream."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    (length,) = struct.unpack("<I", head)
    left = size - stream.tell()
    return stream.read(length if length <= left else min(left, largest_cut)), length <= left


def _fields(header: bytes) -> dict[str, bytes]:
    fields, position = {}, 0
    while position < len(header):
        (length,) = struct.unpack_from("<I", header, position)
        name, equals, value = header[position + 4 : position + 4 + length].partition(b"=")
        if not equals or position + 4 + length > len(header):
            raise ValueError("not a header field")
        fields[name.decode()] = value
        position += 4 + length
    return fields


def _open_chunk(fields: dict[str, bytes], data: bytes) -> tuple[bytes, bool]:
    """The expanded records of a chunk, as far as they can be had, and whether that is all of them."""
    try:
        body = expand(data, fields.get("compression", b"none").decode())
        return body, len(body) == struct.unpack("<I", fields["size"])[0]
    except (struct.error, KeyError, *DAMAGED_STREAM):
        return b"", False
