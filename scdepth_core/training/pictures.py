"""What the networks make of a sample, as pictures in TensorBoard."""

from __future__ import annotations

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from scdepth_core.errors import ConfigError
from scdepth_core.networks.normalization import denormalize
from scdepth_core.training.step import Views
from scdepth_core.visualization import colorize_depth

DEPTHS = ("depth", "pseudo_depth")  # shown in the colours of depth, each in its own range


def view_pictures(views: Views) -> dict[str, Tensor]:
    """Of the batch's first sample: the target, its depth, a source warped into it, and where and how it differs.

    Returns:
        target and warp (3, H, W) in [0, 1]; depth (1, H, W) in network units; mask (1, H, W), 1 where the pixel counts;
        consistency (1, H, W), 1 - D; error (1, H, W), photometric. Nothing has a gradient.
    """
    pair, warp = views.pairs[0], views.warps[0]
    with torch.no_grad():
        return {
            "target": denormalize(views.frames[0][0]),
            "depth": views.depths[0][0].float(),
            "warp": denormalize(warp.image[0]),
            "mask": pair.valid[0].float(),
            "consistency": 1 - pair.geometry[0],
            "error": pair.photometric[0].clamp(0, 1),
        }


class PictureLogger(pl.Callback):
    """Pictures of the first sample of a batch, every so many steps, under train/ in TensorBoard."""

    def __init__(self, every: int):
        if every < 1:
            raise ConfigError(f"pictures is {every}, expected steps between them, or 0 for none")
        self.every, self._step = every, 0

    def on_train_start(self, trainer, pl_module) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        ended, self._step = trainer.global_step > self._step, trainer.global_step
        if not trainer.is_global_zero or not ended or trainer.global_step % self.every:
            return
        for name, picture in outputs["pictures"].items():
            values = picture.detach().float().cpu().numpy()
            if name in DEPTHS:
                known = values[values > 0]
                near, far = np.percentile(known, (2, 98)) if known.size else (1.0, 1.0)
                values = colorize_depth(values[0], near, far).transpose(2, 0, 1) / 255.0
            trainer.logger.experiment.add_image(f"train/{name}", values, trainer.global_step)
