"""What the node has seen and done: counts since it was activated, rates and latencies of the last seconds."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WINDOW = 5.0  # seconds over which rates and latencies are taken


@dataclass(frozen=True)
class Snapshot:
    """Statistics at one moment.

    Attributes:
        counts: events by name since the start.
        rate_in, rate_out: frames a second.
        latency: milliseconds from an image's arrival to its depth being published, (p50, p95); NaN without frames.
        stamp_age: seconds between the newest image's stamp and its arrival; NaN without images.
        since_image: seconds since the last image, or since the start while none came.
    """

    counts: Counter
    rate_in: float
    rate_out: float
    latency: tuple[float, float]
    stamp_age: float
    since_image: float


class Statistics:
    """Thread-safe. All times come from `clock`, seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        """Forget everything and start from zero."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._counts: Counter = Counter()
        self._started = self._last_image = self._clock()
        self._in: deque[float] = deque()
        self._out: deque[tuple[float, float]] = deque()
        self._stamp_age = float("nan")

    def count(self, event: str, times: int = 1) -> int:
        """Count an event that happened once, or so many times, and return how many there were."""
        with self._lock:
            self._counts[event] += times
            return self._counts[event]

    def image_arrived(self, stamp_age: float) -> None:
        with self._lock:
            self._counts["frames_in"] += 1
            self._last_image = self._clock()
            self._in.append(self._last_image)
            self._stamp_age = stamp_age

    def depth_published(self, latency: float) -> None:
        """A frame is done; `latency` in seconds."""
        with self._lock:
            self._counts["frames_out"] += 1
            self._out.append((self._clock(), latency))

    def snapshot(self) -> Snapshot:
        with self._lock:
            now = self._clock()
            while self._in and self._in[0] < now - WINDOW:
                self._in.popleft()
            while self._out and self._out[0][0] < now - WINDOW:
                self._out.popleft()
            span = max(1e-3, min(WINDOW, now - self._started))
            latencies = [latency * 1e3 for _, latency in self._out]
            p50, p95 = np.percentile(latencies, (50, 95)) if latencies else (float("nan"),) * 2
            return Snapshot(
                counts=Counter(self._counts),
                rate_in=len(self._in) / span,
                rate_out=len(self._out) / span,
                latency=(float(p50), float(p95)),
                stamp_age=self._stamp_age,
                since_image=now - self._last_image,
            )


class Troubles:
    """Counts what went wrong by kind, and says each kind at most once in `period` seconds.

    Args:
        statistics: where they are counted.
        log: takes one sentence.
    """

    def __init__(self, statistics: Statistics, log: Callable[[str], None], period: float = 10.0, clock=time.monotonic):
        self._statistics, self._log, self._period, self._clock = statistics, log, period, clock
        self._next: dict[str, float] = {}

    def report(self, kind: str, sentence: str, times: int = 1) -> None:
        count = self._statistics.count(kind, times)
        now = self._clock()
        if now >= self._next.get(kind, now):
            self._next[kind] = now + self._period
            self._log(f"{sentence} [{kind}: {count} so far]")
