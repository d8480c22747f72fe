"""SC-Depth V1: photometric and geometry consistency between frames, and smoothness of depth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scdepth_core.losses import consistency_loss, edge_aware_smoothness
from scdepth_core.training.base import SCDepthModule
from scdepth_core.training.pictures import view_pictures
from scdepth_core.training.step import StepLoss


@dataclass(frozen=True)
class V1Weights:
    """Factors of the terms in the total: L = photometric + 0.1 geometry + 0.1 smoothness (V1, eq. 8)."""

    photometric: float = 1.0
    geometry: float = 0.1
    smoothness: float = 0.1


class SCDepthV1(SCDepthModule):
    """SC-Depth V1: for cameras that move through a scene where little else moves."""

    version = "v1"

    def __init__(self, weights: V1Weights = V1Weights(), **kwargs):  # noqa: B008 - frozen
        super().__init__(weights=weights, **kwargs)

    def compute_loss(self, batch: dict[str, Tensor]) -> StepLoss:
        views = self.views_of(batch, self.options)
        with torch.autocast(self.device.type, enabled=False):
            consistency = consistency_loss(views.pairs, self.options)
            terms = {
                "photometric": consistency.photometric,
                "geometry": consistency.geometry,
                "smoothness": edge_aware_smoothness(views.depths[0], views.frames[0]),
            }
        return StepLoss(terms, consistency.coverage, self.weights, pictures=view_pictures(views))
