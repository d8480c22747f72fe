"""Which network a file holds, so that networks that were trained together can be told from others."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from scdepth_core.checkpoint import never_runs


def network_fingerprint(state: dict[str, Tensor]) -> str:
    """16 hexadecimal digits that change with any parameter of a network that runs.

    They are of the values in half precision, so that a file that was packed with --half has those of the checkpoint.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        if not never_runs(name):
            digest.update(name.encode())
            digest.update(state[name].detach().cpu().to(torch.float16).contiguous().numpy())
    return digest.hexdigest()[:16]
