"""Lists of test frames of KITTI raw, such as Eigen's split, in the two forms that are in use:

    2011_09_26/2011_09_26_drive_0002_sync 0000000069 l
    2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.jpg

What follows on a line of the second form (the right image, ground truth, focal length) is not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from scdepth_core.errors import DataError
from scdepth_core.text_file import read_text

_DRIVE = r"(?:[^/\s]+/)?(?P<drive>[^/\s]+_sync)"
_FORMS = (
    re.compile(rf"{_DRIVE}\s+(?P<index>\d+)(?:\s+(?P<camera>[lr]))?"),
    re.compile(rf"{_DRIVE}/(?P<camera>image_\d\d)/data/(?P<index>\d+)\.\w+(?:\s.*)?"),
)
_LEFT = (None, "l", "image_02")


@dataclass(frozen=True)
class SplitFrame:
    """One line: the drive's name, and the number of the frame in it."""

    drive: str
    index: int


def read_split(path: Path) -> list[SplitFrame]:
    """The frames that a file lists, in its order.

    Raises:
        DataError: there is no such file, it lists nothing or a frame twice, a line has neither form or asks for another
            camera than the left colour camera.
    """
    if not path.is_file():
        raise DataError(f"split '{path}' does not exist – give a list of test frames, such as Eigen's test_files.txt")
    lines = read_text(path).splitlines()
    frames = [_frame(path, number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not frames:
        raise DataError(f"split '{path}' lists no frame – write one a line: 'DATE/DRIVE_sync 0000000005 l'")
    if len(set(frames)) < len(frames):
        twice = next(frame for index, frame in enumerate(frames) if frame in frames[:index])
        raise DataError(f"split '{path}' lists frame {twice.index} of '{twice.drive}' twice – remove one of the lines")
    return frames


def _frame(path: Path, number: int, line: str) -> SplitFrame:
    found = next((match for form in _FORMS if (match := form.fullmatch(line))), None)
    if found is None:
        raise DataError(
            f"line {number} of split '{path}' is '{line}', expected 'DATE/DRIVE_sync 0000000005 l' or "
            "'DATE/DRIVE_sync/image_02/data/0000000005.jpg'"
        )
    if found["camera"] not in _LEFT:
        raise DataError(
            f"line {number} of split '{path}' asks for camera '{found['camera']}', only images of the left colour "
            "camera (l, image_02) are imported – take the other lines out of the list"
        )
    return SplitFrame(found["drive"], int(found["index"]))
