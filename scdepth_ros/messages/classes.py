"""The Python class of a message type by its name; nothing of ROS is imported before it is asked for."""

from __future__ import annotations

import importlib

from scdepth_core.errors import BagError


def message_class(type_name: str) -> type:
    """The class of "package/msg/Name".

    Raises:
        BagError: when its package is not installed, or has no such message.
    """
    package, _, name = type_name.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise BagError(
            f"type '{type_name}' is not installed – install the ROS package '{package}' to play or record topics of it"
        ) from error
