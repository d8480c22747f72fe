"""Validation against measured depth, frame by frame, or without any, by how well frames explain each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

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


class PhotometricValidation:
    """Photometric error of one pass over the validation samples, as a mean over all pixels that took part."""

    LEAST_COVERAGE = 0.01  # of all pixels; a collapsed model leaves none to compare: a bad score, not a perfect one

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Start a new pass."""
        self.sums: Tensor | None = None

    def add(self, photometric: Tensor, coverage: Tensor, samples: int) -> None:
        """Mean error of a batch over its pixels that count, and their share, both scalars."""
        sums = samples * torch.stack([photometric * coverage, coverage, torch.ones_like(coverage)]).detach()
        self.sums = sums if self.sums is None else self.sums + sums

    def summary(self, reduce: Callable[..., Tensor]) -> dict[str, Tensor]:
        """Score and coverage; one still batch says little, so the whole pass decides whether there is a score.

        Args:
            reduce: sums a tensor over the processes, as a strategy's `reduce` does.
        """
        error, covered, samples = reduce(self.sums, reduce_op="sum")
        coverage = covered / samples
        score = torch.where(coverage > self.LEAST_COVERAGE, error / covered, torch.inf)
        return {"score": score, "coverage": coverage}
