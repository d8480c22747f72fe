"""Convex solids with a painted surface on every side: all that synthetic scenes are made of.

World frame: metres, z up. A solid is the set n·p <= d over its planes. Seen from outside, a ray enters it through the
nearest of its front-facing planes; a room is the same thing seen from inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Paint = Callable[["Canvas"], np.ndarray]  # noqa: F821 - fills a canvas, see canvas.py


@dataclass(frozen=True, eq=False)
class Surface:
    """One painted side: a rectangle in world space that covers the (possibly smaller) polygon of a solid's side.

    Attributes:
        normal: (3,) unit, pointing out of the solid.
        offset: n·p on the plane, metres.
        origin: (3,) world position of the texture's top-left corner.
        right, down: (3,) unit axes of the texture.
        width, height: size of the texture, metres.
        paint: what fills it.
    """

    normal: np.ndarray
    offset: float
    origin: np.ndarray
    right: np.ndarray
    down: np.ndarray
    width: float
    height: float
    paint: Paint


@dataclass(frozen=True, eq=False)
class Solid:
    """A convex solid: surfaces (one per plane) and vertices (V, 3)."""

    surfaces: tuple[Surface, ...]
    vertices: np.ndarray

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Lower bound of the distance of points (N, 3) to this solid, metres; negative inside."""
        normals = np.stack([s.normal for s in self.surfaces])
        offsets = np.array([s.offset for s in self.surfaces])
        return (points @ normals.T - offsets).max(axis=1)

    @property
    def floor_polygon(self) -> np.ndarray:
        """(V, 2) footprint: the vertices seen from above (not ordered)."""
        return self.vertices[:, :2]

    @property
    def height_range(self) -> tuple[float, float]:
        return float(self.vertices[:, 2].min()), float(self.vertices[:, 2].max())


@dataclass(frozen=True)
class Placement:
    """Where a piece of furniture stands: its own frame has x to its right, y out of its front, z up, metres.

    yaw turns the piece about the vertical, counter-clockwise, radians.
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0

    def box(self, centre, size, paint: Paint, front: Paint | None = None, top: Paint | None = None, yaw=0.0):
        """A box around `centre` (3,) with full `size` (3,); `front` covers +y, `top` covers +z, `paint` the rest."""
        half = np.asarray(size, float) / 2
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half[:2]  # counter-clockwise
        sides = [paint, paint, front or paint, paint]
        return self._extrude(corners, centre, half[2], sides, top or paint, paint, yaw)

    def prism(self, centre, radius: float, height: float, paint: Paint, top: Paint | None = None, sides: int = 10):
        """An upright regular prism (a bin, a pot, a column) around `centre`."""
        angles = 2 * np.pi * np.arange(sides) / sides
        corners = radius * np.stack([np.cos(angles), np.sin(angles)], 1)
        return self._extrude(corners, centre, height / 2, [paint] * sides, top or paint, paint, 0.0)

    def _extrude(self, corners, centre, half_height, side_paints, top, bottom, yaw) -> Solid:
        x, y = _turn(centre[0], centre[1], self.yaw)
        centre = np.array([self.x + x, self.y + y, self.z + centre[2]])
        corners = np.stack(_turn(corners[:, 0], corners[:, 1], self.yaw + yaw), 1) + centre[:2]
        low, high = centre[2] - half_height, centre[2] + half_height
        surfaces = [
            _side(a, b, low, high, paint) for a, b, paint in zip(corners, np.roll(corners, -1, axis=0), side_paints)
        ]
        # Top and bottom are laid out along the piece's own axes, so that planks and labels turn with it.
        axes = [np.array([*_turn(*axis, self.yaw + yaw), 0.0]) for axis in ((1.0, 0.0), (0.0, -1.0))]
        for sign, z, paint in ((1.0, high, top), (-1.0, low, bottom)):
            surfaces.append(_lid(corners, z, sign, axes[0], axes[1], paint))
        vertices = np.concatenate([np.c_[corners, np.full(len(corners), z)] for z in (low, high)])
        return Solid(tuple(surfaces), vertices)


def room_shell(width: float, length: float, height: float, wall: Paint, floor: Paint, ceiling: Paint) -> Solid:
    """The inside of a room over [0, width] x [0, length] x [0, height]; surface order: 4 walls, ceiling, floor."""
    place = Placement(width / 2, length / 2)
    solid = place.box((0, 0, height / 2), (width, length, height), wall, top=ceiling)
    lower = solid.surfaces[-1]
    return Solid((*solid.surfaces[:-1], _with_paint(lower, floor)), solid.vertices)


def _with_paint(surface: Surface, paint: Paint) -> Surface:
    values = {name: getattr(surface, name) for name in surface.__dataclass_fields__}
    return Surface(**{**values, "paint": paint})


def _turn(x, y, angle):
    c, s = np.cos(angle), np.sin(angle)
    return c * x - s * y, s * x + c * y


def _side(a, b, low, high, paint) -> Surface:
    """The upright side over the edge a -> b of a counter-clockwise outline."""
    along = np.array([*(b - a), 0.0])
    width = float(np.linalg.norm(along))
    along /= width
    normal = np.array([along[1], -along[0], 0.0])
    origin = np.array([a[0], a[1], high])
    down = np.array([0.0, 0.0, -1.0])
    return Surface(normal, float(normal @ origin), origin, along, down, width, high - low, paint)


def _lid(corners, z, sign, right, down, paint) -> Surface:
    """The level side at height z; `sign` is the direction of its normal along z."""
    u, v = corners @ right[:2], corners @ down[:2]
    origin = right * u.min() + down * v.min() + np.array([0.0, 0.0, z])
    normal = np.array([0.0, 0.0, sign])
    return Surface(normal, sign * z, origin, right, down, float(np.ptp(u)), float(np.ptp(v)), paint)
