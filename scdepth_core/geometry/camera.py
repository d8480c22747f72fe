"""A calibrated camera, and how its intrinsics change when its image does.

Pixel convention, everywhere in this package: pixel centres are at integer coordinates. The top-left pixel covers
[-0.5, 0.5) x [-0.5, 0.5), an image W pixels wide covers [-0.5, W - 0.5). Resizing by s therefore maps
u' = (u + 0.5) s - 0.5, which is what OpenCV's INTER_LINEAR and torch's align_corners=False do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from scdepth_core.errors import CameraError

DISTORTION_MODELS = {
    "none": (0,),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of one image.

    Attributes:
        width, height: size of the image that K refers to, pixels.
        K: (3, 3) float64 pinhole matrix of the (distorted) image, pixels.
        distortion_model: one of DISTORTION_MODELS (ROS names; `equidistant` is the fisheye model).
        D: (n,) float64 distortion coefficients in OpenCV order; empty for none.
        R: (3, 3) float64 rectifying rotation; identity for a monocular camera.
        P: (3, 4) float64 projection of the rectified image, or None to keep K.

    Raises:
        CameraError: for a size, matrix or coefficient that no camera can have.
    """

    width: int
    height: int
    K: np.ndarray
    distortion_model: str = "none"
    D: np.ndarray = field(default_factory=lambda: np.zeros(0))
    R: np.ndarray = field(default_factory=lambda: np.eye(3))
    P: np.ndarray | None = None

    def __post_init__(self):
        for name, shape in (("K", (3, 3)), ("R", (3, 3)), ("P", (3, 4)), ("D", (-1,))):
            value = getattr(self, name)
            if value is None:
                continue
            value = np.asarray(value, np.float64)
            if shape != (-1,) and value.size != shape[0] * shape[1]:
                raise CameraError(f"{name} of the camera has {value.size} numbers, expected {shape[0] * shape[1]}")
            value = value.reshape(shape)
            if not np.isfinite(value).all():
                raise CameraError(f"{name} of the camera holds NaN or infinity – calibrate it again")
            object.__setattr__(self, name, value)
        if self.width < 1 or self.height < 1:
            raise CameraError(f"camera image size is {self.width}x{self.height}, expected at least 1x1")
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise CameraError(
                f"focal length is fx={self.K[0, 0]:g} fy={self.K[1, 1]:g}, expected both above 0 "
                "– the camera is not calibrated"
            )
        allowed = DISTORTION_MODELS.get(self.distortion_model)
        if allowed is None:
            raise CameraError(
                f"distortion model '{self.distortion_model}' is unknown, expected one of {', '.join(DISTORTION_MODELS)}"
            )
        if self.D.size not in allowed and self.D.any():
            raise CameraError(
                f"distortion model '{self.distortion_model}' takes {' or '.join(map(str, allowed))} coefficients, "
                f"got {self.D.size}"
            )

    @property
    def is_distorted(self) -> bool:
        """True when pixels have to move for the image to obey P = K [I | 0]."""
        return bool(self.D.any()) or not np.allclose(self.R, np.eye(3), atol=1e-9)

    def of_rectified_image(self) -> Camera:
        """The camera of an image that was rectified already, and so obeys P: no distortion, no rotation."""
        return Camera(self.width, self.height, K=self.K if self.P is None else self.P[:, :3])

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the same view resampled to width x height. Distortion coefficients are unaffected."""
        scale = (width / self.width, height / self.height)
        P = None if self.P is None else scale_intrinsics(self.P, *scale)
        return replace(self, width=width, height=height, K=scale_intrinsics(self.K, *scale), P=P)

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """The camera of the sub-image with its top-left corner at (left, top)."""
        if left < 0 or top < 0 or left + width > self.width or top + height > self.height:
            raise CameraError(
                f"crop {width}x{height} at ({left}, {top}) leaves the image of {self.width}x{self.height}"
            )
        P = None if self.P is None else shift_intrinsics(self.P, left, top)
        return replace(self, width=width, height=height, K=shift_intrinsics(self.K, left, top), P=P)


def scale_intrinsics(K, sx: float, sy: float):
    """Intrinsics (..., 3, 3) or projection (..., 3, 4) after resizing by (sx, sy); works on arrays and tensors."""
    K = _copy(K)
    K[..., 0, :] *= sx
    K[..., 1, :] *= sy
    K[..., 0, 2] += 0.5 * (sx - 1)  # (cx + 0.5) sx - 0.5
    K[..., 1, 2] += 0.5 * (sy - 1)
    return K


def shift_intrinsics(K, left, top):
    """Intrinsics after the image origin moved to pixel (left, top); works on arrays and tensors."""
    K = _copy(K)
    K[..., 0, 2] -= left
    K[..., 1, 2] -= top
    return K


def flip_intrinsics(K, width: int):
    """Intrinsics after mirroring the image left to right: cx' = W - 1 - cx."""
    K = _copy(K)
    K[..., 0, 2] = width - 1 - K[..., 0, 2]
    return K


def _copy(matrix):
    return matrix.clone() if hasattr(matrix, "clone") else np.array(matrix, copy=True)
