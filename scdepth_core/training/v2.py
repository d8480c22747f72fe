"""SC-Depth V2: V1 on source frames that RectifyNet has turned into the target's orientation, for hand-held video."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scdepth_core.geometry.warping import inverse_rotation_warp
from scdepth_core.losses import (
    ConsistencyOptions,
    consistency_loss,
    edge_aware_smoothness,
    pseudo_rotation,
    rotation_consistency_loss,
    rotation_magnitude,
    rotation_triplet_loss,
)
from scdepth_core.networks import RectifyNet
from scdepth_core.networks.normalization import denormalize
from scdepth_core.training.base import SCDepthModule, StepLoss, Views
from scdepth_core.training.pictures import view_pictures


@dataclass(frozen=True)
class V2Weights:
    """Factors of the terms in the total: those of V1, and 1 for each of the two rotation terms (V2)."""

    photometric: float = 1.0
    geometry: float = 0.1
    smoothness: float = 0.1
    rotation_consistency: float = 1.0
    rotation_triplet: float = 1.0


@dataclass(frozen=True)
class RectifiedFrames:
    """Frames after rectification: the target as it was, each source turned into the target's orientation.

    Attributes:
        frames: target, then sources, each (B, 3, H, W), normalised.
        seen: where each holds a picture, (B, 1, H, W) bool.
        rotations: r1 of each target-source pair, (B, 3) radians.
    """

    frames: list[Tensor]
    seen: list[Tensor]
    rotations: list[Tensor]


class SCDepthV2(SCDepthModule):
    """SC-Depth V2: for hand-held and indoor video, where rotation would drown the parallax that teaches depth."""

    version = "v2"

    def __init__(self, weights: V2Weights = V2Weights(), **kwargs):  # noqa: B008 - frozen
        super().__init__(weights=weights, **kwargs)

    def motion_networks(self) -> dict[str, nn.Module]:
        return super().motion_networks() | {"rectify_net": RectifyNet()}

    def compute_loss(self, batch: dict[str, Tensor]) -> StepLoss:
        frames, K = self.frames_of(batch), batch["K"]
        rectified = self.rectify(frames, K)
        before = torch.cat(rectified.rotations)
        pseudo = pseudo_rotation(before, self.step_generator(), self.options.reference_numerics)
        after, found = self.rotations_after(frames, rectified, pseudo, K)
        views = self.synthesize(rectified.frames, K, self.options, rectified.seen)
        with torch.autocast(self.device.type, enabled=False):
            consistency = consistency_loss(views.pairs, self.options)
            terms = {
                "photometric": consistency.photometric,
                "geometry": consistency.geometry,
                "smoothness": edge_aware_smoothness(views.depths[0], views.frames[0]),
                "rotation_consistency": rotation_consistency_loss(found, pseudo),
                "rotation_triplet": rotation_triplet_loss(before, after),
            }
        degrees = {"rotation_before": before, "rotation_after": after}
        logged = {name: math.degrees(1) * rotation_magnitude(r).mean() for name, r in degrees.items()}
        triptych = torch.cat([frames[0][0], frames[1][0], rectified.frames[1][0]], dim=-1)
        pictures = view_pictures(views) | {"rectified": denormalize(triptych.detach())}
        return StepLoss(terms, consistency.coverage, self.weights, logged, pictures)

    def views_of(self, batch: dict[str, Tensor], options: ConsistencyOptions) -> Views:
        rectified = self.rectify(self.frames_of(batch), batch["K"])
        return self.synthesize(rectified.frames, batch["K"], options, rectified.seen)

    def rectify(self, frames: list[Tensor], K: Tensor) -> RectifiedFrames:
        """Turn each source by r1 = f(target, source)."""
        target, sources = frames[0], frames[1:]
        rotations = self.predict_motion(self.rectify_net, [target] * len(sources), sources)
        turned = self.turn(sources, rotations, K)
        everywhere = torch.ones_like(turned[0][1])
        return RectifiedFrames(
            [target, *(image for image, _ in turned)], [everywhere, *(seen for _, seen in turned)], rotations
        )

    def turn(self, frames: list[Tensor], rotations: list[Tensor], K: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Each frame turned by its rotations, and where it holds a picture; in float32."""
        with torch.autocast(self.device.type, enabled=False):
            images, seen = inverse_rotation_warp(torch.cat(frames), torch.cat(rotations), K.repeat(len(frames), 1, 1))
        images = images.contiguous(memory_format=self.memory_format)
        return list(zip(images.chunk(len(frames)), seen.chunk(len(frames))))

    def rotations_after(
        self, frames: list[Tensor], rectified: RectifiedFrames, pseudo: Tensor, K: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What RectifyNet says of turned frames, for N sources.

        Returns:
            r2 = f(target, warp(source, r1)) and f(warp(source, r*), source), each (N B, 3).
        """
        target, sources = frames[0], frames[1:]
        known = [image for image, _ in self.turn(sources, list(pseudo.chunk(len(sources))), K)]
        first, second = [target] * len(sources) + known, rectified.frames[1:] + sources
        said = self.predict_motion(self.rectify_net, first, second)
        return torch.cat(said[: len(sources)]), torch.cat(said[len(sources) :])
