"""How the learning rate moves over a run."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

SCHEDULES = ("constant", "cosine")
FLOOR = 0.02  # of the learning rate, at the end of a cosine


def step_schedule(optimizer: Optimizer, shape: str, warmup: int, total: float) -> LambdaLR:
    """A scheduler to step after every optimisation step.

    Args:
        shape: 'constant', or 'cosine' down to 2 % at the end of the run.
        warmup: steps over which the rate rises from near zero to its full value.
        total: steps of the whole run; infinite for a run without an end, which a cosine cannot follow.
    """

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / (warmup + 1))
        if shape == "constant":
            return rise
        done = min(1.0, step / max(total, 1))
        return rise * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))

    return LambdaLR(optimizer, factor)


def restart_schedule(scheduler: LambdaLR, rate: float) -> None:
    """Go on from the scheduler's step at another full rate, from the next optimisation step on."""
    scheduler.base_lrs = [rate] * len(scheduler.base_lrs)
    for group, factor in zip(scheduler.optimizer.param_groups, scheduler.lr_lambdas):
        group["initial_lr"], group["lr"] = rate, rate * factor(scheduler.last_epoch)
