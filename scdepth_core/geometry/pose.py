"""Rigid motion as vectors and matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def euler_to_matrix(angles: Tensor) -> Tensor:
    """Rotation matrices R = Rx Ry Rz from (..., 3) angles about x, y, z in radians; (..., 3, 3)."""
    x, y, z = angles.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=-1).reshape(*x.shape, 3, 3)

    Rx = matrix(one, zero, zero, zero, x.cos(), -x.sin(), zero, x.sin(), x.cos())
    Ry = matrix(y.cos(), zero, y.sin(), zero, one, zero, -y.sin(), zero, y.cos())
    Rz = matrix(z.cos(), -z.sin(), zero, z.sin(), z.cos(), zero, zero, zero, one)
    return Rx @ Ry @ Rz


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
