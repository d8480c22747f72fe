"""Depth errors as the field reports them, under the protocol of each benchmark, and the drift of scale over a set.

A prediction is right up to one factor. Three alignments answer three questions:
`image`: how good is the shape of each depth map, its own median scale given (the published figures);
`set`: how good is depth with ONE factor for the whole set (what SLAM and a calibrated robot get);
`none`: how good is it as it stands, in metres.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from scdepth_core.errors import ConfigError, DataError

ALIGNMENTS = ("image", "set", "none")
ERROR_NAMES = ("abs_diff", "abs_rel", "sq_rel", "log10", "rmse", "rmse_log", "a1", "a2", "a3")


@dataclass(frozen=True)
class Protocol:
    """What a benchmark counts.

    Attributes:
        max_depth, min_depth: metres; ground truth outside is ignored, predictions are clipped to it.
        crop: (top, bottom, left, right) in pixels, or as shares of the size where all are at most 1; None for all.
    """

    max_depth: float
    min_depth: float = 1e-3
    crop: tuple[float, float, float, float] | None = None

    def mask(self, truth: np.ndarray) -> np.ndarray:
        """(H, W) bool: pixels of the ground truth that count."""
        mask = (truth > self.min_depth) & (truth < self.max_depth)
        if self.crop is not None:
            height, width = truth.shape
            scale = (height, height, width, width) if max(self.crop) <= 1 else (1, 1, 1, 1)
            top, bottom, left, right = (int(c * s) for c, s in zip(self.crop, scale))
            inside = np.zeros_like(mask)
            inside[top:bottom, left:right] = True
            mask &= inside
        return mask


PROTOCOLS = {
    "kitti": Protocol(80.0, crop=(0.40810811, 0.99189189, 0.03594771, 0.96405229)),  # Garg et al.
    "nyu": Protocol(10.0, crop=(45, 471, 41, 601)),  # Eigen et al., 480x640
    "ddad": Protocol(200.0),
    "bonn": Protocol(10.0),
    "tum": Protocol(10.0),
    "7scenes": Protocol(10.0),
    "custom": Protocol(100.0),
}


@dataclass(frozen=True)
class Evaluation:
    """Result over a set of images.

    Attributes:
        errors: alignment -> {error name: mean over images}.
        scale: the one factor of alignment `set`, metres per network unit.
        scale_spread: std / mean of the per-image median ratios (0 = one scale for all).
        constant: errors of a constant depth under alignment `set`: what knowing nothing scores.
        images: how many images counted; `skipped`: how many had no valid ground truth.
        per_image: abs_rel of each image under its own scale, in order (NaN where skipped).
    """

    errors: dict[str, dict[str, float]]
    scale: float
    scale_spread: float
    constant: dict[str, float]
    images: int
    skipped: int
    per_image: list[float]


def compute_errors(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """The nine errors of 1-D arrays of positive depths, metres."""
    difference = truth - prediction
    ratio = np.maximum(truth / prediction, prediction / truth)
    log_difference = np.log(truth) - np.log(prediction)
    values = (
        np.abs(difference).mean(),
        (np.abs(difference) / truth).mean(),
        (difference**2 / truth).mean(),
        np.abs(log_difference).mean() / np.log(10),
        np.sqrt((difference**2).mean()),
        np.sqrt((log_difference**2).mean()),
        *((ratio < 1.25**power).mean() for power in (1, 2, 3)),
    )
    return {name: float(value) for name, value in zip(ERROR_NAMES, values)}


def depth_errors(
    prediction: np.ndarray, truth: np.ndarray, protocol: Protocol, scale: float | None = None
) -> dict[str, float]:
    """Errors of one image.

    Args:
        prediction: (h, w), any size and unit; resized bilinearly to the ground truth.
        truth: (H, W) metres, 0 or NaN where unknown.
        scale: factor on the prediction; None aligns the medians.

    Raises:
        DataError: no pixel of the ground truth counts.
    """
    truth, prediction = _counted_pixels(prediction, truth, protocol)
    if scale is None:
        scale = np.median(truth) / np.median(prediction)
    return compute_errors(truth, np.clip(scale * prediction, protocol.min_depth, protocol.max_depth))


def evaluate(pairs: Iterable[tuple[np.ndarray, np.ndarray]], protocol: Protocol) -> Evaluation:
    """Errors over a set, under all alignments.

    Args:
        pairs: (prediction, truth) of each image, as in depth_errors. What counts of them is held until the end, as the
            one scale is known only then.
    """
    counted: list[tuple[np.ndarray, np.ndarray] | None] = []
    for prediction, truth in pairs:
        try:
            counted.append(_counted_pixels(prediction, truth, protocol))
        except DataError:
            counted.append(None)
    kept = [pair for pair in counted if pair is not None]
    if not kept:
        raise DataError(
            f"none of the {len(counted)} ground-truth depths has a pixel between {protocol.min_depth} and "
            f"{protocol.max_depth} m – check the depth factor"
        )
    ratios = np.array([np.median(truth) / np.median(prediction) for truth, prediction in kept])
    one_scale = float(np.median(ratios))
    constant = float(np.median([np.median(truth) for truth, _ in kept]))

    def mean_errors(scales: np.ndarray, predictions: list[np.ndarray]) -> dict[str, float]:
        rows = [
            compute_errors(truth, np.clip(scale * p, protocol.min_depth, protocol.max_depth))
            for scale, p, (truth, _) in zip(scales, predictions, kept)
        ]
        return {name: float(np.mean([row[name] for row in rows])) for name in ERROR_NAMES}

    predictions = [prediction for _, prediction in kept]
    own = iter(
        np.mean(np.abs(truth - np.clip(r * p, protocol.min_depth, protocol.max_depth)) / truth)
        for r, (truth, p) in zip(ratios, kept)
    )
    return Evaluation(
        errors={
            "image": mean_errors(ratios, predictions),
            "set": mean_errors(np.full_like(ratios, one_scale), predictions),
            "none": mean_errors(np.ones_like(ratios), predictions),
        },
        scale=one_scale,
        scale_spread=float(ratios.std() / ratios.mean()),
        constant=mean_errors(np.full_like(ratios, constant), [np.ones_like(p) for p in predictions]),
        images=len(kept),
        skipped=len(counted) - len(kept),
        per_image=[float("nan") if pair is None else float(next(own)) for pair in counted],
    )


def protocol_named(name: str) -> Protocol:
    """The protocol of a benchmark, or a ConfigError that lists them."""
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol '{name}' is unknown, expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def _counted_pixels(
    prediction: np.ndarray, truth: np.ndarray, protocol: Protocol
) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth and prediction of one image where both count, as 1-D arrays."""
    height, width = truth.shape
    if prediction.shape != truth.shape:
        prediction = cv2.resize(prediction, (width, height), interpolation=cv2.INTER_LINEAR)
    mask = protocol.mask(np.nan_to_num(truth, nan=0.0)) & np.isfinite(prediction) & (prediction > 0)
    if not mask.any():
        raise DataError("no pixel of the ground truth counts")
    return truth[mask], prediction[mask]
