"""From a camera's images to those of the data set: rectified, cropped, resized, with exact intrinsics."""

from __future__ import annotations

import cv2
import numpy as np

from scdepth_core.errors import CameraError, ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.rectification import Rectifier

_SMALLEST_VIEW = 0.3  # share of the image's width and height that has to be left between borders


class ImageGeometry:
    """The way of every image of one camera into the data set.

    Args:
        camera: as calibrated.
        size: (width, height) of the data set's images.
        fit: "crop" scales both axes alike and cuts off what is over, around the centre; "stretch" keeps all.
        rectified: the images are free of distortion already, and obey P.

    Attributes:
        camera: the data set's camera; distortion-free.
        window: (left, top, width, height) of the rectified image that is used. It holds no pixel that the camera
            did not see, so that no black border moves with the camera.

    Raises:
        CameraError: when the rectified image is mostly border.
    """

    def __init__(self, camera: Camera, size: tuple[int, int], fit: str = "crop", rectified: bool = False):
        if rectified:
            camera = camera.of_rectified_image()
        self._rectifier = Rectifier(camera)
        self._size = size
        aspect = size[0] / size[1] if fit == "crop" else camera.width / camera.height
        self.window = _largest_window(self._rectifier.valid, aspect)
        self.camera = self._rectifier.camera.cropped(*self.window).resized(*size)

    def image(self, image: np.ndarray) -> np.ndarray:
        """The data set's picture of a camera's picture (H, W[, 3]) uint8.

        Raises:
            ImageError: for a picture of another size than the camera's.
        """
        view = self._cut(self._rectifier(image))
        shrinks = self._size[0] <= view.shape[1] and self._size[1] <= view.shape[0]
        return cv2.resize(view, self._size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    def depth(self, depth: np.ndarray) -> np.ndarray:
        """The same for depth (H, W) metres, which may be of lower resolution; values are never mixed.

        Raises:
            ImageError: for depth of another aspect than the camera's, which cannot be of the same view.
        """
        view = self._cut(registered_depth(depth, self._rectifier))
        return cv2.resize(view, self._size, interpolation=cv2.INTER_NEAREST_EXACT)

    def pose(self, pose: np.ndarray) -> np.ndarray:
        """Pose (4, 4) of the data set's camera in the world, of that of the camera before rectification."""
        return rectified_pose(pose, self._rectifier)

    def _cut(self, image: np.ndarray) -> np.ndarray:
        left, top, width, height = self.window
        return np.ascontiguousarray(image[top : top + height, left : left + width])


def registered_depth(depth: np.ndarray, rectifier: Rectifier) -> np.ndarray:
    """Measured depth (h, w) metres at the pixels of the rectified image (H, W), which may be larger.

    Raises:
        ImageError: for depth of another aspect than the camera's, which cannot be of the same view.
    """
    camera = rectifier.camera
    height, width = depth.shape
    if abs(width * camera.height - height * camera.width) > 0.01 * height * camera.width:
        raise ImageError(
            f"depth image is {width}x{height} for a colour image of {camera.width}x{camera.height}: it is not "
            "registered to the colour camera – take the aligned depth topic, or leave depth out (--no-depth)"
        )
    if (height, width) != (camera.height, camera.width):
        depth = cv2.resize(depth, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST_EXACT)
    return rectifier.rectify_depth(depth)


def rectified_pose(pose: np.ndarray, rectifier: Rectifier) -> np.ndarray:
    """Pose (4, 4) of the rectified camera, of that of its optical frame."""
    turned = pose.copy()
    turned[:3, :3] = pose[:3, :3] @ rectifier.rotation.T
    return turned


def _largest_window(valid: np.ndarray, aspect: float) -> tuple[int, int, int, int]:
    """The largest centred window (left, top, width, height) of this aspect in which all is valid."""
    rows, columns = valid.shape
    width, height = min(columns, rows * aspect), min(rows, columns / aspect)
    missing = cv2.integral((~valid).astype(np.uint8))
    for scale in np.linspace(1, _SMALLEST_VIEW, 141):
        wide, high = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (columns - wide) // 2, (rows - high) // 2
        right, bottom = left + wide, top + high
        lost = missing[bottom, right] - missing[top, right] - missing[bottom, left] + missing[top, left]
        if lost == 0:
            return left, top, wide, high
    raise CameraError(
        f"less than {_SMALLEST_VIEW:.0%} of the rectified image of {columns}x{rows} is free of border "
        "– check the distortion coefficients and P of its camera_info"
    )
