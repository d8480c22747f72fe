"""What can be told of a serialised message without taking it apart."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
# Messages that belong to a camera's frame, and begin with its header.
FRAME_TYPES = (*IMAGE_TYPES, "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/PointCloud2")


@dataclass(frozen=True, slots=True)
class Serialized:
    """A message as it came.

    Attributes:
        topic, type: names, the type as `sensor_msgs/msg/Image`.
        data: CDR.
        received_ns: ROS time of arrival, nanoseconds.
    """

    topic: str
    type: str
    data: bytes = field(repr=False)
    received_ns: int

    @property
    def is_of_a_frame(self) -> bool:
        return self.type in FRAME_TYPES

    @property
    def stamp_ns(self) -> int:
        """The stamp in its header, nanoseconds; only for messages that begin with a header."""
        return header_stamp(self.data)


def header_stamp(data: bytes) -> int:
    """The stamp, nanoseconds, of a serialised message that begins with a Header.

    CDR has four bytes in front, of which the second says the byte order; seconds and nanoseconds follow.
    """
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return seconds * 10**9 + nanoseconds
