"""Measured depth as a message, at the pixels of the rectified camera: depth images of all transports, lidar points."""

from __future__ import annotations

import numpy as np

from scdepth_core.geometry.image_geometry import registered_depth
from scdepth_core.geometry.rectification import Rectifier
from scdepth_core.geometry.sparse_depth import sparse_depth
from scdepth_ros.messages import decode_depth, decode_points, is_points


def reference_depth(message, rectifier: Rectifier, from_sensor: np.ndarray | None = None) -> np.ndarray | None:
    """Depth (H, W) float32 metres along the rectified optical axis; NaN where there is none, nearly everywhere for
    points.

    Args:
        message: Image or CompressedImage of depth registered to the camera, or PointCloud2 of any sensor.
        rectifier: of the camera.
        from_sensor: (4, 4), takes points of the cloud's frame to the camera's optical frame; None when unknown, and
            then points are worth nothing and the result is None.

    Raises:
        ImageError: for a message that cannot be decoded, or depth of another view.
    """
    if not is_points(message):
        return registered_depth(decode_depth(message), rectifier)
    if from_sensor is None:
        return None
    to_camera = rectifier.rotation @ from_sensor[:3]
    points = decode_points(message)
    return sparse_depth(points @ to_camera[:, :3].T + to_camera[:, 3], rectifier.camera)
