"""One slow scale out of many measurements: robust, with an uncertainty, and without jumps."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from scdepth_core.errors import ConfigError
from scdepth_core.scale.robust import robust_mean

_LARGEST_SIGMA = 0.5  # a single measurement less certain than this is not taken
_SURE_ENOUGH = 0.03  # standard deviation with which a value may start; it cannot make up for a wrong one quickly
_PATIENCE = 10  # times `minimum` measurements, after which it starts all the same


class ScaleFilter:
    """The robust mean of the last measurements of ln(metres per unit), approached in small steps.

        filter = ScaleFilter()
        filter.update(log_scale, sigma)
        filter.value, filter.sigma  # 1.8, 0.01: 1.8 metres a unit, give or take 1 %

    Args:
        initial: scale to start from, such as the one in the weights; None to start from the first measurements.
        max_step: largest relative change that one measurement makes, 0.005 for 0.5 %.
        memory: measurements that are averaged.
        minimum: measurements needed before they count for anything; without `initial`, more of them while they
            contradict each other.

    Attributes:
        frozen: True while measurements are not taken.
        count: measurements taken since the start or the last reset.

    Raises:
        ConfigError: for a value outside its range.
    """

    def __init__(self, initial: float | None = None, max_step: float = 0.005, memory: int = 300, minimum: int = 5):
        if not 0 < max_step <= 1:
            raise ConfigError(f"max_step is {max_step}, expected a share above 0, up to 1")
        if not 1 <= minimum <= memory:
            raise ConfigError(f"minimum is {minimum} and memory {memory}, expected 1 <= minimum <= memory")
        self._step, self._minimum = math.log1p(max_step), minimum
        self._measured: deque[tuple[float, float]] = deque(maxlen=memory)
        self.frozen = False
        self.begin_at(initial)

    @property
    def value(self) -> float | None:
        """Metres per unit; None while there is neither an initial value nor enough measurements."""
        return None if self._log is None else math.exp(self._log)

    @property
    def is_measured(self) -> bool:
        """True when `value` comes from measurements, and not from `initial` alone."""
        return self._log is not None and self.count >= self._minimum

    @property
    def is_contradicted(self) -> bool:
        """True while measurements would be enough to start with, but do not agree."""
        return self._log is None and self.count >= self._minimum

    def update(self, log_scale: float, sigma: float) -> bool:
        """Take a measurement in.

        Args:
            log_scale: ln(metres per unit).
            sigma: its standard deviation.

        Returns:
            False when it was not taken: the filter is frozen, the number is not finite or too uncertain.
        """
        if self.frozen or not math.isfinite(log_scale) or not 0 <= sigma <= _LARGEST_SIGMA:
            return False
        self._measured.append((log_scale, sigma))
        self.count += 1
        if self.count >= self._minimum:
            values, sigmas = np.array(self._measured).T
            self._approach(*robust_mean(values, sigmas))
        return True

    def freeze(self, frozen: bool = True) -> None:
        """Keep the value as it is, or (False) let it follow measurements again."""
        self.frozen = frozen

    def begin_at(self, initial: float | None) -> None:
        """Forget every measurement and start from another initial value, in metres per unit, or from none.

        Raises:
            ConfigError: when it is not above 0.
        """
        if initial is not None and not 0 < initial < math.inf:
            raise ConfigError(f"initial scale is {initial}, expected metres per unit above 0, or None")
        self._initial = initial
        self.reset()

    def reset(self) -> None:
        """Forget every measurement and start from `initial`; a frozen filter stays frozen."""
        self._measured.clear()
        self._log = None if self._initial is None else math.log(self._initial)
        self.count = 0
        self.sigma = math.inf  # of ln(value); includes the way that is still to go

    def _approach(self, target: float, sigma: float) -> None:
        if self._log is None:
            if sigma > _SURE_ENOUGH and self.count < _PATIENCE * self._minimum:
                return
            self._log = target
        self._log += float(np.clip(target - self._log, -self._step, self._step))
        self.sigma = math.hypot(sigma, target - self._log)
