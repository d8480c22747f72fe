"""From maps to numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values where mask is true; 0 with a zero gradient where it never is."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)
