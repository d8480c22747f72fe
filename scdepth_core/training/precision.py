"""What the networks compute in while they train; geometry and losses are in float32 whatever is chosen."""

from __future__ import annotations

import sys

import torch

from scdepth_core.machine import cpu_features

MIXED = ("bf16-mixed", "16-mixed")  # on a CPU both compute in bfloat16
PRECISIONS = ("auto", "32-true", *MIXED)


def chosen_precision(asked: str, accelerator: object) -> str:
    """The precision for Lightning's trainer.

    Args:
        asked: one of PRECISIONS. 'auto' is bf16-mixed where the device has instructions for bfloat16, else 32-true, and
            says so on stderr. A mixed precision on a CPU without them is obeyed, with a sentence about what it costs.
        accelerator: as given to the trainer: 'auto', 'cpu', 'gpu', …
    """
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available())
    if on_cpu:
        fast = "bfloat16" in cpu_features()
    else:
        fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    if asked == "auto":
        chosen = "bf16-mixed" if fast else "32-true"
        print(f"precision: {chosen}, because this device {'has' if fast else 'lacks'} bfloat16", file=sys.stderr)
        return chosen
    if asked in MIXED and on_cpu and not fast:
        print(
            f"--trainer.precision is {asked}, but this CPU has no instructions for bfloat16: steps take several times "
            "as long as in 32-true – use 32-true or auto",
            file=sys.stderr,
        )
    return asked
