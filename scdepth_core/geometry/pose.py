"""Rigid motion as vectors and matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def euler_to_matrix(angles: Tensor) -> Tensor:
    """Rotation matrices R = Rx Ry Rz from (..., 3) angles about x, y, z in radians; (..., 3, 3).

    Entry by entry, because autocast computes matrix products in 16 bits, in which small rotations are none.
    """
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        *(cy * cz, -cy * sz, sy),
        *(cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy),
        *(sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy),
    )
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def pose_vec2mat(vector: Tensor) -> Tensor:
    """Transforms [R | t], (..., 3, 4), from (..., 6) vectors (tx ty tz rx ry rz)."""
    translation, angles = vector[..., :3], vector[..., 3:]
    return torch.cat([euler_to_matrix(angles), translation[..., None]], dim=-1)


def invert(transform: Tensor) -> Tensor:
    """Inverse of rigid transforms (..., 3, 4): [R^T | -R^T t]."""
    Rt = transform[..., :3].transpose(-1, -2)
    return torch.cat([Rt, -Rt @ transform[..., 3:]], dim=-1)


def rotation_angle(rotation: Tensor) -> Tensor:
    """Angle of rotation matrices (..., 3, 3) in radians, accurate near zero; (...)."""
    skew = rotation - rotation.transpose(-1, -2)
    axis = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    trace = rotation.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.atan2(axis.norm(dim=-1), trace - 1)
