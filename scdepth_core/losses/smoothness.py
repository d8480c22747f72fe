"""Depth should bend where the image does."""

from __future__ import annotations

from torch import Tensor


def edge_aware_smoothness(depth: Tensor, image: Tensor) -> Tensor:
    """Mean of |∇ d*| exp(-|∇ I|) with d* the depth divided by its mean over the image (V1, eq. 6).

    Args:
        depth: (B, 1, H, W).
        image: (B, C, H, W) the same view, normalised.

    Returns:
        A scalar; zero for constant depth, unchanged when the depth is scaled.
    """
    depth = depth / (depth.mean(dim=(2, 3), keepdim=True) + 1e-7)
    loss = depth.new_zeros(())
    for dim in (2, 3):
        bend = depth.diff(dim=dim).abs()
        edge = image.diff(dim=dim).abs().mean(dim=1, keepdim=True)
        loss = loss + (bend * (-edge).exp()).mean()
    return loss
