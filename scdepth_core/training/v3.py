"""SC-Depth V3: V1's consistency, and order and surface shape from the depth of another network, for dynamic scenes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scdepth_core.losses import (
    consistency_loss,
    dynamic_mask,
    dynamic_ranking_loss,
    normal_matching_loss,
    normal_ranking_loss,
    normals_known,
    surface_normals,
)
from scdepth_core.training.base import SCDepthModule
from scdepth_core.training.pictures import view_pictures
from scdepth_core.training.step import StepLoss


@dataclass(frozen=True)
class V3Weights:
    """Factors of the terms in the total (V3): smoothness gives way to what pseudo depth says."""

    photometric: float = 1.0
    geometry: float = 0.1
    normal_matching: float = 0.1
    dynamic_ranking: float = 0.1
    normal_ranking: float = 0.1


class SCDepthV3(SCDepthModule):
    """SC-Depth V3: for scenes where people and things move. Needs a pseudo depth of each frame."""

    version = "v3"
    reads_pseudo_depth = True

    def __init__(self, weights: V3Weights = V3Weights(), **kwargs):  # noqa: B008 - frozen
        super().__init__(weights=weights, **kwargs)

    def compute_loss(self, batch: dict[str, Tensor]) -> StepLoss:
        """The batch also has 'pseudo_depth' (B, 1, H, W) of the targets, up to scale, 0 where unknown."""
        views = self.views_of(batch, self.options)
        generator = self.step_generator()
        depth, pseudo = views.depths[0], batch["pseudo_depth"]
        with torch.autocast(self.device.type, enabled=False):
            consistency = consistency_loss(views.pairs, self.options)
            normals, pseudo_normals = (surface_normals(d, batch["K"]) for d in (depth, pseudo))
            terms = {
                "photometric": consistency.photometric,
                "geometry": consistency.geometry,
                "normal_matching": normal_matching_loss(normals, pseudo_normals, normals_known(pseudo)),
                "dynamic_ranking": dynamic_ranking_loss(depth, pseudo, dynamic_mask(views.pairs), generator),
                "normal_ranking": normal_ranking_loss(normals, pseudo_normals, pseudo, views.frames[0], generator),
            }
        pictures = view_pictures(views) | {"pseudo_depth": pseudo[0]}
        return StepLoss(terms, consistency.coverage, self.weights, pictures=pictures)
