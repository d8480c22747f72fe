"""What V1, V2 and V3 share as Lightning modules: networks, optimiser, warped views of a batch, validation."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from scdepth_core.errors import ConfigError
from scdepth_core.geometry.pose import pose_vec2mat
from scdepth_core.losses import ConsistencyOptions, consistency_loss, view_synthesis
from scdepth_core.machine import has_only_avx2
from scdepth_core.metrics import protocol_named
from scdepth_core.networks import DepthNet, PoseNet
from scdepth_core.networks.elu import use_tiled_elu
from scdepth_core.networks.normalization import normalize
from scdepth_core.networks.stem import use_quick_stem
from scdepth_core.networks.winograd import use_winograd
from scdepth_core.training.schedule import restart_schedule, step_schedule
from scdepth_core.training.step import StepLoss, Views
from scdepth_core.training.validation import DepthValidation, PhotometricValidation
from scdepth_core.training.warm_start import warm_start

COMPILER = "inductor"


class SCDepthModule(pl.LightningModule):
    """Base of the versions. A version says what its loss is, and which networks it has beside DepthNet and PoseNet.

    Args:
        weights: of the loss terms, each finite and at least 0.
        encoder: backbone of DepthNet: resnet18, resnet50, mobilenet_v2, mobilenet_v3_small, mobilenet_v3_large, or
            timm/NAME for any feature backbone of the timm library.
        decoder: full, or half: half as many channels everywhere, for small CPUs.
        pretrained: where all encoders start: 'imagenet', a local file of ImageNet weights, a folder of such files, or
            'none'.
        start: weights to start the networks from: a checkpoint of `scdepth train`, or an inference file for DepthNet
            alone; takes the place of `pretrained` where it has a network.
        learning_rate: of Adam, at its highest.
        schedule: of the learning rate: 'constant', or 'cosine' down to 2 % at the end of the run.
        warmup_steps: the learning rate rises to its full value over this many steps.
        loss: which parts of the photometric and geometry terms are on.
        batch_frames: run each network once over all frames of a batch, which keeps a GPU busy; batch-norm statistics
            then span the frames, which is another algorithm in small print. False runs it frame by frame, as the
            papers' code does.
        channels_last: memory layout of the networks; faster on most machines, same numbers.
        winograd: compute 3x3 convolutions by Winograd in float32 on a CPU: same numbers but for rounding. None
            does so on CPUs that have AVX2 and no AVX-512, where a step takes a quarter less time.
        compile: compile networks, warps and error maps with torch.compile: minutes at the start, faster steps on a GPU.
        validation: 'depth' (AbsRel against ground truth, per-image median) or 'photometric'.
        protocol: which benchmark's depth range and crop validation uses; without it, that of the data set's preset.
    """

    version: str
    reads_pseudo_depth = False
    micro_batch = 0  # of those whose gradients make one step

    def __init__(
        self,
        weights: object,
        encoder: str = "resnet18",
        decoder: Literal["full", "half"] = "full",
        pretrained: str = "imagenet",
        start: Path | None = None,
        learning_rate: float = 1e-4,
        schedule: Literal["constant", "cosine"] = "constant",
        warmup_steps: int = 0,
        loss: ConsistencyOptions = ConsistencyOptions(),  # noqa: B008 - frozen
        batch_frames: bool = True,
        channels_last: bool = True,
        winograd: bool | None = None,
        compile: bool = False,
        validation: Literal["depth", "photometric"] = "depth",
        protocol: str | None = None,
    ):
        super().__init__()
        if warmup_steps < 0:
            raise ConfigError(f"warmup_steps is {warmup_steps}, expected at least 0")
        for name, factor in vars(weights).items():
            if not 0 <= factor < float("inf"):
                raise ConfigError(f"weights.{name} is {factor:g}, expected a finite number of at least 0")
        self.save_hyperparameters(
            {
                "version": self.version,
                "encoder": encoder,
                "decoder": decoder,
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
        self.depth_net = DepthNet(encoder, decoder=decoder)
        for name, network in self.motion_networks().items():
            setattr(self, name, network)
        started = warm_start(self, start) if start is not None else set()
        for name, network in self.named_children():
            if name not in started:
                network.encoder.start_from(pretrained)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)
        if has_only_avx2() if winograd is None else winograd:
            use_winograd(self)
        self.learning_rate, self.schedule, self.warmup_steps = learning_rate, schedule, warmup_steps
        self.weights, self.options = weights, loss
        self.batch_frames, self.validation = batch_frames, validation
        self.depth_validation = DepthValidation(protocol_named(protocol or "custom"))
        self.photometric_validation = PhotometricValidation()
        self.view_synthesis = view_synthesis
        if compile:
            for network in self.children():
                network.compile(backend=COMPILER)
            self.view_synthesis = torch.compile(view_synthesis, backend=COMPILER)

    def setup(self, stage: str) -> None:
        """Quick layers, and validation by the protocol of the data set where none was named."""
        self.use_quick_layers()
        if self.hparams["protocol"] is None and self.trainer.datamodule is not None:
            protocol = self.trainer.datamodule.folder.preset.protocol
            self.save_hyperparameters({"protocol": protocol})
            self.depth_validation = DepthValidation(protocol_named(protocol))

    def use_quick_layers(self) -> None:
        """Layers that come to the same, but for rounding, in less time on a CPU."""
        use_tiled_elu(self)
        use_quick_stem(self)

    def motion_networks(self) -> dict[str, nn.Module]:
        """Networks on pairs of frames, by the name they have in checkpoints."""
        return {"pose_net": PoseNet()}

    @property
    def learns_depth(self) -> bool:
        """Whether steps train DepthNet by now; before, its score says nothing."""
        return True

    @abstractmethod
    def compute_loss(self, batch: dict[str, Tensor]) -> StepLoss:
        """Loss of a batch {'images': (B, 3 frames, 3, H, W) uint8, target first; 'K': (B, 3, 3); ...}."""

    def views_of(self, batch: dict[str, Tensor], options: ConsistencyOptions) -> Views:
        """Depth and motion of a batch, and its frames warped into each other."""
        return self.synthesize(self.frames_of(batch), batch["K"], options)

    def frames_of(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Normalised frames of a batch, target first, each (B, 3, H, W)."""
        return [frame.contiguous(memory_format=self.memory_format) for frame in normalize(batch["images"]).unbind(1)]

    def synthesize(
        self, frames: list[Tensor], K: Tensor, options: ConsistencyOptions, seen: list[Tensor] | None = None
    ) -> Views:
        """Warp the frames into each other through predicted depth and motion; geometry stays in float32."""
        depths = self.predict_depths(frames)
        poses, inverse_poses = self.predict_poses(frames)
        with torch.autocast(self.device.type, enabled=False):
            pairs, warps = self.view_synthesis(frames, depths, poses, inverse_poses, K, options, seen)
        return Views(frames, depths, pairs, warps)

    def predict_depths(self, frames: list[Tensor]) -> list[Tensor]:
        """Depth of each frame, (B, 1, H, W)."""
        if not self.batch_frames:
            return [self.depth_net(frame) for frame in frames]
        return list(self.depth_net(torch.cat(frames)).chunk(len(frames)))

    def predict_poses(self, frames: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Transforms target to each source, and back as a second prediction; each (B, 3, 4)."""
        target, sources = frames[0], frames[1:]
        first, second = [target] * len(sources) + sources, sources + [target] * len(sources)
        transforms = [pose_vec2mat(vector) for vector in self.predict_motion(self.pose_net, first, second)]
        return transforms[: len(sources)], transforms[len(sources) :]

    def predict_motion(self, network: nn.Module, first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
        """What a network on pairs says of each pair: in one pass, or one after the other."""
        if not self.batch_frames:
            return [network(a, b) for a, b in zip(first, second)]
        return list(network(torch.cat(first), torch.cat(second)).chunk(len(first)))

    def forward(self, image: Tensor) -> Tensor:
        """Depth (B, 1, H, W) in network units of normalised images (B, 3, H, W)."""
        return self.depth_net(image.contiguous(memory_format=self.memory_format))

    def training_step(self, batch: dict[str, Tensor], index: int) -> dict:
        self.micro_batch = index % self.trainer.accumulate_grad_batches
        loss = self.compute_loss(batch)
        scalars = {"total": loss.total, **loss.terms, "coverage": loss.coverage, **loss.logged}
        self.log_dict({f"train/{name}": value.detach() for name, value in scalars.items()})
        self.log("loss", loss.total.detach(), prog_bar=True, logger=False)
        return {"loss": loss.total, "pictures": loss.pictures}

    def step_generator(self) -> torch.Generator:
        """Random numbers of this batch, that a resumed run repeats: they depend on seed, step and process alone."""
        keys = (torch.initial_seed(), self.global_step, self.micro_batch, self.global_rank)
        return torch.Generator(self.device).manual_seed(hash(keys) % 2**63)

    def adam(self, fused: bool | None = True) -> torch.optim.Adam:
        """Adam on what is trained; `fused` None leaves it to PyTorch how it runs."""
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=self.learning_rate, fused=fused)

    def configure_optimizers(self) -> dict:
        # A fused step unscales float16 gradients itself, after they would have had to be clipped or left out; Lightning
        # takes bfloat16 for the same when it clips.
        scaled = self.trainer.precision == "16-mixed"
        clipped = self.trainer.precision == "bf16-mixed" and self.trainer.gradient_clip_val
        optimizer = self.adam(fused=None if scaled or clipped else True)
        total = self.trainer.estimated_stepping_batches
        if self.schedule == "cosine" and total == float("inf"):
            raise ConfigError(
                "a cosine schedule needs the end of the run – set --trainer.max_epochs or --trainer.max_steps, or "
                "--model.schedule constant"
            )
        scheduler = step_schedule(optimizer, self.schedule, self.warmup_steps, total)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_start(self) -> None:
        """The learning rate is that of these settings: a resumed run brings the one of its checkpoint along."""
        for config in self.trainer.lr_scheduler_configs:
            restart_schedule(config.scheduler, self.learning_rate)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leave the weights where the masks left no pixel on any process: momentum alone would still move them."""
        learning = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not any(p.grad.any() for p in learning):
            for parameter in learning:
                parameter.grad = None

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        if self.validation == "depth":
            depth = self(normalize(batch["image"]))[0, 0].float().cpu().numpy()
            errors = self.depth_validation.add(depth, batch["depth"][0].cpu().numpy())
            for name, value in errors.items():
                self.log(f"val/{name}", value, prog_bar=name == "score", batch_size=1, sync_dist=True)
            return
        # weighing by 1 - D would reward depth that contradicts itself
        options = replace(self.options, dynamic_mask=False)
        loss = consistency_loss(self.views_of(batch, options).pairs, options)
        self.photometric_validation.add(loss.photometric, loss.coverage, len(batch["K"]))

    def on_validation_epoch_start(self) -> None:
        self.depth_validation.reset()
        self.photometric_validation.reset()

    def on_validation_epoch_end(self) -> None:
        if self.validation == "photometric":
            summary = self.photometric_validation.summary(self.trainer.strategy.reduce)
        elif not self.trainer.sanity_checking:
            summary = self.depth_validation.summary()
        else:
            summary = {}
        for name, value in summary.items():
            self.log(f"val/{name}", value, prog_bar=name == "score", sync_dist=True)
