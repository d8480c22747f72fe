"""Depth images to organised, coloured point clouds, in byte layouts that PCL and RViz read directly.

A point is x, y, z as float32 at bytes 0, 4 and 8, and its colour as four bytes: blue, green, red, 0. Where the colour
stands, and how many bytes a point takes, is the layout's: "pcl" or "packed".
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scdepth_core.errors import CameraError, ConfigError, ImageError
from scdepth_core.geometry.camera import Camera


@dataclass(frozen=True)
class PointLayout:
    """Where the numbers of a point stand, counted in float32; x, y and z are the first three.

    Attributes:
        size: numbers that a point takes, padding included, whose content means nothing.
        rgb: place of the colour.
    """

    size: int
    rgb: int


LAYOUTS = {
    "pcl": PointLayout(size=8, rgb=4),  # PCL's PointXYZRGB as it stands in memory: 32 bytes, 16 of them padding
    "packed": PointLayout(size=4, rgb=3),  # 16 bytes
}
_TILE = 80_000  # points made at a time: few calls, and what lies between them stays in the processor's cache


class RayTable:
    """Where the pixels of a rectified camera look: X/Z and Y/Z of every pixel centre.

    Attributes:
        x, y: (ceil(H / step), ceil(W / step)) float32, contiguous.
        step: every step-th pixel of every step-th row, counted from the top-left one.
        width, height: size of the depth image that the table fits.

    Raises:
        CameraError: when the camera still has lens distortion – rectify first – or step is below 1.
    """

    def __init__(self, camera: Camera, step: int = 1):
        if camera.is_distorted:
            raise CameraError("point clouds need a rectified camera, this one still has distortion – use Rectifier")
        if step < 1:
            raise CameraError(f"cloud step is {step}, expected at least 1")
        self.step, self.width, self.height = step, camera.width, camera.height
        u, v = np.meshgrid(np.arange(0, camera.width, step), np.arange(0, camera.height, step))
        (fx, skew, cx), (_, fy, cy) = camera.K[0], camera.K[1]
        y = (v - cy) / fy
        self.x = np.ascontiguousarray((u - cx - skew * y) / fx, np.float32)
        self.y = np.ascontiguousarray(y, np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the cloud."""
        return self.x.shape


def point_layout(name: str) -> PointLayout:
    """The layout of this name.

    Raises:
        ConfigError: for another name than those of LAYOUTS.
    """
    if name not in LAYOUTS:
        raise ConfigError(f"cloud layout is '{name}', expected {' or '.join(LAYOUTS)}")
    return LAYOUTS[name]


def point_cloud(
    depth: np.ndarray,
    rays: RayTable,
    rgb: np.ndarray | None = None,
    out: np.ndarray | None = None,
    layout: str = "pcl",
) -> np.ndarray:
    """Every pixel's point in the optical frame (x right, y down, z forward).

    Args:
        depth: (H, W) float32, metres along z; NaN where there is none, which makes x, y and z NaN.
        rays: the table of the depth image's camera.
        rgb: (H, W, 3) uint8 colours, or None for white points.
        out: (h, w, n) float32 without gaps, filled and returned; h, w = rays.shape, n is the layout's size. Reusing
            one saves page faults.
        layout: name of one of LAYOUTS.

    Returns:
        (h, w, n) float32, rows and columns as in the image; its bytes are the cloud.

    Raises:
        ImageError: when depth or rgb are not the size that the rays were made for, or out is not as described.
        ConfigError: for a layout of another name.
    """
    for name, image in (("depth", depth), ("rgb", rgb)):
        if image is not None and image.shape[:2] != (rays.height, rays.width):
            raise ImageError(
                f"{name} image is {image.shape[1]}x{image.shape[0]}, its camera {rays.width}x{rays.height}"
            )
    shape, step = (*rays.shape, point_layout(layout).size), rays.step
    if out is None:
        out = np.empty(shape, np.float32)
    elif out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ImageError(f"cloud buffer is {out.dtype} {out.shape}, expected float32 {shape} without gaps")
    rows = max(1, _TILE // shape[1])
    for top in range(0, shape[0], rows):
        points = slice(top, top + rows)
        pixels = slice(top * step, (top + rows) * step, step)
        z = np.ascontiguousarray(depth[pixels, ::step], np.float32)
        colour = _packed_colour(None if rgb is None else rgb[pixels], z.shape, step)
        x, y = cv2.multiply(z, rays.x[points]), cv2.multiply(z, rays.y[points])
        _write(x, y, z, colour, out[points])
    return out


def _write(x: np.ndarray, y: np.ndarray, z: np.ndarray, colour: np.ndarray, out: np.ndarray) -> None:
    """Put planes of (h, w) float32 into points of (h, w, 4) or (h, w, 8).

    OpenCV merges four planes with vector instructions and past the cache, more than four number by number. So a point
    of eight is written as two quadruples, x y z - and colour - - -, from planes twice as wide, where every second
    number is padding. Pairs do for those: x and colour; y and z, which are also, one number further on, z and the next
    y.
    """
    h, w = z.shape
    if out.shape[2] == 4:
        cv2.merge([x, y, z, colour], dst=out)
        return
    wide, size = (h, 2 * w), 2 * h * w
    pairs = np.empty(2 * size + 2, np.float32)
    pairs[-1] = 0
    # At odd places, which keeps OpenCV from writing the pairs past the cache, too: they are needed at once.
    x_colour, y_z, z_y = (pairs[start : start + size].reshape(wide) for start in (1, size + 1, size + 2))
    cv2.merge([x, colour], dst=x_colour.reshape(h, w, 2))
    cv2.merge([y, z], dst=y_z.reshape(h, w, 2))
    cv2.merge([x_colour, y_z, z_y, x_colour], dst=out.reshape(h, 2 * w, 4))


def _packed_colour(rgb: np.ndarray | None, shape: tuple[int, int], step: int) -> np.ndarray:
    """(h, w) float32 whose four bytes are blue, green, red and 0, of every step-th pixel of each row of (h, W, 3).

    Pixels are packed before they are picked: NumPy moves single pixels of four bytes much faster than of three.

    The last byte is 0: with 255 a bright red is NaN as a float, and readers that skip NaN would drop its point.
    """
    if rgb is None:
        return np.full(shape, 0x00FFFFFF, np.uint32).view(np.float32)
    packed = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2BGRA).view(np.uint32)[..., 0]
    packed &= np.uint32(0x00FFFFFF)
    return np.ascontiguousarray(packed[:, ::step]).view(np.float32)
