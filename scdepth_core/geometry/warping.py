"""View synthesis: rebuild one frame from another through depth and motion (inverse warping)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scdepth_core.geometry.pose import euler_to_matrix
from scdepth_core.geometry.projection import (
    MIN_DEPTH,
    backproject,
    inside_image,
    pixel_grid,
    project,
    transform_points,
)

WHOLLY_SEEN = 0.999  # of the four neighbours that a sample mixes


class Warp(NamedTuple):
    """A source frame seen from the target view; every map is on the target's pixels.

    Attributes:
        image: (B, C, H, W) source image sampled where the target's points project.
        projected_depth: (B, 1, H, W) source depth sampled at the same places.
        computed_depth: (B, 1, H, W) depth of the target's points in the source camera, at least 1e-3.
        valid: (B, 1, H, W) bool, the point is in front of the source camera and projects inside what it has seen.
    """

    image: Tensor
    projected_depth: Tensor
    computed_depth: Tensor
    valid: Tensor


def inverse_warp(
    image: Tensor,
    depth: Tensor,
    source_depth: Tensor,
    transform: Tensor,
    K: Tensor,
    reference_numerics: bool = False,
    seen: Tensor | None = None,
) -> Warp:
    """Rebuild the target view from a source frame: p_s ~ K T (D_t(p_t) K^-1 p_t) (V1, eq. 1).

    Args:
        image: (B, C, H, W) source image.
        depth: (B, 1, H, W) target depth.
        source_depth: (B, 1, H, W) source depth.
        transform: (B, 3, 4) from the target camera to the source camera, unit of the depth.
        K: (B, 3, 3) intrinsics shared by both frames, pixels.
        reference_numerics: sample half a pixel off, as the public implementation does.
        seen: (B, 1, H, W) bool, where the source image holds a picture, as after a rotation; None for everywhere.
    """
    points = transform_points(backproject(depth, K), transform)
    pixels, computed = project(points, K)
    valid = (computed > MIN_DEPTH) & inside_image(pixels, *image.shape[-2:])
    layers = [image, source_depth] if seen is None else [image, source_depth, seen.to(image.dtype)]
    layers = torch.cat(layers, dim=1)
    sampled = _sample_reference(layers, pixels) if reference_numerics else sample(layers, pixels)
    channels = image.shape[1]
    if seen is not None:
        valid = valid & (sampled[:, channels + 1 :] > WHOLLY_SEEN)
    return Warp(sampled[:, :channels], sampled[:, channels : channels + 1], computed.clamp(min=MIN_DEPTH), valid)


def inverse_rotation_warp(image: Tensor, angles: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate a source image into the target's orientation: p_s ~ K R K^-1 p_t (V2, the rectification).

    Args:
        image: (B, C, H, W).
        angles: (B, 3) rotation from target to source, radians.
        K: (B, 3, 3).

    Returns:
        The rotated image (B, C, H, W) and where it is valid (B, 1, H, W) bool.
    """
    height, width = image.shape[-2:]
    rays = torch.linalg.inv_ex(K)[0] @ pixel_grid(height, width, image.device, image.dtype).flatten(1)
    points = (euler_to_matrix(angles) @ rays).unflatten(-1, (height, width))
    pixels, depth = project(points, K)
    return sample(image, pixels), (depth > MIN_DEPTH) & inside_image(pixels, height, width)


def sample(image: Tensor, pixels: Tensor, padding: str = "zeros") -> Tensor:
    """Bilinear values of (B, C, H, W) at pixels (B, 2, H', W'); integer coordinates hit pixel centres."""
    height, width = image.shape[-2:]
    u, v = pixels.unbind(1)
    grid = torch.stack([(2 * u + 1) / width - 1, (2 * v + 1) / height - 1], dim=-1)  # (B, H', W', 2)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _sample_reference(image: Tensor, pixels: Tensor) -> Tensor:
    """Sample with coordinates divided by (W - 1, H - 1) under align_corners=False: up to half a pixel off."""
    height, width = image.shape[-2:]
    u, v = pixels.unbind(1)
    grid = torch.stack([2 * u / (width - 1) - 1, 2 * v / (height - 1) - 1], dim=-1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
