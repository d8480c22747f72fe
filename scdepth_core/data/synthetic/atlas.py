"""All textures of a scene in one picture, each with its smaller copies (mip levels)."""

from __future__ import annotations

import cv2
import numpy as np

from scdepth_core.data.synthetic.canvas import Canvas
from scdepth_core.data.synthetic.scenes import Scene
from scdepth_core.data.synthetic.solids import Surface

GUTTER = 2  # texels repeated around every tile, so that interpolation never sees its neighbour
MAX_TEXELS = 30_000  # cv2.remap addresses pictures with 16-bit integers


class TextureAtlas:
    """Baked, shaded textures of every surface of a scene.

    Attributes:
        surfaces: list of all surfaces, the shell's first; the index into it is the surface's number.
        picture: (H, W, 3) uint8 RGB.
        levels: (S,) number of mip levels of each surface.
        placing: (S, L, 4) float32: (scale u, offset u, scale v, offset v) from metres to picture texels per level.
        limits: (S, L, 4) float32: smallest and largest texel coordinate of each tile along u, then v.
    """

    def __init__(self, scene: Scene, texels_per_metre: float):
        self.surfaces: list[Surface] = list(scene.shell.surfaces)
        for solid in scene.solids:
            self.surfaces += solid.surfaces
        self.texels_per_metre = texels_per_metre
        inside = len(scene.shell.surfaces)
        tiles, owners = [], []
        for index, surface in enumerate(self.surfaces):
            for level, image in enumerate(_mip_levels(_bake(scene, surface, index, index < inside, texels_per_metre))):
                tiles.append(cv2.copyMakeBorder(image, *[GUTTER] * 4, cv2.BORDER_REPLICATE))
                owners.append((index, level))
        self._pack(tiles, owners)

    def _pack(self, tiles, owners) -> None:
        """Rows of tiles, tallest first."""
        count, depth = len(self.surfaces), 1 + max(level for _, level in owners)
        self.levels = np.zeros(count, np.int32)
        self.placing = np.zeros((count, depth, 4), np.float32)
        self.limits = np.zeros((count, depth, 4), np.float32)
        area = sum(t.shape[0] * t.shape[1] for t in tiles)
        row_width = min(MAX_TEXELS, max(int(np.sqrt(area) * 1.5), *(t.shape[1] for t in tiles)))
        spots, x, y, shelf = {}, 0, 0, 0
        for i in sorted(range(len(tiles)), key=lambda i: -tiles[i].shape[0]):
            rows, columns = tiles[i].shape[:2]
            if x + columns > row_width:
                x, y, shelf = 0, y + shelf, 0
            spots[i] = (x, y)
            x, shelf = x + columns, max(shelf, rows)
        self.picture = np.zeros((y + shelf, row_width, 3), np.uint8)
        for i, (x, y) in spots.items():
            index, level = owners[i]
            rows, columns = tiles[i].shape[:2]
            self.picture[y : y + rows, x : x + columns] = tiles[i]
            self.levels[index] = max(self.levels[index], level + 1)
            surface = self.surfaces[index]
            w, h, left, top = columns - 2 * GUTTER, rows - 2 * GUTTER, x + GUTTER, y + GUTTER
            self.placing[index, level] = (w / surface.width, left - 0.5, h / surface.height, top - 0.5)
            self.limits[index, level] = (left - 0.75, left + w - 0.25, top - 0.75, top + h - 0.25)


def _bake(scene: Scene, surface: Surface, index: int, inside: bool, texels_per_metre: float) -> np.ndarray:
    """Paint times light, (h, w, 3) uint8."""
    density = min(texels_per_metre, MAX_TEXELS / 4 / max(surface.width, surface.height))
    canvas = Canvas(np.random.default_rng([scene.seed, index]), surface.width, surface.height, density)
    image = np.asarray(surface.paint(canvas), np.float32)
    normal = -surface.normal if inside else surface.normal
    shade = scene.ambient + (1 - scene.ambient) * (0.5 + 0.5 * float(normal @ scene.light))
    light = np.float32(shade) * (1 + 0.04 * canvas.noise(2.0, 2))
    if inside:
        light = light * _corner_shade(canvas)
        if normal[2] > 0.5:
            light = light * _contact_shade(scene, surface, canvas)
    return np.clip(image * light[..., None] * 255 + 0.5, 0, 255).astype(np.uint8)


def _corner_shade(canvas: Canvas) -> np.ndarray:
    """Rooms are darker where walls meet."""
    across = np.minimum(canvas.u, canvas.width - canvas.u)
    along = np.minimum(canvas.v, canvas.height - canvas.v)
    return (1 - 0.22 * np.exp(-across / 0.25)) * (1 - 0.22 * np.exp(-along / 0.25))


def _contact_shade(scene: Scene, surface: Surface, canvas: Canvas) -> np.ndarray:
    """Soft shadows on the floor under whatever stands close above it."""
    shade = np.zeros(canvas.shape, np.float32)
    scale = np.array(canvas.shape[::-1]) / (surface.width, surface.height)
    for solid in scene.solids:
        bottom, top = solid.height_range
        if bottom < 0.9 and top > 0.1:
            points = np.c_[solid.floor_polygon, np.zeros(len(solid.vertices))] - surface.origin
            texels = np.stack([points @ surface.right, points @ surface.down], 1) * scale
            cv2.fillConvexPoly(shade, cv2.convexHull(texels.astype(np.int32)), 0.65 if bottom < 0.3 else 0.45)
    sigma = 0.07 * scale[0]
    return 1 - cv2.GaussianBlur(shade, (0, 0), sigma)


def _mip_levels(image: np.ndarray) -> list[np.ndarray]:
    levels = [image]
    while max(levels[-1].shape[:2]) > 2:
        rows, columns = levels[-1].shape[:2]
        size = max(1, (columns + 1) // 2), max(1, (rows + 1) // 2)
        levels.append(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA))
    return levels
