"""Measurements as they are: 5 % noise, and every tenth value anything from a fifth to five times as large."""

from __future__ import annotations

import numpy as np

NOISE, OUTLIERS, FURTHEST = 0.05, 0.1, 1.6  # relative, share, of the logarithm


def spoilt_depth(depth: np.ndarray, rng, noise: float = NOISE, outliers: float = OUTLIERS) -> np.ndarray:
    """Depth of any shape, each value of it off on its own; float32."""
    wrong = np.where(rng.random(depth.shape) < outliers, rng.uniform(-FURTHEST, FURTHEST, depth.shape), 0)
    return (depth * np.exp(noise * rng.standard_normal(depth.shape) + wrong)).astype(np.float32)


def noisy_path(poses, rng, noise: float = NOISE, outliers: float = OUTLIERS) -> list[np.ndarray]:
    """Poses whose steps are measured with this relative noise; some are anything from a fifth to five times as long."""
    path = [poses[0]]
    for before, after in zip(poses[:-1], poses[1:]):
        step = np.linalg.inv(before) @ after
        wrong = rng.uniform(-FURTHEST, FURTHEST) if rng.random() < outliers else 0.0
        step[:3, 3] *= np.exp(noise * rng.standard_normal() + wrong)
        path.append(path[-1] @ step)
    return path


def measured_depth(units: np.ndarray, scale: float) -> np.ndarray:
    """Depth as a sensor gives it where a unit is `scale` metres: with 1 % of noise, whose median is 0."""
    noise = 0.01 * np.random.default_rng(0).standard_normal(units.size // 2)
    return (scale * units * np.exp(np.concatenate([noise, -noise])).reshape(units.shape)).astype(np.float32)
