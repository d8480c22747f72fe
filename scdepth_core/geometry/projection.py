"""Between pixels and points: the pinhole model on whole depth maps, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

MIN_DEPTH = 1e-3  # a point closer than this to the camera plane projects as if it were there, and is not valid


def pixel_grid(height: int, width: int, device=None, dtype=torch.float32) -> Tensor:
    """Homogeneous pixel-centre coordinates (3, H, W): u, v, 1."""
    v, u = torch.meshgrid(
        torch.arange(height, device=device, dtype=dtype),
        torch.arange(width, device=device, dtype=dtype),
        indexing="ij",
    )
    return torch.stack([u, v, torch.ones_like(u)])


def backproject(depth: Tensor, K: Tensor) -> Tensor:
    """Points of a depth map in its camera's frame: X = depth K^-1 (u, v, 1).

    Args:
        depth: (B, 1, H, W), along the optical axis.
        K: (B, 3, 3), pixels.

    Returns:
        (B, 3, H, W), unit of the depth.
    """
    height, width = depth.shape[-2:]
    rays = torch.linalg.inv_ex(K.float() if K.dtype == torch.bfloat16 else K)[0] @ pixel_grid(
        height, width, depth.device, depth.dtype
    ).flatten(1)
    return depth * rays.unflatten(-1, (height, width))


def transform_points(points: Tensor, transform: Tensor) -> Tensor:
    """R X + t for (B, 3, H, W) points and (B, 3, 4) transforms."""
    moved = transform[..., :3] @ points.flatten(2) + transform[..., 3:]
    return moved.unflatten(-1, points.shape[-2:])


def project(points: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels and depth of points in the camera's frame.

    Args:
        points: (B, 3, H, W).
        K: (B, 3, 3), pixels.

    Returns:
        pixels (B, 2, H, W) u, v; depth (B, 1, H, W), unclamped, so that points behind the camera stay recognisable.
        The division uses Z >= 1e-3, so pixels are finite for every point.
    """
    depth = points[:, 2:3]
    image = (K @ points.flatten(2)).unflatten(-1, points.shape[-2:])
    return image[:, :2] / depth.clamp(min=MIN_DEPTH), depth


def inside_image(pixels: Tensor, height: int, width: int) -> Tensor:
    """True (B, 1, H, W) where pixels (B, 2, H, W) lie within the outermost pixel centres: sampling needs no padding."""
    u, v = pixels[:, 0:1], pixels[:, 1:2]
    slack = 1e-3  # float rounding must not cost an identity warp its border
    return (u >= -slack) & (u <= width - 1 + slack) & (v >= -slack) & (v <= height - 1 + slack)
