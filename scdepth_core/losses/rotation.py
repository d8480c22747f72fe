"""What teaches RectifyNet, the auto-rectify network of V2: rotations in radians, (B, 3) for B pairs of frames."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scdepth_core.geometry.pose import euler_to_matrix

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
    views of a camera have none. A frame alone in its batch is filled from its own mirror image.

    Args:
        turned: (B, C, H, W).
        seen: (B, 1, H, W) bool, where it shows something.
        frames: (B, C, H, W), before they were turned.
    """
    others = frames.flip(-1) if len(frames) == 1 else frames.roll(1, dims=0)
    return torch.where(seen, turned, others)


def rotation_consistency_loss(predicted: Tensor, pseudo: Tensor) -> Tensor:
    """L_c = mean |f(warp(s, r*), s) - r*|: the network finds the rotation that a frame was turned by."""
    return (predicted - pseudo).abs().mean()


def rotation_triplet_loss(before: Tensor, after: Tensor) -> Tensor:
    """L_t = mean over pairs and angles of max(|r2| - |r1| + 0.05, 0): rectification leaves less than there was (V2).

    It pulls on both. Pulling on r2 alone teaches the network to call every rotation small: within 50 steps it said a
    fifth of what there was.

    Args:
        before: (B, 3) r1 = f(t, s).
        after: (B, 3) r2 = f(t, warp(s, r1)).
    """
    return F.relu(after.abs() - before.abs() + MARGIN).mean()


def rotation_equivariance_loss(before: Tensor, turned: Tensor, drawn: Tensor) -> Tensor:
    """L_e = mean |angles of f(t, warp(s, r)) (r^-1 f(t, s))^-1|: a source turned by r is r less turned than it was.

    Not of the paper. Its consistency term compares a frame with itself, and takes r* from the network's own answers:
    what the network calls small becomes what it is taught, and two views, which differ by more than a rotation, it
    comes to call smaller and smaller. This term holds the measure on two views, whatever lies between them.

    Args:
        before: (B, 3) f(t, s).
        turned: (B, 3) f(t, warp(s, r)).
        drawn: (B, 3) r.
    """
    expected = euler_to_matrix(drawn).transpose(-1, -2) @ euler_to_matrix(before)
    left = euler_to_matrix(turned) @ expected.transpose(-1, -2)
    twice_the_axis = left - left.transpose(-1, -2)  # x, y, z at (2, 1), (0, 2), (1, 0), times the sine of the angle
    x, y, z = twice_the_axis[..., 2, 1], twice_the_axis[..., 0, 2], twice_the_axis[..., 1, 0]
    return torch.stack([x, y, z]).abs().mean() / 2
