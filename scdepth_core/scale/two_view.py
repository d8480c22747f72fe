"""Motion between two views, in the unit of the predicted depth: bundle adjustment with depth as a prior.

A predicted depth z has errors, and regressing motion on a noisy 1/z makes the motion too small. So each point's depth
is a variable here: with X_i the predicted point, p_i its pixel in the second view and d_i the correction of its log
depth,

    minimise  sum_i  rho(|project(R X_i e^(d_i) + t) - p_i|^2 / sigma_p^2)  +  rho(d_i^2 / sigma_d^2)

over R, t and all d_i, with a rho that lets outliers go, by Gauss-Newton; the d_i are eliminated (Schur complement).
The geometry of both views decides about the direction of t, the mean of the predicted depths about its length.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scdepth_core.scale.robust import NORMAL, trust

_RANSAC_PIXELS = 3.0
_FIRST_SIGMAS = 0.2, 0.1  # of tracked corners, pixels; of predicted depth, relative
_LEAST_SIGMAS = 0.05, 0.01
_STAGES, _ROUNDS = 3, 8  # the sigmas are estimated anew after each stage
_FEWEST = 12


@dataclass(frozen=True)
class TwoViewMotion:
    """Points move as X' = R X + t.

    Attributes:
        R: (3, 3); t: (3,), unit of the depth.
        sigma: standard deviation of ln|t|.
        inliers: (N,) bool: points that fit.
    """

    R: np.ndarray
    t: np.ndarray
    sigma: float
    inliers: np.ndarray


def two_view_motion(points: np.ndarray, pixels: np.ndarray, K: np.ndarray) -> TwoViewMotion | None:
    """The motion that explains where points of one view are seen in the next; None where nothing does.

    Args:
        points: (N, 3) in the first camera's frame, of predicted depth.
        pixels: (N, 2) where they are seen by the second camera.
        K: (3, 3) intrinsics.
    """
    if len(points) < _FEWEST:
        return None
    found, rotation, t, inliers = cv2.solvePnPRansac(
        points, pixels, K, None, reprojectionError=_RANSAC_PIXELS, iterationsCount=100, flags=cv2.SOLVEPNP_EPNP
    )
    if not found or len(inliers) < _FEWEST:
        return None
    R, t = cv2.Rodrigues(rotation)[0], t.ravel()
    correction, sigmas = np.zeros(len(points)), _FIRST_SIGMAS
    for stage in range(_STAGES):
        for _ in range(_ROUNDS):
            system = _Linearised(points, pixels, K, R, t, correction, sigmas)
            if not system.is_solvable:
                return None
            R, t = cv2.Rodrigues(system.step[:3])[0] @ R, t + system.step[3:]
            correction = np.clip(correction + system.change, -2, 2)
        if stage < _STAGES - 1:
            sigmas = system.sigmas_seen()
    distance = float(np.linalg.norm(t))
    if system.inliers.sum() < _FEWEST or not distance > 0:
        return None
    along = np.r_[np.zeros(3), t / distance**2]  # gradient of ln|t|
    sigma = float(np.sqrt(along @ np.linalg.solve(system.information, along)))
    return TwoViewMotion(R, t, sigma, system.inliers)


class _Linearised:
    """The least-squares problem around one state, and its solution.

    Attributes:
        is_solvable: False where the points do not determine the motion.
        step: (6,) rotation vector and translation to add.
        change: (N,) to add to the log depths.
        information: (6, 6) inverse covariance of the motion, the depths eliminated.
        inliers: (N,) bool.
    """

    def __init__(self, points, pixels, K, R, t, correction, sigmas):
        pixel_sigma, depth_sigma = sigmas
        turned = points @ R.T * np.exp(correction)[:, None]  # this is also the derivative by the log depth
        seen = turned + t
        in_front = seen[:, 2] > 1e-6
        z = np.where(in_front, seen[:, 2], 1.0)
        image = (seen @ K.T / z[:, None])[:, :2]
        self._correction, self._residual = correction, pixels - image
        by_point = (K[None, :2] - image[..., None] * K[None, 2:]) / z[:, None, None]  # (N, 2, 3)
        by_camera = np.concatenate([by_point @ -_cross_matrices(turned), by_point], axis=2)  # (N, 2, 6)
        self._by_depth = by_depth = (by_point @ turned[..., None])[..., 0]  # (N, 2)
        fit = np.linalg.norm(self._residual, axis=1) / pixel_sigma
        self.inliers = in_front & (fit < 3) & (np.abs(correction) < 3 * depth_sigma)
        w = np.where(in_front, trust(fit), 0) / pixel_sigma**2
        prior = trust(correction / depth_sigma) / depth_sigma**2
        depth_information = w * (by_depth**2).sum(1) + prior
        depth_gradient = w * (by_depth * self._residual).sum(1) - prior * correction
        mixed = w[:, None] * np.einsum("nij,ni->nj", by_camera, by_depth)  # (N, 6)
        share = mixed / depth_information[:, None]
        self.information = np.einsum("n,nij,nik->jk", w, by_camera, by_camera) - share.T @ mixed
        gradient = np.einsum("n,nij,ni->j", w, by_camera, self._residual) - share.T @ depth_gradient
        self.is_solvable = np.linalg.cond(self.information) < 1e12
        if self.is_solvable:
            self.step = np.linalg.solve(self.information, gradient)
            self.change = (depth_gradient - mixed @ self.step) / depth_information

    def sigmas_seen(self) -> tuple[float, float]:
        """How far corners and depths are off by what this state explains.

        Depth moves a pixel along one line only. What is left across it is the corners' error; what is left along it,
        together with the correction made, is both, and only the part due to depth grows with the pixels that a change
        of depth is worth. Tracking errs more along the motion than across it, so the part across does not tell them
        apart: errors of tracking that pass for errors of depth make the way too long.
        """
        length = np.maximum(np.linalg.norm(self._by_depth, axis=1), 1e-9)  # pixels a unit of log depth
        direction = self._by_depth / length[:, None]
        across = self._residual[:, 0] * direction[:, 1] - self._residual[:, 1] * direction[:, 0]
        along = self._correction * length + (self._residual * direction).sum(1)
        little, much = np.array_split(np.argsort(length), 2)
        pixel = _variance(across)
        total, growth = _variance(along[much]), float(np.median(length[much]) ** 2)
        more, longer = total - _variance(along[little]), growth - float(np.median(length[little]) ** 2)
        least = _LEAST_SIGMAS[1] ** 2
        depth = float(np.clip(more / max(longer, 1e-9), least, max((total - pixel) / growth, least)))
        pixel = max(pixel, total - depth * growth, _LEAST_SIGMAS[0] ** 2)
        return float(np.sqrt(pixel)), float(np.sqrt(depth))


def _variance(errors: np.ndarray) -> float:
    """Of normal errors around 0 among which some are wrong."""
    return (NORMAL * float(np.median(np.abs(errors)))) ** 2


def _cross_matrices(vectors: np.ndarray) -> np.ndarray:
    """(N, 3, 3) matrices [v]x with [v]x w = v x w."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
