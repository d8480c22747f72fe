"""Record frames only when the view has moved: a robot that stands still does not fill its disk.

One image topic is watched: its frames are decoded, and one is kept when corners of the last one kept have moved by
some pixels since. Whatever else belongs to a camera's frame (depth, calibration, clouds, other cameras) follows the
watched frame at or last before its stamp. All other messages pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from rosbags.typesys import Stores, get_typestore

from scdepth_core.data.frame_selection import FrameSelector, SelectionSettings
from scdepth_core.errors import ConfigError, ImageError
from scdepth_ros.messages import decode_image
from scdepth_ros.recording.serialized import IMAGE_TYPES, Serialized

_WIDTH = 320  # pixels that frames are scaled down to before they are compared
_REMEMBERED = 300  # verdicts, ten seconds of a fast camera
_PATIENCE_NS = 2 * 10**9  # how long a message waits for the watched frame that decides on it


class MotionGate:
    """Decides on messages in the order of their arrival.

    Args:
        min_motion: median motion of the view that makes a frame worth keeping, pixels of the watched images.
        watched: the image topic to watch; None takes the first image topic without "depth" in its name that comes.
        complain: called with a sentence when the first watched frame cannot be decoded.

    Attributes:
        watched: that topic, None as long as none came.
        unreadable: watched frames that could not be decoded; they are kept.

    Raises:
        ConfigError: when min_motion is not above 0.
    """

    def __init__(
        self, min_motion: float, watched: str | None = None, complain: Callable[[str], None] = lambda sentence: None
    ):
        if not min_motion > 0:
            raise ConfigError(f"min-motion is {min_motion:g} pixels, expected more than 0 – leave it out to keep all")
        self.watched = watched
        self.unreadable = 0
        self._complain = complain
        self._min_motion = min_motion
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._selector: FrameSelector | None = None
        self._size: tuple[int, int] | None = None  # height and width of the watched images
        self._verdicts: deque[tuple[int, bool]] = deque(maxlen=_REMEMBERED)
        self._waiting: deque[Serialized] = deque()

    def sift(self, message: Serialized) -> Iterator[tuple[Serialized, bool]]:
        """Messages that can be decided on now that this one has come, and whether to keep each."""
        if self.watched is None and message.type in IMAGE_TYPES and "depth" not in message.topic:
            self.watched = message.topic
        if message.topic == self.watched:
            keep = self._has_moved(message)
            self._verdicts.append((message.stamp_ns, keep))
            yield message, keep
        elif message.is_of_a_frame:
            self._waiting.append(message)
        else:
            yield message, True
        yield from self._decided(message.received_ns)

    def rest(self) -> Iterator[tuple[Serialized, bool]]:
        """At the end: what still waits, decided by the last frame."""
        while self._waiting:
            message = self._waiting.popleft()
            yield message, self._verdict_at(message.stamp_ns)

    def _decided(self, now_ns: int) -> Iterator[tuple[Serialized, bool]]:
        newest = self._verdicts[-1][0] if self._verdicts else None
        still = deque()
        for message in self._waiting:
            if newest is not None and message.stamp_ns <= newest:
                yield message, self._verdict_at(message.stamp_ns)
            elif abs(now_ns - message.received_ns) >= _PATIENCE_NS:
                yield message, True  # the watched camera is silent: better too much than a gap
            else:
                still.append(message)
        self._waiting = still

    def _verdict_at(self, stamp_ns: int) -> bool:
        """The verdict on the watched frame at this stamp, or the last one before."""
        return next((keep for stamp, keep in reversed(self._verdicts) if stamp <= stamp_ns), True)

    def _has_moved(self, message: Serialized) -> bool:
        try:
            image = decode_image(self._store.deserialize_cdr(message.data, message.type))
        except ImageError as error:
            if not self.unreadable:
                self._complain(f"frames of {self.watched} that cannot be decoded are all recorded: {error}")
            self.unreadable += 1
            return True
        scale = min(1.0, _WIDTH / image.shape[1])
        if image.shape[:2] != self._size:  # the first one, or a camera that was started anew: nothing to compare with
            settings = SelectionSettings(min_motion=self._min_motion * scale, min_sharpness=0.0)
            self._selector, self._size = FrameSelector(None, settings), image.shape[:2]
        if scale < 1:
            size = _WIDTH, max(1, round(image.shape[0] * scale))
            image = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
        return self._selector.judge(image).keep
