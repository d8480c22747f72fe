"""Where a camera can be: a raster of what stands on the floor, and the distance of every spot to the nearest of it."""

from __future__ import annotations

import cv2
import numpy as np

from scdepth_core.data.synthetic.solids import Solid

CELL = 0.05  # metres


class FloorPlan:
    """Occupancy of [0, width] x [0, length] between two heights.

    Attributes:
        occupied: (rows, columns) uint8, 1 where something stands; row = y, column = x; a border of one cell is wall.
        clearance: (rows, columns) float32 metres from each cell centre to the nearest occupied cell.
    """

    def __init__(self, width: float, length: float, solids: list[Solid], low: float, high: float):
        shape = int(np.ceil(length / CELL)) + 2, int(np.ceil(width / CELL)) + 2
        self.low, self.high = low, high
        self.occupied = np.zeros(shape, np.uint8)
        self.occupied[[0, -1]] = 1
        self.occupied[:, [0, -1]] = 1
        for solid in solids:
            self.add(solid)
        self.measure()

    def add(self, solid: Solid) -> None:
        bottom, top = solid.height_range
        if bottom < self.high and top > self.low:
            cv2.fillConvexPoly(self.occupied, self.outline(solid.floor_polygon), 1)

    def measure(self) -> None:
        """Brings `clearance` up to date after add()."""
        free = (self.occupied == 0).astype(np.uint8)
        self.clearance = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * CELL

    def outline(self, polygon: np.ndarray) -> np.ndarray:
        cells = np.round(self.to_cells(polygon)).astype(np.int32)
        return cv2.convexHull(cells)

    @staticmethod
    def to_cells(points: np.ndarray) -> np.ndarray:
        """(N, 2) metres to fractional (column, row); the centre of cell (1, 1) is at half a cell."""
        return np.asarray(points, np.float32) / CELL + 0.5

    @staticmethod
    def to_metres(cells: np.ndarray) -> np.ndarray:
        """(N, 2) (column, row) to metres: the inverse of `to_cells`."""
        return (cells - 0.5) * CELL

    def clearance_at(self, points: np.ndarray) -> np.ndarray:
        """Distance (N,) of points (N, 2) to the nearest obstacle, metres; 0 outside the plan."""
        cells = self.to_cells(points).reshape(-1, 1, 2)
        return cv2.remap(self.clearance, cells, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[:, 0]

    def open_region(self, margin: float) -> np.ndarray:
        """(rows, columns) bool: the largest connected region with at least `margin` metres of clearance."""
        free = (self.clearance >= margin).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
        if count < 2:
            return np.zeros(free.shape, bool)
        return labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))

    def view_distance(self, point: np.ndarray, angles: np.ndarray, limit: float = 6.0) -> np.ndarray:
        """How far one sees from point (2,) in each direction of `angles`, metres, up to `limit`."""
        directions = np.stack([np.cos(angles), np.sin(angles)], 1)
        distance = np.zeros(len(angles))
        for _ in range(40):  # sphere tracing
            step = self.clearance_at(point + distance[:, None] * directions)
            distance += np.where(step > CELL, 0.9 * step, 0)
        return np.minimum(distance, limit)
