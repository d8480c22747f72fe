"""Bring together what belongs to one moment, of streams that arrive one message at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

_MOST_WAITING = 120  # images, whatever the clock says


@dataclass
class Waiting:
    """An image and what was found for it.

    Attributes:
        stamp_ns: time of exposure; recorded_ns: time of recording.
        image, depth: messages; depth is None where there is none near enough.
        depth_error_ns: how far the depth image is away in time.
    """

    stamp_ns: int
    recorded_ns: int
    image: object
    depth: object | None = None
    depth_error_ns: int = 0


class Associator:
    """Hold images back until the streams that they need have passed them.

    An image leaves when each stream in `wait_for` has come to its stamp, or when the recording has gone on for
    `window_ns` without; memory holds no more than that much of the recording.

    Args:
        wait_for: names of the streams, such as "depth", "odometry", "camera_info".
        tolerance_ns: largest distance of an image and its depth image.
    """

    def __init__(self, wait_for: set[str], tolerance_ns: int, window_ns: int):
        self._tolerance, self._window = tolerance_ns, window_ns
        self._reached = dict.fromkeys(wait_for, -1)
        self._images: deque[Waiting] = deque()
        self._depths: deque[tuple[int, object]] = deque()
        self._now = 0
        self._images_end: int | None = None
        self._released = 0  # images at the front for which nothing more will come

    def add_image(self, stamp_ns: int, recorded_ns: int, message) -> None:
        if self._images_end is not None and stamp_ns < self._images_end - self._window:  # the clock began anew
            self._released = len(self._images)
            self._reached = dict.fromkeys(self._reached, -1)
        self._images_end = stamp_ns
        self._images.append(Waiting(stamp_ns, recorded_ns, message))

    def add_depth(self, stamp_ns: int, message) -> None:
        if self._depths and stamp_ns < self._depths[-1][0] - self._window:  # the clock began anew
            self._depths.clear()
        self._depths.append((stamp_ns, message))
        self.reached("depth", stamp_ns)

    def reached(self, stream: str, stamp_ns: int) -> None:
        """Note that this stream has come to `stamp_ns`."""
        if stream in self._reached:
            self._reached[stream] = stamp_ns

    def ready(self, recorded_ns: int) -> Iterator[Waiting]:
        """The images that need not wait any longer, in the order in which they came."""
        self._now = max(self._now, recorded_ns)
        while self._images and self._is_ready(self._images[0]):
            self._released = max(0, self._released - 1)
            yield self._with_depth(self._images.popleft())
        self._forget()

    def rest(self) -> Iterator[Waiting]:
        """At the end of the recording: all images that are left."""
        while self._images:
            yield self._with_depth(self._images.popleft())

    def _is_ready(self, image: Waiting) -> bool:
        waited = self._now - image.recorded_ns
        if self._released or waited >= self._window or len(self._images) > _MOST_WAITING:
            return True
        return all(stamp >= image.stamp_ns for stamp in self._reached.values())

    def _with_depth(self, image: Waiting) -> Waiting:
        nearest = min(self._depths, key=lambda depth: abs(depth[0] - image.stamp_ns), default=None)
        if nearest and abs(nearest[0] - image.stamp_ns) <= self._tolerance:
            image.depth, image.depth_error_ns = nearest[1], abs(nearest[0] - image.stamp_ns)
        return image

    def _forget(self) -> None:
        """Drop depth images that are too old for any image still to come, but the newest."""
        if not self._depths:
            return
        oldest = self._images[0].stamp_ns if self._images else self._depths[-1][0] - self._window
        while len(self._depths) > 1 and self._depths[0][0] < oldest - self._tolerance:
            self._depths.popleft()
