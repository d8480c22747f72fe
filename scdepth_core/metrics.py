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
        size: (height, width) of ground truth that a crop in pixels was made for; None for any.
    """

    max_depth: float
    min_depth: float = 1e-3
    crop: tuple[float, float, float, float] | None = None
    size: tuple[int, int] | None = None

    def mask(self, truth: np.ndarray) -> np.ndarray:
        """(H, W) bool: pixels of the ground truth that count; ConfigError where the crop is for another size."""
        if self.size is not None and truth.shape != self.size:
            raise ConfigError(
                f"this protocol crops ground truth of {self.size} (height, width), not of {truth.shape} – "
                "use 'custom', which counts the whole image"
            )
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
    "nyu": Protocol(10.0, crop=(45, 471, 41, 601), size=(480, 640)),  # Eigen et al.
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
        coverage: share of the pixels with ground truth that the predictions have a value for.
        images: how many images counted; `skipped`: how many had no valid ground truth.
        per_image: abs_rel of each image under its own scale, in order (NaN where skipped).
    """

    errors: dict[str, dict[str, float]]
    scale: float
    scale_spread: float
    constant: dict[str, float]
    coverage: float
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
        DataError: no pixel of the ground truth counts, or the prediction has no value at any of them.
    """
    truth, prediction = counted_pixels(prediction, truth, protocol)
    truth, prediction = _both_known(truth, prediction)
    if scale is None:
        scale = np.median(truth) / np.median(prediction)
    return compute_errors(truth, np.clip(scale * prediction, protocol.min_depth, protocol.max_depth))


def evaluate(pairs: Iterable[tuple[np.ndarray, np.ndarray]], protocol: Protocol) -> Evaluation:
    """Errors over a set, under all alignments.

    Args:
        pairs: (prediction, truth) of each image, as in depth_errors. What counts of them is held until the end, as the
            one scale is known only then.
    """
    sizes: list[int] = []
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for prediction, truth in pairs:
        pair = counted_pixels(prediction, truth, protocol)
        sizes.append(pair[0].size)
        if sizes[-1]:
            kept.append(_both_known(*pair))
    if not kept:
        raise DataError(
            f"none of the {len(sizes)} ground-truth depths has a pixel between {protocol.min_depth:g} and "
            f"{protocol.max_depth:g} m – check depth_factor in dataset.yaml"
        )
    ratios = np.array([np.median(truth) / np.median(prediction) for truth, prediction in kept])
    one_scale = float(np.median(ratios))
    constant = float(np.median([np.median(truth) for truth, _ in kept]))

    def errors_of(predictions: Iterable[np.ndarray]) -> list[dict[str, float]]:
        clipped = (np.clip(p, protocol.min_depth, protocol.max_depth) for p in predictions)
        return [compute_errors(truth, p) for (truth, _), p in zip(kept, clipped)]

    aligned = {
        "image": errors_of(ratio * p for ratio, (_, p) in zip(ratios, kept)),
        "set": errors_of(one_scale * p for _, p in kept),
        "none": errors_of(p for _, p in kept),
    }
    own = iter(row["abs_rel"] for row in aligned["image"])
    return Evaluation(
        errors={alignment: _mean(rows) for alignment, rows in aligned.items()},
        scale=one_scale,
        scale_spread=float(ratios.std() / ratios.mean()),
        constant=_mean(errors_of(np.full_like(p, constant) for _, p in kept)),
        coverage=sum(truth.size for truth, _ in kept) / sum(sizes),
        images=len(kept),
        skipped=len(sizes) - len(kept),
        per_image=[next(own) if size else float("nan") for size in sizes],
    )


def protocol_named(name: str) -> Protocol:
    """The protocol of a benchmark, or a ConfigError that lists them."""
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol '{name}' is unknown, expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def counted_pixels(prediction: np.ndarray, truth: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth and prediction of one image where the ground truth counts, as 1-D arrays; maybe empty."""
    height, width = truth.shape
    prediction = np.asarray(prediction, np.float32)
    if prediction.shape != truth.shape:
        prediction = cv2.resize(prediction, (width, height), interpolation=cv2.INTER_LINEAR)
    mask = protocol.mask(np.nan_to_num(truth, nan=0.0))
    return truth[mask], prediction[mask]


def _both_known(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of a prediction that hold a depth; having none is an error, not a good score."""
    if not truth.size:
        raise DataError("no pixel of the ground truth counts")
    known = np.isfinite(prediction) & (prediction > 0)
    if not known.any():
        raise DataError("a prediction has no finite depth above 0 where there is ground truth – is the network broken?")
    return (truth, prediction) if known.all() else (truth[known], prediction[known])


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in ERROR_NAMES}
