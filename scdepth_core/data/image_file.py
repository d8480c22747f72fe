"""Pictures out of files, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from scdepth_core.errors import DataError


def decode_file(path: Path, flags: int) -> np.ndarray:
    """The picture in a JPEG or PNG file, as OpenCV gives it for these flags.

    Raises:
        DataError: the file cannot be read or decoded, or is cut off.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror}) – remove it or write it again") from None
    if data[:2] == b"\xff\xd8" and not _is_whole_jpeg(data):  # OpenCV would fill the rest with grey
        raise DataError(f"'{path}' is cut off ({len(data)} bytes) – remove it or write it again")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise DataError(f"'{path}' cannot be decoded as an image – remove it or write it again")
    return image


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether the end marker follows the pixels: that of a thumbnail in the header does not count, and what a camera
    appends does not harm.
    """
    place = 2
    while data[place : place + 1] == b"\xff" and place + 3 < len(data):
        if data[place + 1] == 0xDA:  # the pixels begin, and escape whatever would look like a marker
            return data.find(b"\xff\xd9", place) > 0
        is_padding = data[place + 1] == 0xFF
        place += 1 if is_padding else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return False
