"""Unit quaternions in the order of ROS and of TUM trajectories (x, y, z, w), and rotation matrices."""

from __future__ import annotations

import numpy as np


def matrix_from_quaternion(quaternion) -> np.ndarray:
    """Rotation matrix (3, 3) float64 of a quaternion (x, y, z, w), which need not be normalised.

    Raises:
        ValueError: for a quaternion of (nearly) zero length or with NaN in it.
    """
    q = np.asarray(quaternion, np.float64)
    length = np.linalg.norm(q)
    if not length > 1e-9:
        raise ValueError(f"quaternion {q.tolist()} has no direction, expected length 1")
    x, y, z, w = q / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_matrix(rotation) -> np.ndarray:
    """Quaternion (x, y, z, w) with w >= 0 of a rotation matrix (3, 3).

    Each squared component is a sum of diagonal entries; dividing by the largest keeps the precision at
    every angle, half turns included.
    """
    R = np.asarray(rotation, np.float64)
    xx, yy, zz = np.diag(R)
    squares = np.array([1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz, 1 + xx + yy + zz])
    x_row = [squares[0], R[0, 1] + R[1, 0], R[0, 2] + R[2, 0], R[2, 1] - R[1, 2]]
    y_row = [x_row[1], squares[1], R[1, 2] + R[2, 1], R[0, 2] - R[2, 0]]
    z_row = [x_row[2], y_row[2], squares[2], R[1, 0] - R[0, 1]]
    w_row = [x_row[3], y_row[3], z_row[3], squares[3]]
    q = np.array([x_row, y_row, z_row, w_row][int(np.argmax(squares))])
    q /= np.linalg.norm(q)
    return -q if q[3] < 0 else q


def slerp(start, end, share: float) -> np.ndarray:
    """The rotation at `share` (0 to 1) of the shorter way from quaternion `start` to `end`; (x, y, z, w)."""
    a = np.asarray(start, np.float64) / np.linalg.norm(start)
    b = np.asarray(end, np.float64) / np.linalg.norm(end)
    cosine = float(a @ b)
    if cosine < 0:  # q and -q are the same rotation
        b, cosine = -b, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        mixed = (1 - share) * a + share * b
    else:
        mixed = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    return mixed / np.linalg.norm(mixed)
