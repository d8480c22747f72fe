"""Points seen by a camera: a depth image with a value where one of them is, and nothing elsewhere."""

from __future__ import annotations

import numpy as np

from scdepth_core.geometry.camera import Camera

_NEAREST = 1e-3  # metres before the camera; nearer points are on the camera itself, or behind it


def sparse_depth(points: np.ndarray, camera: Camera, depth: np.ndarray | None = None) -> np.ndarray:
    """Depth image (H, W) float32 of points; NaN where there is none, the nearest where several share a pixel.

    A point is in the pixel whose centre is nearest to it (halves go to the even one).

    Args:
        points: (N, 3) in the frame of the camera, metres; those with NaN or infinity, behind the camera or outside
            its image are left out.
        camera: without distortion.
        depth: (N,) what counts as the depth of each point, above 0; None takes z.
    """
    points = np.asarray(points, np.float64)
    depth = points[:, 2] if depth is None else np.asarray(depth, np.float64)
    before = np.isfinite(points).all(axis=1) & (points[:, 2] > _NEAREST)
    points, depth = points[before], depth[before]
    image = points @ camera.K.T
    column, row = np.rint(image[:, :2] / image[:, 2:]).T
    seen = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    known = depth[seen]
    pixel = (row[seen] * camera.width + column[seen]).astype(np.int64)
    far_to_near = np.argsort(-known, kind="stable")
    written = np.full(camera.height * camera.width, np.nan, np.float32)
    written[pixel[far_to_near]] = known[far_to_near]  # the last one written stays
    return written.reshape(camera.height, camera.width)
