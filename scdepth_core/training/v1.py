"""SC-Depth V1 as a Lightning module: DepthNet and PoseNet, photometric + geometry + smoothness."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from scdepth_core.errors import ConfigError, DataError
from scdepth_core.geometry.pose import pose_vec2mat
from scdepth_core.losses import ConsistencyOptions, consistency_loss, edge_aware_smoothness, view_synthesis
from scdepth_core.metrics import counted_pixels, depth_errors, protocol_named
from scdepth_core.networks import DepthNet, PoseNet, imagenet_state
from scdepth_core.networks.normalization import normalize
from scdepth_core.training.schedule import step_schedule
from scdepth_core.training.warm_start import warm_start

TERMS = ("photometric", "geometry", "smoothness")


@dataclass(frozen=True)
class LossWeights:
    """Factors of the terms in the total: L = photometric + 0.1 geometry + 0.1 smoothness (V1, eq. 8)."""

    photometric: float = 1.0
    geometry: float = 0.1
    smoothness: float = 0.1


@dataclass
class V1Loss:
    """Terms of one step, scalars; coverage is the share of pixels that the masks left."""

    photometric: Tensor
    geometry: Tensor
    smoothness: Tensor
    coverage: Tensor
    total: Tensor = field(init=False)
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self):
        total = (
            self.weights.photometric * self.photometric
            + self.weights.geometry * self.geometry
            + self.weights.smoothness * self.smoothness
        )
        self.total = total * (self.coverage > 0)  # an empty mask teaches nothing, smoothness alone would flatten depth


class SCDepthV1(pl.LightningModule):
    """SC-Depth V1.

    Args:
        encoder: backbone of DepthNet: resnet18 or resnet50.
        pretrained: where both encoders start: 'imagenet', a local torchvision state dict, or 'none'.
        start: weights to start both networks from: a checkpoint of `scdepth train`, or an inference file for DepthNet
            alone; takes the place of `pretrained` where it has a network.
        learning_rate: of Adam, at its highest.
        schedule: of the learning rate: 'constant', or 'cosine' down to 2 % at the end of the run.
        warmup_steps: the learning rate rises to its full value over this many steps.
        weights: of the loss terms.
        loss: which parts of the photometric and geometry terms are on.
        batch_frames: run each network once over all frames of a batch. Faster; batch-norm statistics then span the
            frames, which is another algorithm in small print. False runs it frame by frame, as the papers' code does.
        channels_last: memory layout of the networks; faster on most machines, same numbers.
        validation: 'depth' (AbsRel against ground truth, per-image median) or 'photometric'.
        protocol: which benchmark's depth range and crop validation uses.
    """

    version = "v1"

    def __init__(
        self,
        encoder: Literal["resnet18", "resnet50"] = "resnet18",
        pretrained: str = "imagenet",
        start: Path | None = None,
        learning_rate: float = 1e-4,
        schedule: Literal["constant", "cosine"] = "constant",
        warmup_steps: int = 0,
        weights: LossWeights = LossWeights(),  # noqa: B008 - frozen
        loss: ConsistencyOptions = ConsistencyOptions(),  # noqa: B008 - frozen
        batch_frames: bool = True,
        channels_last: bool = True,
        validation: Literal["depth", "photometric"] = "depth",
        protocol: str = "custom",
    ):
        super().__init__()
        if warmup_steps < 0:
            raise ConfigError(f"warmup_steps is {warmup_steps}, expected at least 0")
        self.save_hyperparameters(
            {
                "version": self.version,
                "encoder": encoder,
                "learning_rate": learning_rate,
                "schedule": schedule,
                "warmup_steps": warmup_steps,
                "weights": vars(weights),
                "loss": vars(loss),
                "batch_frames": batch_frames,
                "validation": validation,
                "protocol": protocol,
            }
        )
        self.depth_net, self.pose_net = DepthNet(encoder), PoseNet()
        for network, name in ((self.depth_net, encoder), (self.pose_net, "resnet18")):
            state = imagenet_state(name, pretrained)
            if state is not None:
                network.encoder.load_imagenet(state)
        if start is not None:
            warm_start(self.depth_net, self.pose_net, start)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)
        self.learning_rate, self.schedule, self.warmup_steps = learning_rate, schedule, warmup_steps
        self.weights, self.options = weights, loss
        self.batch_frames, self.validation = batch_frames, validation
        self.protocol = protocol_named(protocol)

    def configure_optimizers(self) -> dict:
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=self.learning_rate, fused=True)
        total = self.trainer.estimated_stepping_batches
        if self.schedule == "cosine" and total == float("inf"):
            raise ConfigError(
                "a cosine schedule needs the end of the run – set --trainer.max_epochs or --trainer.max_steps, or "
                "--model.schedule constant"
            )
        scheduler = step_schedule(optimizer, self.schedule, self.warmup_steps, total)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def forward(self, image: Tensor) -> Tensor:
        """Depth (B, 1, H, W) in network units of normalised images (B, 3, H, W)."""
        return self.depth_net(image.contiguous(memory_format=self.memory_format))

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        loss = self.compute_loss(batch)
        terms = {name: getattr(loss, name).detach() for name in ("total", *TERMS, "coverage")}
        self.log_dict({f"train/{name}": value for name, value in terms.items()})
        self.log("loss", loss.total.detach(), prog_bar=True, logger=False)
        return loss.total

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        if self.validation == "photometric":
            # weighing by 1 - D would reward depth that contradicts itself
            loss = self.compute_loss(batch, replace(self.options, dynamic_mask=False))
            # a collapsed model leaves no pixel to compare: that is a bad score, not a perfect one
            score = torch.where(loss.coverage > 0.01, loss.photometric, torch.inf)
            self.log("val/score", score, prog_bar=True, batch_size=len(batch["K"]), sync_dist=True)
            self.log("val/coverage", loss.coverage, batch_size=len(batch["K"]), sync_dist=True)
            return
        depth = self(normalize(batch["image"]))[0, 0].float().cpu().numpy()
        truth = batch["depth"][0].cpu().numpy()
        known, predicted = counted_pixels(depth, truth, self.protocol)
        if not known.size:  # a frame without any reading says nothing about the network
            self.without_truth += 1
            return
        errors = depth_errors(depth, truth, self.protocol)
        self.log("val/score", errors["abs_rel"], prog_bar=True, batch_size=1, sync_dist=True)
        self.log_dict({f"val/{name}": errors[name] for name in ("abs_rel", "rmse", "a1")}, batch_size=1, sync_dist=True)
        self.ratios.append(np.median(known) / np.median(predicted))

    def on_validation_epoch_start(self) -> None:
        self.ratios: list[float] = []
        self.without_truth = 0

    def on_validation_epoch_end(self) -> None:
        if self.validation != "depth" or self.trainer.sanity_checking:
            return
        if not self.ratios:
            raise DataError(
                f"none of the {self.without_truth} validation frames has a depth between {self.protocol.min_depth:g} "
                f"and {self.protocol.max_depth:g} m – check depth_factor in dataset.yaml, or validate without: "
                "--model.validation photometric"
            )
        self.log("val/scale_spread", float(np.std(self.ratios) / np.mean(self.ratios)), sync_dist=True)
        self.log("val/frames_without_truth", float(self.without_truth), sync_dist=True)

    def compute_loss(self, batch: dict[str, Tensor], options: ConsistencyOptions | None = None) -> V1Loss:
        """Loss of a batch {'images': (B, 3 frames, 3, H, W) uint8, target first; 'K': (B, 3, 3)}.

        Args:
            options: instead of the module's own, for validation.
        """
        options = options or self.options
        frames = [frame.contiguous(memory_format=self.memory_format) for frame in normalize(batch["images"]).unbind(1)]
        depths = self.predict_depths(frames)
        poses, inverse_poses = self.predict_poses(frames)
        with torch.autocast(self.device.type, enabled=False):  # geometry stays in float32
            pairs, _ = view_synthesis(frames, depths, poses, inverse_poses, batch["K"], options)
            consistency = consistency_loss(pairs, options)
            return V1Loss(
                consistency.photometric,
                consistency.geometry,
                edge_aware_smoothness(depths[0], frames[0]),
                consistency.coverage,
                weights=self.weights,
            )

    def predict_depths(self, frames: list[Tensor]) -> list[Tensor]:
        """Depth of each frame, (B, 1, H, W)."""
        if not self.batch_frames:
            return [self.depth_net(frame) for frame in frames]
        return list(self.depth_net(torch.cat(frames)).chunk(len(frames)))

    def predict_poses(self, frames: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Transforms target to each source, and back as a second prediction; each (B, 3, 4)."""
        target, sources = frames[0], frames[1:]
        first, second = [target] * len(sources) + sources, sources + [target] * len(sources)
        if self.batch_frames:
            vectors = self.pose_net(torch.cat(first), torch.cat(second)).chunk(len(first))
        else:
            vectors = [self.pose_net(a, b) for a, b in zip(first, second)]
        transforms = [pose_vec2mat(vector) for vector in vectors]
        return transforms[: len(sources)], transforms[len(sources) :]
