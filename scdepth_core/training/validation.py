"""Validation against measured depth, frame by frame."""

from __future__ import annotations

import numpy as np

from scdepth_core.errors import DataError
from scdepth_core.metrics import Protocol, counted_pixels, depth_errors


class DepthValidation:
    """Errors of one pass over the validation frames, each aligned by its own median.

    Attributes:
        protocol: whose depth range and crop count.
    """

    def __init__(self, protocol: Protocol):
        self.protocol = protocol
        self.reset()

    def reset(self) -> None:
        """Start a new pass."""
        self.ratios: list[float] = []
        self.without_truth = 0

    def add(self, depth: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Errors of a frame, depth (h, w) in network units against truth (H, W) in metres; none without any truth."""
        known, predicted = counted_pixels(depth, truth, self.protocol)
        if not known.size:  # a frame without any reading says nothing about the network
            self.without_truth += 1
            return {}
        self.ratios.append(float(np.median(known) / np.median(predicted)))
        errors = depth_errors(depth, truth, self.protocol)
        return {"score": errors["abs_rel"], **{name: errors[name] for name in ("abs_rel", "rmse", "a1")}}

    def summary(self) -> dict[str, float]:
        """Spread of the scale over the frames, std / mean, and how many frames said nothing.

        Raises:
            DataError: when none said anything.
        """
        if not self.ratios:
            raise DataError(
                f"none of the {self.without_truth} validation frames has a depth between {self.protocol.min_depth:g} "
                f"and {self.protocol.max_depth:g} m – check depth_factor in dataset.yaml, or validate without: "
                "--model.validation photometric"
            )
        spread = float(np.std(self.ratios) / np.mean(self.ratios))
        return {"scale_spread": spread, "frames_without_truth": float(self.without_truth)}
