"""What teaches RectifyNet, the auto-rectify network of V2: rotations in radians, (B, 3) for B pairs of frames."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TRUSTED_ROTATION = (0.02, 0.1)  # mean |r| of a prediction that may serve as the truth: neither nothing nor nonsense
LARGEST_DRAWN = 0.05
MARGIN = 0.05


def rotation_magnitude(rotation: Tensor) -> Tensor:
    """Mean |r| over the three angles: (B, 3) to (B,)."""
    return rotation.abs().mean(dim=-1)


def drawn_rotation(
    pairs: int, largest: float, generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """Angles (pairs, 3), uniform within +-`largest` radians."""
    return (2 * torch.rand(pairs, 3, generator=generator, device=device) - 1) * largest


def pseudo_rotation(
    predicted: Tensor, generator: torch.Generator | None = None, reference_numerics: bool = False
) -> Tensor:
    """Rotations r* to turn frames by, so that the truth of the turned pair is known (V2, rotation consistency).

    Args:
        predicted: (B, 3) r1 between target and source.
        generator: of the random rotations.
        reference_numerics: one decision for the whole batch, as the public implementation takes it.

    Returns:
        (B, 3) without a gradient: for each pair its own prediction where 0.02 < mean |r1| < 0.1, else uniform +-0.05.
    """
    predicted = predicted.detach()
    size = rotation_magnitude(predicted)
    size = size.mean().expand_as(size) if reference_numerics else size
    trusted = (size > TRUSTED_ROTATION[0]) & (size < TRUSTED_ROTATION[1])
    drawn = drawn_rotation(len(predicted), LARGEST_DRAWN, generator, predicted.device)
    return torch.where(trusted[:, None], predicted, drawn.to(predicted.dtype))


def fill_unseen(turned: Tensor, seen: Tensor, frames: Tensor) -> Tensor:
    """Turned frames for RectifyNet to look at: where one shows nothing stands what another frame of the batch shows.

    Empty corners give the rotation away. A network that reads them there does not learn to compare two views, and two
    views of a camera have none.

    Args:
        turned: (B, C, H, W).
        seen: (B, 1, H, W) bool, where it shows something.
        frames: (B, C, H, W), before they were turned.
    """
    return torch.where(seen, turned, frames.roll(1, dims=0))


def rotation_consistency_loss(predicted: Tensor, pseudo: Tensor) -> Tensor:
    """L_c = mean |f(warp(s, r*), s) - r*|: the network finds the rotation that a frame was turned by."""
    return (predicted - pseudo).abs().mean()


def rotation_triplet_loss(before: Tensor, after: Tensor, reference_numerics: bool = False) -> Tensor:
    """L_t = mean over pairs of max(|r2| - |r1| + 0.05, 0): rectification leaves less rotation than there was.

    r1 is the measure and gets no gradient: pulled on, it would grow until the margin is met, whatever the truth.

    Args:
        before: (B, 3) r1 = f(t, s).
        after: (B, 3) r2 = f(t, warp(s, r1)).
        reference_numerics: compare angle by angle, and pull on r1, as the public implementation does.
    """
    if reference_numerics:
        return F.relu(after.abs() - before.abs() + MARGIN).mean()
    return F.relu(rotation_magnitude(after) - rotation_magnitude(before).detach() + MARGIN).mean()
