"""How far a trajectory is from the true one, as the field reports it: ATE, RPE, and KITTI's t_err and r_err.

A camera alone knows no metre, so an estimate is first aligned to the truth by the similarity (scale, rotation,
translation; 7 degrees of freedom) that fits its positions best (Umeyama 1991).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scdepth_core.errors import DataError

KITTI_LENGTHS = tuple(range(100, 900, 100))  # metres
KITTI_STEP = 10  # frames between the starts of segments


@dataclass(frozen=True)
class TrajectoryErrors:
    """Errors after alignment.

    Attributes:
        scale: factor of the alignment, metres per unit of the estimate.
        length: of the true trajectory, metres.
        ate: root mean square of the distances between positions, metres.
        rpe_translation, rpe_rotation: root mean square of the errors from frame to frame, metres and degrees.
        kitti_t: mean drift in percent, kitti_r: in degrees per 100 m, over segments of 100 to 800 m; None where the
            trajectory is shorter than 100 m.
    """

    scale: float
    length: float
    ate: float
    rpe_translation: float
    rpe_rotation: float
    kitti_t: float | None
    kitti_r: float | None


def trajectory_errors(estimate: np.ndarray, truth: np.ndarray) -> TrajectoryErrors:
    """Errors of poses (N, 4, 4), frame for frame.

    Raises:
        DataError: fewer than 3 poses, another number of them, or a camera that stood still in one of the two.
    """
    if len(estimate) != len(truth) or len(truth) < 3:
        raise DataError(
            f"a trajectory of {len(estimate)} poses cannot be compared with one of {len(truth)} – both need the same "
            "number, at least 3"
        )
    scale, rotation, translation = similarity(estimate[:, :3, 3], truth[:, :3, 3])
    aligned = estimate.copy()
    aligned[:, :3, 3] = scale * estimate[:, :3, 3] @ rotation.T + translation
    aligned[:, :3, :3] = rotation @ estimate[:, :3, :3]
    steps = _relative(truth[:-1], truth[1:])
    wrong = np.linalg.inv(steps) @ _relative(aligned[:-1], aligned[1:])
    kitti_t, kitti_r = _kitti(aligned, truth)
    return TrajectoryErrors(
        scale=scale,
        length=float(np.linalg.norm(steps[:, :3, 3], axis=1).sum()),
        ate=_rms(np.linalg.norm(aligned[:, :3, 3] - truth[:, :3, 3], axis=1)),
        rpe_translation=_rms(np.linalg.norm(wrong[:, :3, 3], axis=1)),
        rpe_rotation=_rms(np.degrees(_angles(wrong))),
        kitti_t=kitti_t,
        kitti_r=kitti_r,
    )


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (3, 3) and translation (3,) that minimise sum |s R source + t - target|^2 over points (N, 3).

    Raises:
        DataError: all points of one set are the same.
    """
    mean_source, mean_target = source.mean(0), target.mean(0)
    from_source, from_target = source - mean_source, target - mean_target
    variance = (from_source**2).sum() / len(source)
    if min(variance, (from_target**2).sum() / len(target)) < 1e-12:
        raise DataError("a camera that stood still cannot be aligned – give a scene in which it moves")
    U, D, Vt = np.linalg.svd(from_target.T @ from_source / len(source))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
    rotation = (U * signs) @ Vt
    scale = float((D * signs).sum() / variance)
    return scale, rotation, mean_target - scale * rotation @ mean_source


def _kitti(estimate: np.ndarray, truth: np.ndarray) -> tuple[float | None, float | None]:
    """Mean translation error in percent and rotation error in degrees per 100 m over KITTI's segments."""
    steps = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1)
    travelled = np.concatenate([[0], np.cumsum(steps)])
    shares, turns = [], []
    for first in range(0, len(truth), KITTI_STEP):
        for length in KITTI_LENGTHS:
            last = int(np.searchsorted(travelled, travelled[first] + length, side="right"))
            if last >= len(truth):
                break
            wrong = np.linalg.inv(_relative(estimate[first], estimate[last])) @ _relative(truth[first], truth[last])
            shares.append(np.linalg.norm(wrong[:3, 3]) / length)
            turns.append(_angles(wrong[None])[0] / length)
    if not shares:
        return None, None
    return float(100 * np.mean(shares)), float(100 * np.degrees(np.mean(turns)))


def _relative(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.linalg.inv(first) @ second


def _angles(transforms: np.ndarray) -> np.ndarray:
    """Rotation angles of (N, 4, 4) in radians, accurate near 0."""
    R = transforms[:, :3, :3]
    skew = R - R.transpose(0, 2, 1)
    axis = np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1)
    return np.arctan2(np.linalg.norm(axis, axis=1), np.trace(R, axis1=1, axis2=2) - 1)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
