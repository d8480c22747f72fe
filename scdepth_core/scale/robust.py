"""Location and scatter of numbers among which some are wrong."""

from __future__ import annotations

import math

import numpy as np

NORMAL = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
WIDTH = 2.4  # standard deviations at which a value counts a quarter
_ROUNDS = 20


def median_and_scatter(values: np.ndarray) -> tuple[float, float]:
    """Median, and the standard deviation that the median absolute deviation stands for."""
    centre = float(np.median(values))
    return centre, NORMAL * float(np.median(np.abs(values - centre)))


def trust(deviations: np.ndarray) -> np.ndarray:
    """Geman and McClure's weights of deviations in standard deviations: what is far off has no say at all."""
    return (1 + (deviations / WIDTH) ** 2) ** -2


def robust_mean(values: np.ndarray, sigmas: np.ndarray) -> tuple[float, float]:
    """Weighted mean that outliers do not pull, and its standard deviation.

    Args:
        values: (N,) in the order in which they were measured.
        sigmas: (N,) standard deviation of each. The scatter seen is added to it, so that it may be too small.

    The standard deviation is spread / sqrt(n), where outliers add to the spread and not to n, each at WIDTH standard
    deviations at most: values that disagree make the mean less certain, whether it follows them or not. Neighbours in a
    video err alike: n counts (1 - r) / (1 + r) of the values, where r is the correlation of each with the next. A
    spread that is known from few values is uncertain too: sqrt((N - 1) / (N - 3)) is Student's standard deviation.
    """
    centre, scatter = median_and_scatter(values)
    variances = np.maximum(sigmas**2 + scatter**2, 1e-12)
    for _ in range(_ROUNDS):
        weights = trust((values - centre) / np.sqrt(variances)) / variances
        centre, before = float(weights @ values / weights.sum()), centre
        if abs(centre - before) < 1e-9:
            break
    share = weights / weights.sum()
    residuals = values - centre
    spread = math.sqrt(float(np.minimum(residuals**2, WIDTH**2 * variances).mean()))
    r = np.clip(_correlation_with_next(residuals, np.sqrt(variances)), 0, 0.95)
    independent = max((1 - r) / (1 + r) / float(share @ share), 1.0)
    few = math.sqrt(max(len(values) - 1, 1) / max(len(values) - 3, 1))
    return centre, few * max(spread, 1e-6) / math.sqrt(independent)


def _correlation_with_next(residuals: np.ndarray, sigmas: np.ndarray) -> float:
    z = np.clip(residuals / sigmas, -WIDTH, WIDTH)
    energy = float(z @ z)
    return float(z[:-1] @ z[1:]) / energy if energy > 0 and len(z) > 2 else 0.0
