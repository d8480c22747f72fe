"""Stop a run whose score no longer improves, and not before depth learns."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping


class Patience(EarlyStopping):
    """Early stopping by the validation score, from the first validation on in which depth learns.

    A score of infinity is bad, and no reason to stop.

    Args:
        validations: without a better score, after which the run stops.
    """

    def __init__(self, validations: int):
        super().__init__("val/score", patience=validations, check_finite=False, check_on_train_epoch_end=False)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if pl_module.learns_depth:
            super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict) -> None:
        super().load_state_dict(state_dict | {"patience": self.patience})  # a resumed run may ask for another

    @property
    def verdict(self) -> str | None:
        """Why it stopped the run, as a sentence; None where it did not."""
        if self.wait_count < self.patience:
            return None
        validations = f"{self.wait_count} validation{'s' if self.wait_count > 1 else ''}"
        return f"stopped by --patience: {validations} in a row without a better score"
