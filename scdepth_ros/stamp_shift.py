"""Move the stamps inside serialised messages, so that a recording played again goes on in time."""

from __future__ import annotations

import importlib
import struct
from functools import lru_cache

from rclpy.serialization import deserialize_message, serialize_message
from rosidl_parser.definition import AbstractNestedType, NamespacedType

from scdepth_core.errors import BagError, first_line

SECOND = 10**9
_HEADER, _TIME = "std_msgs/Header", "builtin_interfaces/Time"


def shift_stamps(cdr: bytes, message: type, offset_ns: int) -> bytes:
    """The message with every `stamp` in it moved by `offset_ns`.

    Args:
        cdr: the serialised message.
        message: its class.

    Raises:
        BagError: when the bytes are no such message.
    """
    if offset_ns == 0 or not _has_stamps(message):
        return cdr
    try:
        if _only_in_front(message):
            return _shift_first_time(cdr, offset_ns)
        decoded = deserialize_message(bytes(cdr), message)
    except (IndexError, struct.error, RuntimeError) as error:
        raise BagError(f"a message of {len(cdr)} bytes is no {message.__name__} ({first_line(error)})") from error
    _shift_deep(decoded, offset_ns)
    return serialize_message(decoded)


def moved(sec: int, nanosec: int, offset_ns: int) -> tuple[int, int]:
    """A stamp (seconds, nanoseconds) moved by `offset_ns`."""
    return divmod(sec * SECOND + nanosec + offset_ns, SECOND)


def _shift_first_time(cdr: bytes, offset_ns: int) -> bytes:
    """Patch the stamp of a leading header, which stands right behind CDR's four bytes. Images stay in one piece."""
    form = struct.Struct("<iI" if cdr[1] & 1 else ">iI")
    shifted = bytearray(cdr)
    form.pack_into(shifted, 4, *moved(*form.unpack_from(cdr, 4), offset_ns))
    return bytes(shifted)


def _shift_deep(message, offset_ns: int) -> None:
    for name, type_name in message.get_fields_and_field_types().items():
        value = getattr(message, name)
        if name == "stamp" and type_name == _TIME:
            value.sec, value.nanosec = moved(value.sec, value.nanosec, offset_ns)
        elif hasattr(value, "get_fields_and_field_types"):
            _shift_deep(value, offset_ns)
        elif isinstance(value, list | tuple):
            for item in value:
                if hasattr(item, "get_fields_and_field_types"):
                    _shift_deep(item, offset_ns)


@lru_cache
def _has_stamps(message: type) -> bool:
    fields = message.get_fields_and_field_types()
    return fields.get("stamp") == _TIME or any(_has_stamps(part) for part in _parts(message))


@lru_cache
def _only_in_front(message: type) -> bool:
    """True when the first field is a header and nothing behind it has a stamp."""
    fields = message.get_fields_and_field_types()
    if next(iter(fields.values()), None) != _HEADER:
        return False
    return not any(_has_stamps(part) for part in _parts(message)[1:])


def _parts(message: type) -> list[type]:
    """Classes of the fields that are messages, or sequences of messages, in their order."""
    parts = []
    for slot in message.SLOT_TYPES:
        kind = slot.value_type if isinstance(slot, AbstractNestedType) else slot
        if isinstance(kind, NamespacedType):
            parts.append(getattr(importlib.import_module(".".join(kind.namespaces)), kind.name))
    return parts
