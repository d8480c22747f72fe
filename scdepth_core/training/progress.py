"""The progress bar of a training run, with its speed in images a second."""

from __future__ import annotations

import time

from pytorch_lightning.callbacks import TQDMProgressBar


class ImageProgressBar(TQDMProgressBar):
    """Steps, remaining time and losses as Lightning shows them, and the frames that all processes trained on a second.

    Averages since the last refresh, so that waiting for data shows.
    """

    def __init__(self):
        super().__init__(refresh_rate=10)
        self._images, self._since, self._rate = 0, time.perf_counter(), 0.0

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self._images, self._since = 0, time.perf_counter()
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        samples, frames = batch["images"].shape[:2]
        self._images += samples * frames * trainer.world_size
        if (batch_idx + 1) % self.refresh_rate == 0 or trainer.is_last_batch:
            now = time.perf_counter()
            self._rate = self._images / (now - self._since)
            self._images, self._since = 0, now
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer, pl_module) -> dict:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics | ({"images/s": f"{self._rate:.1f}"} if self._rate else {})
