"""Points seen by a camera: a depth image with a value where one of them is, and nothing elsewhere."""

from __future__ import annotations

import numpy as np

from scdepth_core.geometry.camera import Camera

_NEAREST = 1e-3  # metres before the camera; nearer points are on the camera itself, or behind it


def sparse_depth(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Depth image (H, W) float32 of points; NaN where there is none, the nearest where several share a pixel.

    Args:
        points: (N, 3) in the frame of the camera, metres; those with NaN or infinity, behind the camera or outside
            its image are left out.
        camera: without distortion.
    """
    points = np.asarray(points, np.float64)
    points = points[np.isfinite(points).all(axis=1) & (points[:, 2] > _NEAREST)]
    image = points @ camera.K.T
    column, row = np.rint(image[:, :2] / image[:, 2:]).T
    seen = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    z = points[seen, 2]
    pixel = (row[seen] * camera.width + column[seen]).astype(np.int64)
    far_to_near = np.argsort(-z, kind="stable")
    depth = np.full(camera.height * camera.width, np.nan, np.float32)
    depth[pixel[far_to_near]] = z[far_to_near]  # the last one written stays
    return depth.reshape(camera.height, camera.width)
