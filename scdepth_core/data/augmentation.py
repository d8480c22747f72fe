"""Change images and their intrinsics together, so that the geometry stays true."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scdepth_core.errors import ConfigError
from scdepth_core.geometry.camera import flip_intrinsics, scale_intrinsics, shift_intrinsics


@dataclass(frozen=True)
class Augmentation:
    """Random mirror and random zoom, the same for all frames of a sample.

    Attributes:
        flip: probability of mirroring left to right.
        max_zoom: enlarge by a factor drawn from [1, max_zoom], then crop back to size at a random place.
    """

    flip: float = 0.5
    max_zoom: float = 1.15

    def __post_init__(self):
        if not 0 <= self.flip <= 1 or not 1 <= self.max_zoom <= 4:
            raise ConfigError(
                f"flip is {self.flip:g} and max_zoom {self.max_zoom:g}, expected a probability (0 to 1) and 1 to 4"
            )

    def __call__(
        self, images: list[np.ndarray], K: np.ndarray, rng: np.random.Generator
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Images (H, W, 3) uint8 or maps (H, W) float32 of one size, and K (3, 3), changed together; sizes stay."""
        height, width = images[0].shape[:2]
        zoom = rng.uniform(1.0, self.max_zoom)
        left, top = rng.uniform(0, 1 - 1 / zoom, size=2) * (width, height)
        images, K = crop_and_zoom(images, K, left, top, zoom)
        if rng.random() < self.flip:
            images, K = mirror(images, K)
        return images, K


def mirror(images: list[np.ndarray], K: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Left-right mirror: cx' = W - 1 - cx."""
    return [np.ascontiguousarray(image[:, ::-1]) for image in images], flip_intrinsics(K, images[0].shape[1])


def crop_and_zoom(
    images: list[np.ndarray], K: np.ndarray, left: float, top: float, zoom: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """The window with its top-left corner `left, top` pixels into the image, enlarged by zoom to the image's size.

    Corners, not centres, are aligned: u' = (u - left + 0.5) zoom - 0.5.
    """
    height, width = images[0].shape[:2]
    shift = 0.5 / zoom - 0.5
    to_source = np.array([[1 / zoom, 0, left + shift], [0, 1 / zoom, top + shift]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    zoomed = [
        cv2.warpAffine(image, to_source, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for image in images
    ]
    return zoomed, scale_intrinsics(shift_intrinsics(K, left, top), zoom, zoom)
