"""Take lens distortion out of images, so that pixels obey the pinhole model P = K [I | 0]."""

from __future__ import annotations

import cv2
import numpy as np

from scdepth_core.errors import ImageError
from scdepth_core.geometry.camera import Camera

_EDGE = 0.01  # pixels by which a source may miss the outermost pixel centres: rounding, not a border


class Rectifier:
    """Rectify images of one camera, with maps that are computed once.

    Args:
        camera: the camera as calibrated, distortion and all.

    Attributes:
        camera: the camera of the rectified image: same size, K = P[:, :3] where the calibration has P, no
            distortion, R = identity.
        rotation: (3, 3), takes points of the camera's optical frame to the rectified one; identity but for stereo.
        is_identity: True when images already obey `camera` and pass through untouched.
        valid: (H, W) bool, True where the rectified pixel was seen by the camera. Places beyond the image are
            not, nor are those where the distortion polynomial folds back and would show the image again.

    Raises:
        CameraError: when P holds no possible intrinsics.
    """

    def __init__(self, camera: Camera):
        K = camera.K if camera.P is None or not camera.P.any() else camera.P[:, :3]
        size = camera.width, camera.height
        self.camera = Camera(*size, K=K)
        self.rotation = camera.R
        self.is_identity = not camera.is_distorted and np.allclose(K, camera.K, atol=1e-9)
        if self.is_identity:
            self.valid = np.ones(size[::-1], bool)
            return
        x, y = _source_pixels(camera, K)
        self.valid = _seen(x, y, _axis_pixel(camera, K))
        # Fixed-point maps: 1/32 pixel, and twice as fast as floats.
        self._maps = cv2.convertMaps(x, y, cv2.CV_16SC2)
        self._nearest_maps = cv2.convertMaps(x, y, cv2.CV_16SC2, nninterpolation=True)
        self._depth_scale = _depth_scale(camera, self.camera)

    def __call__(self, image: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
        """The rectified image, black where nothing was seen.

        Args:
            image: (H, W) or (H, W, C) of any type that OpenCV remaps.
            interpolation: cv2.INTER_LINEAR, or cv2.INTER_NEAREST for values that must not be mixed.

        Returns:
            a new image; the same array when there is nothing to do.

        Raises:
            ImageError: for an image of another size than the camera's.
        """
        expected = (self.camera.height, self.camera.width)
        if image.shape[:2] != expected:
            raise ImageError(
                f"image is {image.shape[1]}x{image.shape[0]}, but its camera_info says "
                f"{expected[1]}x{expected[0]} – both have to come from the same camera"
            )
        if self.is_identity:
            return image
        maps = self._nearest_maps if interpolation == cv2.INTER_NEAREST else self._maps
        return cv2.remap(image, *maps, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=0)

    def rectify_depth(self, depth: np.ndarray) -> np.ndarray:
        """Depth (H, W) float32 along the rectified optical axis; NaN where nothing was seen.

        Neighbours are not mixed, because a mean of two surfaces is a place where nothing is.
        """
        if self.is_identity:
            return depth
        rectified = self(depth, cv2.INTER_NEAREST)
        if self._depth_scale is not None:
            rectified = rectified * self._depth_scale
        rectified[~self.valid] = np.nan
        return rectified


def _source_pixels(camera: Camera, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in the distorted image each rectified pixel comes from: x and y, (H, W) float32."""
    size = (camera.width, camera.height)
    if camera.distortion_model == "equidistant":
        D = camera.D if camera.D.size else np.zeros(4)
        return cv2.fisheye.initUndistortRectifyMap(camera.K, D, camera.R, K, size, cv2.CV_32FC1)
    return cv2.initUndistortRectifyMap(camera.K, camera.D, camera.R, K, size, cv2.CV_32FC1)


def _seen(x: np.ndarray, y: np.ndarray, axis: tuple[int, int]) -> np.ndarray:
    """Pixels whose source lies in the image, in the sheet of the map around pixel `axis`.

    Beyond its turning point the polynomial runs backwards, and further out it may turn once more: only what is
    connected to the optical axis without such a fold is real.
    """
    height, width = x.shape
    inside = (x >= -_EDGE) & (x <= width - 1 + _EDGE) & (y >= -_EDGE) & (y <= height - 1 + _EDGE)
    if min(height, width) < 2:
        return inside
    x_down, x_right = np.gradient(x)
    y_down, y_right = np.gradient(y)
    upright = x_right * y_down - x_down * y_right > 0
    _, sheets = cv2.connectedComponents(upright.astype(np.uint8), connectivity=4)
    return inside & upright & (sheets == sheets[axis[1], axis[0]])


def _axis_pixel(camera: Camera, K: np.ndarray) -> tuple[int, int]:
    """Column and row of the rectified pixel nearest to the camera's own optical axis."""
    u, v, w = K @ camera.R[:, 2]
    w = max(w, 1e-9)
    return (
        int(np.clip(round(u / w), 0, camera.width - 1)),
        int(np.clip(round(v / w), 0, camera.height - 1)),
    )


def _depth_scale(camera: Camera, rectified: Camera) -> np.ndarray | None:
    """Depth along the new axis over depth along the old one, (H, W) float32; None where R does not turn it."""
    if np.allclose(camera.R, np.eye(3), atol=1e-9):
        return None
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(rectified.K).T
    return (1 / (rays @ camera.R)[..., 2]).astype(np.float32)  # third row of R^T ray: depth in the old frame
