"""The V1 objective between frames: photometric and geometry consistency over every ordered pair.

A sample is a target frame and N source frames. Both directions of every target-source pair are warped in one batch of
2N pairs; then each frame keeps, pixel by pixel, the best of the candidates that were warped *into it*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scdepth_core.geometry.warping import Warp, inverse_warp
from scdepth_core.losses.photometric import color_error, photometric_error
from scdepth_core.losses.reduction import masked_mean

REFERENCE_MIN_PIXELS = 100


@dataclass(frozen=True)
class ConsistencyOptions:
    """Which parts of the V1 loss are on.

    Attributes:
        ssim_weight: share of SSIM in the photometric error; 0 leaves the plain difference.
        auto_mask: keep only pixels where the warped frame beats the unwarped one (drops what moves with the camera).
        dynamic_mask: weigh the photometric error by the self-discovered mask 1 - D.
        minimum: per pixel the best source instead of all of them (occlusions).
        reference_numerics: restore the public implementation's half-pixel slip, validity by colour and mixed minimum,
            and in V2 its rotation terms.
    """

    ssim_weight: float = 0.85
    auto_mask: bool = True
    dynamic_mask: bool = True
    minimum: bool = True
    reference_numerics: bool = False


class PairErrors(NamedTuple):
    """Maps of one warp on the target's pixels, each (B, 1, H, W); valid is bool."""

    photometric: Tensor
    color: Tensor
    geometry: Tensor
    valid: Tensor


class ConsistencyLoss(NamedTuple):
    """Scalars: the two loss terms, and the share of pixels that took part in them."""

    photometric: Tensor
    geometry: Tensor
    coverage: Tensor


def geometry_inconsistency(warp: Warp) -> Tensor:
    """D = |Dc - Dp| / (Dc + Dp) in [0, 1] (V1, eq. 4): depth seen from both frames must agree in scale."""
    total = (warp.computed_depth + warp.projected_depth).clamp(min=1e-6)
    return ((warp.computed_depth - warp.projected_depth).abs() / total).clamp(0, 1)


def pair_errors(target: Tensor, source: Tensor, warp: Warp, options: ConsistencyOptions) -> PairErrors:
    """Errors of a source warped into the target, and where they count (V1, eqs. 3, 4, 7)."""
    geometry = geometry_inconsistency(warp)
    color = color_error(target, warp.image)
    if options.reference_numerics:
        seen = [image.abs().mean(dim=1, keepdim=True) > 1e-3 for image in (warp.image, target)]
        valid = seen[0] & seen[1]
    else:
        valid = warp.valid
    if options.auto_mask:
        valid = valid & (color < color_error(target, source))
    photometric = photometric_error(target, warp.image, options.ssim_weight, options.reference_numerics)
    if options.dynamic_mask:
        photometric = photometric * (1 - geometry.detach())
    return PairErrors(photometric, color, geometry, valid)


def view_synthesis(
    images: list[Tensor],
    depths: list[Tensor],
    poses: list[Tensor],
    inverse_poses: list[Tensor],
    K: Tensor,
    options: ConsistencyOptions,
    seen: list[Tensor] | None = None,
) -> tuple[list[PairErrors], list[Warp]]:
    """Warp every source into the target and the target into every source.

    Args:
        images: target, then N sources; each (B, 3, H, W), normalised.
        depths: of the same frames, each (B, 1, H, W).
        poses: N transforms target to source, each (B, 3, 4).
        inverse_poses: N transforms source to target, each (B, 3, 4).
        K: (B, 3, 3).
        seen: where each frame holds a picture, (B, 1, H, W) bool; None for everywhere.

    Returns:
        2N PairErrors and their warps: first those into the target, one per source, then those into each source.
    """
    sources = len(images) - 1
    into = [images[0]] * sources + images[1:]
    into_depth = [depths[0]] * sources + depths[1:]
    out_of = images[1:] + [images[0]] * sources
    out_of_depth = depths[1:] + [depths[0]] * sources
    into, out_of = torch.cat(into), torch.cat(out_of)
    warp = inverse_warp(
        out_of,
        torch.cat(into_depth),
        torch.cat(out_of_depth),
        torch.cat(poses + inverse_poses),
        K.repeat(2 * sources, 1, 1),
        options.reference_numerics,
        None if seen is None else torch.cat(seen[1:] + [seen[0]] * sources),
    )
    if seen is not None:
        warp = warp._replace(valid=warp.valid & torch.cat([seen[0]] * sources + seen[1:]))
    errors = pair_errors(into, out_of, warp, options)
    batch = images[0].shape[0]
    split_errors = [PairErrors(*maps) for maps in zip(*(m.split(batch) for m in errors))]
    split_warps = [Warp(*maps) for maps in zip(*(m.split(batch) for m in warp))]
    return split_errors, split_warps


def consistency_loss(pairs: list[PairErrors], options: ConsistencyOptions) -> ConsistencyLoss:
    """Mean photometric and geometry error over the valid pixels of all frames.

    With `minimum`, a frame's candidates compete pixel by pixel among those that are valid there. An empty mask gives
    zeros with a zero gradient, and coverage 0 says so.
    """
    if options.reference_numerics:
        return _reference_loss(pairs, options)
    sources = len(pairs) // 2
    frames = [pairs[:sources], *([pair] for pair in pairs[sources:])]
    chosen = [_best_candidate(candidates) for candidates in frames] if options.minimum else pairs
    valid = torch.cat([pair.valid for pair in chosen])
    return ConsistencyLoss(
        masked_mean(torch.cat([pair.photometric for pair in chosen]), valid),
        masked_mean(torch.cat([pair.geometry for pair in chosen]), valid),
        valid.float().mean(),
    )


def dynamic_mask(pairs: list[PairErrors]) -> Tensor:
    """Self-discovered mask of the target (B, 1, H, W): 1 - mean over sources of D where valid (V1, eq. 7; V3)."""
    into_target = pairs[: len(pairs) // 2]
    inconsistency = torch.stack([torch.where(pair.valid, pair.geometry, 0.0) for pair in into_target])
    return 1 - inconsistency.mean(dim=0)


def _best_candidate(candidates: list[PairErrors]) -> PairErrors:
    """Per pixel the valid candidate with the smallest colour error; invalid only where all are."""
    best = candidates[0]
    for other in candidates[1:]:
        better = other.valid & (~best.valid | (other.color < best.color))
        best = PairErrors(*(torch.where(better, new, old) for new, old in zip(other, best)))
    return best


def _reference_loss(pairs: list[PairErrors], options: ConsistencyOptions) -> ConsistencyLoss:
    """The public implementation's reduction: all maps compete, whichever frame they belong to and valid or not."""
    maps = PairErrors(*(torch.cat(m, dim=1) for m in zip(*pairs)))
    if options.minimum:
        best = maps.color.argmin(dim=1, keepdim=True)
        maps = PairErrors(*(m.gather(1, best) for m in maps))
    enough = maps.valid.sum() > REFERENCE_MIN_PIXELS
    return ConsistencyLoss(
        masked_mean(maps.photometric, maps.valid) * enough,
        masked_mean(maps.geometry, maps.valid) * enough,
        maps.valid.float().mean(),
    )
