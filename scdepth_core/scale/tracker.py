"""A source of measurements and the filter behind it, for one camera; safe to use from several threads."""

from __future__ import annotations

import math
import threading
from collections import Counter
from dataclasses import dataclass

from scdepth_core.scale.filter import ScaleFilter
from scdepth_core.scale.view import Measurement, View


@dataclass(frozen=True)
class ScaleState:
    """The scale at one moment.

    Attributes:
        value: metres per unit, None while unknown; sigma: relative standard deviation, inf while not measured.
        frozen: whether it is kept as it is.
        is_measured: whether it comes from measurements.
        is_contradicted: whether enough was measured to begin with, but does not agree.
        count: measurements taken; refused: frames without one, by reason.
        last_refusal: why the last frame gave none; empty when it did.
    """

    value: float | None
    sigma: float
    frozen: bool
    is_measured: bool
    is_contradicted: bool
    count: int
    refused: Counter
    last_refusal: str


class ScaleTracker:
    """Measures views and keeps the scale.

    Args:
        source: ReferenceDepth, CameraHeight or OdometryTravel.
        filter: where measurements go.
    """

    def __init__(self, source, filter: ScaleFilter):
        self._source, self._filter = source, filter
        self._lock = threading.Lock()
        self._refused: Counter = Counter()
        self._last_refusal = ""

    @property
    def source(self) -> str:
        """Name of the source: reference_depth, camera_height or odometry."""
        return self._source.name

    def observe(self, view: View) -> Measurement | None:
        """Measure one view; None, and no work done, while the scale is frozen."""
        with self._lock:
            if self._filter.frozen:
                return None
            measured = self._source.measure(view)
            reason = measured.refused
            if not reason and not self._filter.update(measured.log_scale, measured.sigma):
                reason = "too uncertain"
            self._last_refusal = reason
            if reason:
                self._refused[reason] += 1
            return measured

    def freeze(self, frozen: bool) -> None:
        with self._lock:
            self._filter.freeze(frozen)
            self._source.restart()

    def reset(self) -> None:
        """Forget every measurement."""
        with self._lock:
            self._filter.reset()
            self._forget()

    def begin_at(self, initial: float | None) -> None:
        """Forget every measurement and start from another scale, in metres per unit, or from none.

        Raises:
            ConfigError: when it is not above 0.
        """
        with self._lock:
            self._filter.begin_at(initial)
            self._forget()

    def restart(self) -> None:
        """The next view is not connected to the last one: the clock jumped, or the camera paused. Keeps the scale."""
        with self._lock:
            self._source.restart()

    def _forget(self) -> None:
        self._source.restart()
        self._refused.clear()

    @property
    def state(self) -> ScaleState:
        with self._lock:
            f = self._filter
            sigma = f.sigma if f.is_measured else math.inf
            refused = Counter(self._refused)
            known = {"value": f.value, "sigma": sigma, "is_measured": f.is_measured}
            counts = {"count": f.count, "refused": refused, "last_refusal": self._last_refusal}
            return ScaleState(frozen=f.frozen, is_contradicted=f.is_contradicted, **known, **counts)
