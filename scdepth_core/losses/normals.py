"""Surface normals of a depth map, and how far two sets of them are apart (V3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scdepth_core.geometry.projection import backproject


def surface_normals(depth: Tensor, K: Tensor) -> Tensor:
    """Unit normals (B, 3, H, W) from depth (B, 1, H, W): cross product of the Sobel gradients of the points."""
    points = F.pad(backproject(depth, K), [1] * 4, mode="replicate")
    sobel = points.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    kernels = torch.stack([sobel, sobel.T])[:, None]
    gradients = F.conv2d(points.flatten(0, 1)[:, None], kernels).unflatten(0, points.shape[:2])  # B 3 2 H W
    return F.normalize(torch.cross(gradients[:, :, 0], gradients[:, :, 1], dim=1), dim=1)


def normal_matching_loss(normals: Tensor, reference: Tensor) -> Tensor:
    """Mean |n - n*| over all components (V3, eq. 5)."""
    return (normals - reference).abs().mean()
