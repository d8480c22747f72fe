"""How surfaces bend at edges, learnt from a pseudo depth (V3, edge-guided ranking of normals)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scdepth_core.losses.normals import normals_known, sobel
from scdepth_core.losses.reduction import masked_mean

EDGE = 0.1  # of an image's largest gradient: what is steeper is an edge
DOUBLING = math.log(2) / 2  # a pixel: what the Sobel gradient of log depth is where depth doubles from pixel to pixel
BORDER = 5  # pixels without anchors along the image's border
REACH = (3, 19)  # distance of the points from their anchor, pixels
ANCHOR_SHARE = 0.02  # of the pixels: anchors of each kind in an image, at most


def normal_ranking_loss(
    normals: Tensor,
    pseudo_normals: Tensor,
    pseudo_depth: Tensor,
    image: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean of |n_a . n_b - n*_a . n*_b| over pairs of pixels across edges.

    Anchors lie on edges of the image and on edges of the pseudo normals, but not on those of the pseudo depth, where
    two surfaces only look like neighbours. What is unknown makes no edge. Four points lie along the gradient, two on
    each side, 3 to 19 pixels off; they give three pairs, each point with the next.

    Args:
        normals: (B, 3, H, W) of the predicted depth, unit length.
        pseudo_normals: (B, 3, H, W) of the pseudo depth.
        pseudo_depth: (B, 1, H, W); 0 where unknown.
        image: (B, 3, H, W).
        generator: of anchors and distances.

    Returns:
        A scalar; 0 with a zero gradient where no pair counts.
    """
    known = normals_known(pseudo_depth)
    bend = _where(normals_known(known.float()), _strongest(sobel(pseudo_normals)))  # of nine normals that are known
    gradients = sobel(image.mean(dim=1, keepdim=True)), bend
    allowed = inner(pseudo_depth) & ~depth_edges(pseudo_depth, known) & known
    lines = [points_across(gradient, edges(gradient) & allowed, generator) for gradient in gradients]
    points, counts = (torch.cat(parts, dim=1) for parts in zip(*lines))  # (B, A, 4) indices and bool
    counts = counts & _at(known, points)[:, 0]
    ours, theirs = _at(normals, points), _at(pseudo_normals, points)  # (B, 3, A, 4)
    bends = [(n[..., :3] * n[..., 1:]).sum(dim=1) for n in (ours, theirs)]  # (B, A, 3)
    return masked_mean((bends[0] - bends[1]).abs(), counts[..., :3] & counts[..., 1:])


def edges(gradient: Tensor, most: float = math.inf) -> Tensor:
    """Where a gradient (B, 1, 2, H, W) is steeper than a tenth of the image's steepest, of `most` if that is less."""
    slope = torch.hypot(*gradient.unbind(2))  # a norm over two maps takes thirty times as long on a CPU
    return slope > EDGE * slope.amax(dim=(2, 3), keepdim=True).clamp(max=most)


def depth_edges(depth: Tensor, known: Tensor) -> Tensor:
    """Edges (B, 1, H, W) bool of log depth, where near and far count alike.

    The steepest counts as a doubling at most, for a tenth of the way to a sky a hundred times as far is a step of 58 %.
    Thus a step of 7.2 % is an edge in every image.

    Args:
        depth: (B, 1, H, W), up to scale; 0 where unknown.
        known: (B, 1, H, W) bool, where all nine pixels of a gradient are known; elsewhere there is no edge.
    """
    return edges(_where(known, sobel(torch.where(depth > 0, depth, 1.0).log())), DOUBLING)


def inner(values: Tensor) -> Tensor:
    """True (B, 1, H, W) but for a border of five pixels."""
    inside = torch.ones_like(values[:, :1, BORDER:-BORDER, BORDER:-BORDER], dtype=torch.bool)
    return F.pad(inside, [BORDER] * 4)


def points_across(gradient: Tensor, anchors: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Four points on a line through random anchors, along the gradient.

    Args:
        gradient: (B, 1, 2, H, W).
        anchors: (B, 1, H, W) bool, where an anchor may lie.

    Returns:
        Pixel indices (B, A, 4) in order along the line, and which count: their anchor is one, and they are inside.
    """
    height, width = anchors.shape[-2:]
    lot = torch.rand(anchors.flatten(1).shape, generator=generator, device=anchors.device)
    most = int(ANCHOR_SHARE * height * width)
    drawn, index = torch.where(anchors.flatten(1), lot, -1.0).topk(most, dim=1)  # without replacement
    direction = F.normalize(gradient[:, 0].flatten(2).gather(2, index[:, None].expand(-1, 2, -1)), dim=1)  # (B, 2, A)
    reach = torch.randint(
        REACH[0], REACH[1] + 1, (2, *index.shape, 2), generator=generator, device=index.device, dtype=torch.int32
    )
    near_far = reach.sort(dim=-1).values
    steps = torch.cat([-near_far[0].flip(-1), near_far[1]], dim=-1)  # (B, A, 4): -far, -near, near, far
    anchor = torch.stack([index % width, index // width], dim=1)
    u, v = (anchor[..., None] + direction[..., None] * steps[:, None]).round().long().unbind(1)  # each (B, A, 4)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    points = v.clamp(0, height - 1) * width + u.clamp(0, width - 1)
    return points, inside & (drawn >= 0)[..., None]


def _strongest(gradient: Tensor) -> Tensor:
    """Of (B, C, 2, H, W), at each pixel the gradient of the component that changes most; (B, 1, 2, H, W)."""
    component = torch.hypot(*gradient.unbind(2)).argmax(dim=1, keepdim=True)
    return gradient.gather(1, component[:, :, None].expand(-1, -1, 2, -1, -1))


def _where(known: Tensor, gradient: Tensor) -> Tensor:
    """A gradient (B, 1, 2, H, W) where it is known (B, 1, H, W), else 0."""
    return torch.where(known[:, :, None], gradient, 0.0)


def _at(values: Tensor, points: Tensor) -> Tensor:
    """Values (B, C, A, 4) of (B, C, H, W) at pixel indices (B, A, 4)."""
    index = points.flatten(1)[:, None].expand(-1, values.shape[1], -1)
    return values.flatten(2).gather(2, index).unflatten(2, points.shape[1:])
