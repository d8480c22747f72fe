"""Times of messages. Nothing here imports ROS."""

from __future__ import annotations


def stamp_ns(header) -> int:
    """Nanoseconds of a header's stamp; any that the fields can hold."""
    return header.stamp.sec * 10**9 + header.stamp.nanosec
