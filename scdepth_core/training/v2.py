"""SC-Depth V2: V1 on source frames that RectifyNet has turned into the target's orientation, for hand-held video."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scdepth_core.errors import ConfigError
from scdepth_core.geometry.pose import euler_to_matrix, rotation_angle
from scdepth_core.geometry.warping import inverse_rotation_warp
from scdepth_core.losses import (
    TRUSTED_ROTATION,
    ConsistencyOptions,
    consistency_loss,
    drawn_rotation,
    edge_aware_smoothness,
    fill_unseen,
    pseudo_rotation,
    rotation_consistency_loss,
    rotation_equivariance_loss,
    rotation_magnitude,
    rotation_triplet_loss,
)
from scdepth_core.networks import RectifyNet
from scdepth_core.networks.normalization import denormalize
from scdepth_core.training.base import SCDepthModule
from scdepth_core.training.pictures import view_pictures
from scdepth_core.training.step import StepLoss, Views


@dataclass(frozen=True)
class V2Weights:
    """Factors of the terms in the total: those of V1, 1 for each of the two rotation terms (V2), and 1 for a third, of
    our own, which `reference_numerics` leaves out.
    """

    photometric: float = 1.0
    geometry: float = 0.1
    smoothness: float = 0.1
    rotation_consistency: float = 1.0
    rotation_triplet: float = 1.0
    rotation_equivariance: float = 1.0


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


@dataclass(frozen=True)
class TurnedRotations:
    """What RectifyNet says once frames are turned, (N B, 3) radians each.

    Attributes:
        rectified: r2 = f(target, warp(source, r1)).
        known: f(warp(source, r*), source).
        turned: f(target, warp(source, r)) with r drawn; None where none was.
    """

    rectified: Tensor
    known: Tensor
    turned: Tensor | None = None


class SCDepthV2(SCDepthModule):
    """SC-Depth V2: for hand-held and indoor video, where rotation would drown the parallax that teaches depth.

    Args:
        rectify_warmup_steps: for so many steps at first RectifyNet learns alone, from frames turned by rotations that
            are known. Worth it where it starts from nothing or the camera turns much: behind a rotation that is not
            understood the other networks learn nothing. On several devices it needs --trainer.strategy
            ddp_find_unused_parameters_true.
    """

    version = "v2"

    def __init__(
        self,
        weights: V2Weights = V2Weights(),  # noqa: B008 - frozen
        rectify_warmup_steps: int = 0,
        **kwargs,
    ):
        super().__init__(weights=weights, **kwargs)
        if rectify_warmup_steps < 0:
            raise ConfigError(f"rectify_warmup_steps is {rectify_warmup_steps}, expected at least 0")
        self.save_hyperparameters({"rectify_warmup_steps": rectify_warmup_steps})
        self.rectify_warmup_steps = rectify_warmup_steps

    def motion_networks(self) -> dict[str, nn.Module]:
        return super().motion_networks() | {"rectify_net": RectifyNet()}

    @property
    def learns_depth(self) -> bool:
        return self.global_step >= self.rectify_warmup_steps

    def on_train_start(self) -> None:
        super().on_train_start()
        model = self.trainer.strategy.model
        if (
            self.rectify_warmup_steps
            and isinstance(model, DistributedDataParallel)
            and not model.find_unused_parameters
        ):
            raise ConfigError(
                f"rectify_warmup_steps is {self.rectify_warmup_steps}, and DDP expects all networks to learn in every "
                "step – add --trainer.strategy ddp_find_unused_parameters_true, or set it to 0"
            )

    def compute_loss(self, batch: dict[str, Tensor]) -> StepLoss:
        frames, K = self.frames_of(batch), batch["K"]
        if not self.learns_depth:
            return self.rectify_net_alone(torch.cat(frames), K.repeat(len(frames), 1, 1))
        rectified = self.rectify(frames, K)
        before = torch.cat(rectified.rotations)
        generator, drawn = self.step_generator(), None
        pseudo = pseudo_rotation(before, generator, self.options.reference_numerics)
        if self.weights.rotation_equivariance and not self.options.reference_numerics:
            drawn = drawn_rotation(len(before), TRUSTED_ROTATION[1], generator, self.device)
        said = self.rotations_after(frames, rectified, pseudo, drawn, K)
        views = self.synthesize(rectified.frames, K, self.options, rectified.seen)
        with torch.autocast(self.device.type, enabled=False):
            consistency = consistency_loss(views.pairs, self.options)
            terms = {
                "photometric": consistency.photometric,
                "geometry": consistency.geometry,
                "smoothness": edge_aware_smoothness(views.depths[0], views.frames[0]),
                "rotation_consistency": rotation_consistency_loss(said.known, pseudo),
                "rotation_triplet": rotation_triplet_loss(before, said.rectified),
            }
            if drawn is not None:
                terms["rotation_equivariance"] = rotation_equivariance_loss(before, said.turned, drawn)
        degrees = {"rotation_before": before, "rotation_after": said.rectified}
        logged = {name: math.degrees(1) * rotation_magnitude(r).mean() for name, r in degrees.items()}
        triptych = torch.cat([frames[0][0], frames[1][0], rectified.frames[1][0]], dim=-1)
        pictures = view_pictures(views) | {"rectified": denormalize(triptych.detach())}
        return StepLoss(terms, consistency.coverage, self.weights, logged, pictures)

    def rectify_net_alone(self, frames: Tensor, K: Tensor) -> StepLoss:
        """A step of the warm-up: single frames (B, 3, H, W), each beside itself turned by a rotation that was drawn."""
        true = drawn_rotation(len(frames), TRUSTED_ROTATION[1], self.step_generator(), frames.device)
        ((known, seen),) = self.turn([frames], [true], K)
        found = self.rectify_net(self.shown(known, seen, frames), frames).float()
        with torch.autocast(self.device.type, enabled=False):
            left = rotation_angle(euler_to_matrix(found.detach()) @ euler_to_matrix(true).transpose(1, 2))
        return StepLoss(
            {"rotation_consistency": rotation_consistency_loss(found, true)},
            seen.float().mean(),
            self.weights,
            {"rotation_error": math.degrees(1) * left.mean()},
            {"rectified": denormalize(torch.cat([frames[0], known[0]], dim=-1))},
        )

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

    def shown(self, turned: Tensor, seen: Tensor, frames: Tensor) -> Tensor:
        """Turned frames as RectifyNet gets to see them."""
        return turned if self.options.reference_numerics else fill_unseen(turned, seen, frames)

    def rotations_after(
        self, frames: list[Tensor], rectified: RectifiedFrames, pseudo: Tensor, drawn: Tensor | None, K: Tensor
    ) -> TurnedRotations:
        """What RectifyNet says of turned frames, for N sources, in one pass.

        Args:
            pseudo, drawn: (N B, 3) radians, rotations to turn the sources by.
        """
        target, sources = frames[0], frames[1:]
        targets = [target] * len(sources)
        turned = zip(rectified.frames[1:], rectified.seen[1:], sources)
        known = self.turned_to_be_shown(sources, pseudo, K)
        first, second = [*targets, *known], [*(self.shown(*frame) for frame in turned), *sources]
        if drawn is not None:
            first, second = [*first, *targets], [*second, *self.turned_to_be_shown(sources, drawn, K)]
        said = self.predict_motion(self.rectify_net, first, second)
        return TurnedRotations(*(torch.cat(said[i : i + len(sources)]) for i in range(0, len(said), len(sources))))

    def turned_to_be_shown(self, sources: list[Tensor], rotations: Tensor, K: Tensor) -> list[Tensor]:
        """Each of N sources turned by its share of (N B, 3) rotations, as RectifyNet gets to see it."""
        turned = self.turn(sources, list(rotations.chunk(len(sources))), K)
        return [self.shown(image, seen, source) for (image, seen), source in zip(turned, sources)]
