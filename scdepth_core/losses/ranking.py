"""Order of depth in moving regions, learnt from a pseudo depth (V3, dynamic region refinement)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scdepth_core.losses.reduction import masked_mean

DYNAMIC_SHARE = 0.2  # of the pixels: those that the views agree on least
GLOBAL_SHARE = 0.1  # of the pixels: pairs from anywhere, which keep the whole image in order
RATIO = 1.15  # of pseudo depth, from which on the order counts


def dynamic_ranking_loss(
    depth: Tensor, pseudo_depth: Tensor, consistency: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Mean of softplus(-l (z_a - z_b)) over pairs of pixels whose pseudo depth differs by more than 15 %.

    l is +1 where the pseudo depth says that a is farther, -1 where it is nearer. Each of the least consistent 20 % of
    the pixels is paired with a random one of the others, and as many pairs as 10 % of the pixels come from anywhere.

    Args:
        depth: (B, 1, H, W) of the target, network units.
        pseudo_depth: (B, 1, H, W), up to scale; 0 where unknown.
        consistency: (B, 1, H, W) self-discovered mask, 1 - D.
        generator: of the pairs.

    Returns:
        A scalar; 0 with a zero gradient where no pair counts.
    """
    depth, pseudo = depth.flatten(1), pseudo_depth.flatten(1)
    a, b = (
        torch.cat(ends, dim=1)
        for ends in zip(
            dynamic_pairs(consistency.detach().flatten(1), generator), random_pairs(depth, GLOBAL_SHARE, generator)
        )
    )
    far_a, far_b = pseudo.gather(1, a), pseudo.gather(1, b)
    order = (far_a > RATIO * far_b).to(depth.dtype) - (far_b > RATIO * far_a).to(depth.dtype)
    counts = (order != 0) & (far_a > 0) & (far_b > 0)
    return masked_mean(F.softplus(-order * (depth.gather(1, a) - depth.gather(1, b))), counts)


def dynamic_pairs(consistency: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Indices (B, n) of the least consistent fifth of (B, P) pixels, and of a random reliable partner for each."""
    order = consistency.argsort(dim=1)
    count = int(DYNAMIC_SHARE * order.shape[1])
    dynamic, reliable = order[:, :count], order[:, count:]
    drawn = torch.randint(reliable.shape[1], dynamic.shape, generator=generator, device=order.device)
    return dynamic, reliable.gather(1, drawn)


def random_pairs(pixels: Tensor, share: float, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Indices (B, n) twice: a share of (B, P) pixels, drawn from all of them."""
    batch, count = pixels.shape
    drawn = torch.randint(count, (2, batch, int(share * count)), generator=generator, device=pixels.device)
    return drawn[0], drawn[1]
