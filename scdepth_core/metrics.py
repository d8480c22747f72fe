"""Depth errors of one image as the field reports them, under the protocol of each benchmark."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scdepth_core.errors import ConfigError, DataError
from scdepth_core.presets import PROTOCOL_SETTINGS

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
                f"ground truth is {truth.shape[1]}x{truth.shape[0]}, this protocol crops {self.size[1]}x{self.size[0]} "
                "– take the one that counts the whole image: --protocol custom, in training --model.protocol custom"
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


PROTOCOLS = {name: Protocol(**settings) for name, settings in PROTOCOL_SETTINGS.items()}


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
    truth, prediction = both_known(truth, prediction)
    if scale is None:
        scale = np.median(truth) / np.median(prediction)
    return compute_errors(truth, np.clip(scale * prediction, protocol.min_depth, protocol.max_depth))


def protocol_named(name: str) -> Protocol:
    """The protocol of a benchmark, or a ConfigError that lists them."""
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol '{name}' is unknown, expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def counted_pixels(prediction: np.ndarray, truth: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """Ground truth and prediction of one image where the ground truth counts, as 1-D arrays; maybe empty.

    Raises:
        DataError: one of them is no image, or has no pixel.
    """
    prediction = np.asarray(prediction, np.float32)
    if truth.ndim != 2 or prediction.ndim != 2 or not truth.size or not prediction.size:
        raise DataError(
            f"a prediction of shape {prediction.shape} and ground truth of {truth.shape}, expected (H, W) with pixels "
            "– write them again"
        )
    height, width = truth.shape
    if prediction.shape != truth.shape:
        prediction = cv2.resize(prediction, (width, height), interpolation=cv2.INTER_LINEAR)
    mask = protocol.mask(np.nan_to_num(truth, nan=0.0))
    return truth[mask], prediction[mask]


def both_known(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of a prediction that hold a depth; having none is an error, not a good score."""
    if not truth.size:
        raise DataError("no pixel of the ground truth counts")
    known = np.isfinite(prediction) & (prediction > 0)
    if not known.any():
        raise DataError("a prediction has no finite depth above 0 where there is ground truth – is the network broken?")
    return (truth, prediction) if known.all() else (truth[known], prediction[known])
