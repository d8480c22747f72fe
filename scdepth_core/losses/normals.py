"""Surface normals of a depth map, and how far two sets of them are apart (V3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scdepth_core.geometry.projection import backproject
from scdepth_core.losses.reduction import masked_mean


def surface_normals(depth: Tensor, K: Tensor) -> Tensor:
    """Unit normals (B, 3, H, W) from depth (B, 1, H, W): cross product of the Sobel gradients of the points."""
    gradients = sobel(backproject(depth, K))
    return _unit(torch.cross(gradients[:, :, 0], gradients[:, :, 1], dim=1))


def _unit(vectors: Tensor) -> Tensor:
    """Vectors (B, 3, H, W) at length 1; shorter ones than 1e-12 stay short. On a CPU a norm over channels is slow."""
    x, y, z = vectors.unbind(1)
    length = (x * x + y * y + z * z).clamp(min=1e-24).sqrt()
    return vectors / length[:, None]


def normals_known(depth: Tensor) -> Tensor:
    """Where a depth map (B, 1, H, W) with 0 for unknown has normals: all nine pixels are known; (B, 1, H, W) bool."""
    return -F.max_pool2d(-(depth > 0).float(), 3, stride=1, padding=1) > 0


def normal_matching_loss(normals: Tensor, reference: Tensor, known: Tensor | None = None) -> Tensor:
    """Mean |n - n*| over all components (V3, eq. 5), where `known` (B, 1, H, W) is true; 0 where it never is."""
    error = (normals - reference).abs().mean(dim=1, keepdim=True)
    return error.mean() if known is None else masked_mean(error, known)


def sobel(values: Tensor) -> Tensor:
    """Gradients (B, C, 2, H, W) along x and y, a pixel, of (B, C, H, W).

    Sums, not a convolution, which on a GPU rounds to the 10 bits of TF32 before it subtracts neighbours, and on a CPU
    takes seven times as long.
    """
    padded = F.pad(values, [1] * 4, mode="replicate")
    smooth_y = (padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]) / 8
    smooth_x = (padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]) / 8
    along_x = smooth_y[..., 2:] - smooth_y[..., :-2]
    along_y = smooth_x[..., 2:, :] - smooth_x[..., :-2, :]
    return torch.stack([along_x, along_y], dim=2)
