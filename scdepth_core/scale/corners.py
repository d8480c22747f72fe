"""Corners of a picture that lie on one surface, the depth there, and where a later picture shows them.

The outline of an object moves with the object, while the pixels beside it show the wall behind. With the depth of the
wall, such a corner says that the camera went further than it did, and it is never the other way round: enough of them
make the way too long. So the tracker's window is small, and the depth in it has to be that of one surface.
"""

from __future__ import annotations

import cv2
import numpy as np

from scdepth_core.data.frame_selection import find_corners, track

_WINDOW = 9  # pixels: side of the square that is followed
_BLUR = 5  # pixels: side of the square whose median depth counts
_REACH = 3  # pixels from a corner to the squares beside it: together they cover the window
_BEND = 0.12  # of inverse depth, relative, between a corner and the squares beside it: two surfaces
_DIRECTIONS = ((1, 0), (0, 1), (1, 1), (1, -1))


def corners_on_surfaces(grey: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (N, 2) float32 pixels of a picture (H, W) uint8, and their depth (N,) in the unit of `depth` (H, W)."""
    corners = find_corners(grey)
    there = depth_of_surface(corners, depth)
    known = np.isfinite(there)
    return corners[known], there[known]


def depth_of_surface(corners: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Median depth (N,) around corners (N, 2); NaN at the border, beside unknown depth, and where surfaces meet.

    The inverse depth of a plane is linear in the pixel, whichever way the plane leans: the median at a corner is the
    mean of those on both sides of it. Where it is not, depth jumps or a surface ends.
    """
    margin = _REACH + _BLUR // 2
    height, width = depth.shape
    known = np.isfinite(depth) & (depth > 0)
    inverse = cv2.medianBlur(np.divide(1, depth, where=known, out=np.zeros(depth.shape, np.float32)), _BLUR)
    sound = cv2.erode(known.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0
    column, row = np.rint(corners).astype(int).reshape(-1, 2).T
    inside = (column >= margin) & (column < width - margin) & (row >= margin) & (row < height - margin)
    found = np.full(len(corners), np.nan)
    column, row = column[inside], row[inside]
    here = inverse[row, column].astype(np.float64)
    flat = sound[row, column]
    for x, y in _DIRECTIONS:
        x, y = _REACH * x, _REACH * y
        beside = inverse[row + y, column + x].astype(np.float64) + inverse[row - y, column - x]
        flat &= np.abs(beside - 2 * here) < _BEND * here
    found[inside] = np.divide(1, here, where=flat, out=np.full(len(here), np.nan))
    return found


def follow(first: np.ndarray, second: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where corners (N, 2) of the first picture are seen in the second.

    Returns:
        indices (M,) of the corners that could be followed, and their pixels (M, 2) float64 in the second picture.
    """
    there, here = track(first, second, corners, _WINDOW)
    place = {tuple(corner): index for index, corner in enumerate(corners.tolist())}
    return np.array([place[tuple(corner)] for corner in there.tolist()], int), here.astype(np.float64)
