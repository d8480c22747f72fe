"""Stop before a value that is not finite reaches the weights, and keep what caused it."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
import torch

from scdepth_core.errors import TrainingError
from scdepth_core.training.checkpoint_io import save_whole

SMALLEST_SCALE = 1.0  # of a loss in float16; the scaler begins at 65,536


class NanGuard(pl.Callback):
    """Looks at the gradients before each optimisation step; the weights stay as they were.

    A gradient is not finite where its loss is not, so one look covers both. In float16, infinite gradients are how the
    loss scaler finds its scale, and it leaves such steps out itself. There the loss counts, and the scale: one below 1
    was halved step after step, because gradients that are NaN are so at any scale.

    Args:
        folder: where the batch goes, as bad_batch_step<N>_rank<R>.pt: a dict that torch.load reads with weights_only.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._batch, self._loss = None, None

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self._batch = batch

    def on_before_backward(self, trainer, pl_module, loss) -> None:
        self._loss = loss.detach()

    def on_after_backward(self, trainer, pl_module) -> None:
        finite = self._loss.isfinite()
        if trainer.precision == "16-mixed":
            finite = finite & (trainer.precision_plugin.scaler.get_scale() >= SMALLEST_SCALE)
        else:
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            finite = finite & torch.nn.utils.get_total_norm(gradients).isfinite()
        if finite:
            return
        step = trainer.global_step
        path = self.folder / f"bad_batch_step{step}_rank{trainer.global_rank}.pt"
        loss = float(self._loss)
        save_whole({"batch": {k: v.cpu() for k, v in self._batch.items()}, "loss": loss, "step": step}, path)
        raise TrainingError(
            f"the {'gradient' if self._loss.isfinite() else 'loss'} of step {step} is not finite (loss {loss:g}); its "
            f"batch is in '{path}' – look at it, lower --model.learning_rate or set --trainer.gradient_clip_val 1, and "
            "go on from the last epoch with --resume last"
        )
