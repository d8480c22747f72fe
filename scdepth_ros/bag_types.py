"""Turn the bytes of a recorded message into an object, by the definition that the bag itself carries."""

from __future__ import annotations

from rosbags.interfaces import Connection, ConnectionExtRosbag1, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from scdepth_core.errors import BagError

_IDL_SEPARATOR = "=" * 80 + "\n"
_RENAMED = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}  # since the first ROS 1; the fields are the same


def ros2_name(connection: Connection) -> str:
    """Which type of ROS 2 the messages are."""
    return _RENAMED.get(connection.msgtype, connection.msgtype)


class MessageTypes:
    """Decoders of a bag's message types, each made when its first message is wanted.

    A definition in the bag comes first; where there is none, or it cannot be read, the type of that name in
    ROS 2 Jazzy (for a ROS 1 bag: Noetic) stands in. A topic that nobody reads cannot spoil a bag.
    """

    def __init__(self):
        self._stores: dict[tuple[str, str], Typestore] = {}
        self._ros2 = get_typestore(Stores.ROS2_JAZZY)

    def decode(self, connection: Connection, raw: bytes) -> object:
        """The message as a `rosbags` object: fields by name, sequences of numbers as NumPy arrays.

        Raises:
            BagError: for an unknown type, or bytes that are not of this type.
        """
        store = self._store(connection)
        try:
            if _is_ros1(connection):
                return store.deserialize_ros1(raw, connection.msgtype)
            return store.deserialize_cdr(raw, connection.msgtype)
        except Exception as error:  # generated code: damaged bytes raise whatever they happen to hit
            raise BagError(_complaint(connection, error)) from error

    def to_cdr(self, connection: Connection, raw: bytes) -> bytes:
        """The message in the encoding of ROS 2; one of a ROS 1 bag as the type that `ros2_name` says, in Jazzy.

        Raises:
            BagError: for a type that ROS 2 does not have, or bytes that are not of this type.
        """
        if not _is_ros1(connection):
            return raw
        name = ros2_name(connection)
        if name not in self._ros2.fielddefs:
            raise BagError(f"messages of {connection.topic} are {connection.msgtype}, which ROS 2 does not have")
        try:
            return bytes(self._ros2.ros1_to_cdr(raw, name))
        except Exception as error:
            raise BagError(_complaint(connection, error)) from error

    def _store(self, connection: Connection) -> Typestore:
        key = (connection.msgtype, connection.msgdef.data)
        if key not in self._stores:
            self._stores[key] = _embedded(connection) or _standard(connection)
        return self._stores[key]


def _embedded(connection: Connection) -> Typestore | None:
    """The type from its definition in the bag; None without a usable one."""
    text, form = connection.msgdef.data, connection.msgdef.format
    if form == MessageDefinitionFormat.NONE:
        return None
    try:
        types = {}
        if form == MessageDefinitionFormat.MSG:
            types.update(get_types_from_msg(text, connection.msgtype))
        elif text.startswith(f"{_IDL_SEPARATOR}IDL: "):
            for part in text.split(_IDL_SEPARATOR)[1:]:
                types.update(get_types_from_idl(part.partition("\n")[2]))
        else:
            types.update(get_types_from_idl(text))
        store = get_typestore(Stores.EMPTY)
        store.register(types)
        store.get_msgdef(connection.msgtype)
    except Exception:  # whatever the parser trips over, the standard type of this name may still do
        return None
    return store


def _standard(connection: Connection) -> Typestore:
    store = get_typestore(Stores.ROS1_NOETIC if _is_ros1(connection) else Stores.ROS2_JAZZY)
    if connection.msgtype not in store.fielddefs:
        raise BagError(
            f"messages of {connection.topic} are of the type {connection.msgtype}, which the bag does not define "
            "and ROS does not know"
        )
    return store


def _is_ros1(connection: Connection) -> bool:
    return isinstance(connection.ext, ConnectionExtRosbag1)


def _complaint(connection: Connection, error: Exception) -> str:
    return f"a message of {connection.topic} is no {connection.msgtype} ({type(error).__name__}: {error})"
