"""The rays of a camera's pixels, through its lens distortion, to far below a pixel's error."""

from __future__ import annotations

import cv2
import numpy as np

from scdepth_core.errors import CameraError
from scdepth_core.geometry.camera import Camera

TOLERANCE = 0.01  # pixels


def pixel_rays(camera: Camera, supersampling: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rays (x, y, 1) of the `supersampling` x `supersampling` samples of every pixel, in the optical frame.

    Returns:
        x, y: float32 arrays that broadcast to (H * supersampling, W * supersampling): (1, W') and (H', 1) for a
        pinhole camera, full size for a distorted one.

    Raises:
        CameraError: if no ray reaches some pixel through this distortion.
    """
    n = supersampling
    u = (np.arange(camera.width * n) + 0.5) / n - 0.5
    v = (np.arange(camera.height * n) + 0.5) / n - 0.5
    K = camera.K
    if not camera.D.any() and K[0, 1] == 0:
        x, y = (u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]
        return x[None].astype(np.float32), y[:, None].astype(np.float32)
    pixels = np.stack(np.meshgrid(u, v), -1).reshape(-1, 1, 2)
    if camera.distortion_model == "equidistant":
        rays = _undistort_equidistant(camera, pixels)
    else:
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-10)
        rays = cv2.undistortPoints(pixels, K, camera.D, criteria=criteria)
    error = np.abs(_distort(camera, rays) - pixels).max()
    if not error < TOLERANCE:
        raise CameraError(
            f"distortion {camera.distortion_model} {np.round(camera.D, 4).tolist()} has no ray for some pixels of "
            f"{camera.width}x{camera.height} (off by {error:.3g} px) – use a narrower field of view or less distortion"
        )
    x, y = rays.reshape(camera.height * n, camera.width * n, 2).transpose(2, 0, 1).astype(np.float32)
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


def _undistort_equidistant(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """Newton on theta (1 + k1 theta^2 + ... + k4 theta^8) = distorted radius."""
    normal = (pixels - camera.K[:2, 2]) / (camera.K[0, 0], camera.K[1, 1])
    normal[..., 0] -= camera.K[0, 1] / camera.K[0, 0] * normal[..., 1]
    radius = np.linalg.norm(normal, axis=-1, keepdims=True)
    powers = np.array([1.0, *camera.D]), np.arange(0, 10, 2)
    theta = np.minimum(radius, 1.5)
    for _ in range(30):
        value = sum(k * theta ** (p + 1) for k, p in zip(*powers)) - radius
        slope = sum(k * (p + 1) * theta**p for k, p in zip(*powers))
        theta = np.clip(theta - value / np.where(np.abs(slope) < 1e-6, 1e-6, slope), 0, 1.55)
    return normal * np.where(radius > 1e-12, np.tan(theta) / np.maximum(radius, 1e-12), 1.0)


def _distort(camera: Camera, rays: np.ndarray) -> np.ndarray:
    if camera.distortion_model == "equidistant":
        return cv2.fisheye.distortPoints(np.ascontiguousarray(rays), camera.K, camera.D)
    points = np.concatenate([rays, np.ones_like(rays[..., :1])], -1)
    return cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.K, camera.D)[0]


def pinhole_camera(width: int, height: int, fov: float) -> Camera:
    """An ideal camera with square pixels, a horizontal field of view of `fov` degrees and its axis in the middle."""
    focal = width / 2 / np.tan(np.deg2rad(fov) / 2)
    return Camera(width, height, np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]))
