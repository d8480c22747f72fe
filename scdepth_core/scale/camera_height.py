"""Scale from the known height of the camera over a flat ground.

A ground plane n . X = h (n: unit normal, pointing down; h: height of the camera over it) seen along the ray
q = K^-1 (u, v, 1) has the depth z with 1 / z = a . q, where a = n / h. So the inverse depth is linear in the ray, and
z (a . q) - 1 is the relative error of a predicted depth: RANSAC needs no threshold in unknown units.
"""

from __future__ import annotations

import numpy as np

from scdepth_core.errors import ConfigError
from scdepth_core.scale.robust import NORMAL, WIDTH, median_and_scatter, trust
from scdepth_core.scale.view import Measurement, View

_FEWEST, _LEAST_SCATTER = 20, 0.005
_POINTS = 2000  # cells into which the lower image half is divided
_HYPOTHESES = 200
_TOLERANCE = 0.08  # relative error of depth up to which a point lies on the plane
_SMALLEST_SHARE = 0.35  # of the points that have to lie on it
_TILT = 25.0  # degrees by which the normal may differ from where it is expected
_INDEPENDENT = 20  # places on the ground whose errors have little to do with each other


class CameraHeight:
    """ln s = ln(height in metres) - ln(height in network units).

    Args:
        height: of the optical centre over the ground, metres; None takes it, and which way is down, from each view's
            `ground_pose`.
        pitch: degrees that the camera looks down; the ground's normal may differ from it by 25 degrees.

    Raises:
        ConfigError: for a height that is not above 0, or a pitch beyond 90 degrees.
    """

    name = "camera_height"

    def __init__(self, height: float | None, pitch: float = 0.0):
        if height is not None and not 0 < height < np.inf:
            raise ConfigError(f"camera height is {height}, expected metres above 0")
        if not -90 <= pitch <= 90:
            raise ConfigError(f"camera pitch is {pitch}, expected degrees from -90 to 90")
        self._height = height
        tilt = np.deg2rad(pitch)
        self._down = np.array([0.0, np.cos(tilt), np.sin(tilt)])

    def measure(self, view: View) -> Measurement:
        """The scale of one view that shows the ground in its lower half."""
        height, down = self._height, self._down
        if height is None:
            if view.ground_pose is None:
                return Measurement.none("no transform to the ground at the image's stamp")
            height, down = float(view.ground_pose[2, 3]), -view.ground_pose[2, :3]
            if not height > 0:
                return Measurement.none("the camera is not above the ground frame")
        rays, depth = _lower_half(view)
        if len(depth) < 100:
            return Measurement.none("too few pixels with depth in the lower image")
        plane = _find_plane(rays, depth, down)
        if plane is None:
            return Measurement.none("no ground plane in the lower image")
        normal, units, scatter = plane
        if normal @ down < np.cos(np.deg2rad(_TILT)):
            return Measurement.none("the plane in the lower image is not level")
        return Measurement(float(np.log(height / units)), scatter / np.sqrt(_INDEPENDENT))

    def restart(self) -> None:
        """Nothing is remembered between frames."""


def _find_plane(rays: np.ndarray, depth: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, float, float] | None:
    """Normal, height and relative scatter of the most supported level plane; None where none has enough support.

    Args:
        rays: (N, 3) with z = 1; depth: (N,); down: (3,) unit vector.
    """
    rng = np.random.default_rng(0)
    picks = rng.integers(len(depth), size=(_HYPOTHESES, 3))
    triples = rays[picks]
    solvable = np.abs(np.linalg.det(triples)) > 1e-6
    a = np.linalg.solve(triples[solvable], (1 / depth[picks[solvable]])[..., None])[..., 0]  # (M, 3)
    length = np.linalg.norm(a, axis=1)
    a = a[a @ down > np.cos(np.deg2rad(_TILT)) * length]
    if not len(a):
        return None
    support = (np.abs((a @ rays.T) * depth - 1) < _TOLERANCE).sum(axis=1)
    if support.max() < _SMALLEST_SHARE * len(depth):
        return None
    return _refined(a[support.argmax()], rays, depth)


def _lower_half(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Rays (N, 3) and depth (N,) of about _POINTS cells of the lower image half; medians, which calm the noise."""
    height, width = view.depth.shape
    cell = max(1, int(np.sqrt(height // 2 * width / _POINTS)))
    rows, columns = height // 2 // cell, width // cell
    lower = view.depth[height - rows * cell :, : columns * cell]
    cells = lower.reshape(rows, cell, columns, cell).swapaxes(1, 2).reshape(rows, columns, -1)
    complete = np.isfinite(cells).all(axis=2) & (cells > 0).all(axis=2)
    row, column = np.nonzero(complete)
    depth = np.median(cells[complete], axis=1).astype(np.float64)
    centre = (cell - 1) / 2
    pixels = np.stack([column * cell + centre, height - (rows - row) * cell + centre, np.ones(len(depth))], axis=-1)
    return pixels @ np.linalg.inv(view.K).T, depth


def _refined(a: np.ndarray, rays: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Reweighted least squares of z (a . q) = 1, then the height as the median over the inliers.

    What stands on the ground is nearer than the ground behind it, never further: how much the predicted depth
    scatters is read off the points beyond the plane, and only what lies closer than that has a say.
    """
    scatter = _TOLERANCE / 2
    for _ in range(20):
        residual = depth * (rays @ a) - 1
        beyond = residual[(residual > 0) & (residual < 3 * scatter)]
        if len(beyond) > _FEWEST:
            scatter = max(NORMAL * float(np.median(beyond)), _LEAST_SCATTER)
        weights = trust(residual / scatter * WIDTH)
        a = np.linalg.solve((rays * (weights * depth**2)[:, None]).T @ rays, rays.T @ (weights * depth))
    normal = a / np.linalg.norm(a)
    inliers = np.abs(depth * (rays @ a) - 1) < 2 * scatter
    log_height, scatter = median_and_scatter(np.log(depth[inliers] * (rays[inliers] @ normal)))
    return normal, float(np.exp(log_height)), scatter
