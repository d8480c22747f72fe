"""Ray casting of a scene through any calibrated camera: colour and exact depth.

A ray is (x, y, 1) in the camera's optical frame, so its parameter is the depth Z. Against a plane with outward normal n
at signed distance s of the camera (s > 0: the plane is seen from its front), the inverse depth of the hit is

    w = -(n . ray) / s        (an affine function of x and y)

A convex solid is hit where the least w of its front-facing planes exceeds both 0 and the greatest w of its back-facing
planes; a room seen from inside is hit at the greatest w of all of its planes.
"""

from __future__ import annotations

import cv2
import numpy as np

from scdepth_core.data.synthetic.atlas import TextureAtlas
from scdepth_core.data.synthetic.rays import pixel_rays
from scdepth_core.data.synthetic.scenes import Scene
from scdepth_core.errors import CameraError
from scdepth_core.geometry.camera import Camera

NEAR = 0.02  # metres: solids reaching closer to the camera plane than this are drawn over the whole image


class Renderer:
    """Draws one scene as one camera sees it.

    Args:
        scene: what to draw.
        camera: intrinsics and distortion; the image is rendered through the distortion directly.
        supersampling: rays per pixel along each axis for the colour image (depth is that of the pixel's centre).
        texels_per_metre: resolution of the textures; by default what suits the focal length.
        atlas: textures baked before, to share between renderers of the same scene.
    """

    def __init__(
        self,
        scene: Scene,
        camera: Camera,
        supersampling: int = 2,
        texels_per_metre: float | None = None,
        atlas: TextureAtlas | None = None,
    ):
        self.scene, self.camera, self.supersampling = scene, camera, supersampling
        if texels_per_metre is None:
            texels_per_metre = float(np.clip(0.75 * camera.K[0, 0], 64, 192))
        self.atlas = atlas or TextureAtlas(scene, texels_per_metre)
        surfaces = self.atlas.surfaces
        self._normals = np.stack([s.normal for s in surfaces])
        self._offsets = np.array([s.offset for s in surfaces])
        self._origins = np.stack([s.origin for s in surfaces])
        self._axes = np.stack([[s.right, s.down] for s in surfaces])  # (S, 2, 3)
        counts = [len(scene.shell.surfaces), *(len(s.surfaces) for s in scene.solids)]
        self._first = np.concatenate([[0], np.cumsum(counts)])
        most = max((len(s.vertices) for s in scene.solids), default=1)
        self._vertices = np.stack(  # (solids, most, 3), short lists padded with their own last vertex
            [np.pad(s.vertices, ((0, most - len(s.vertices)), (0, 0)), mode="edge") for s in scene.solids]
            or [np.zeros((most, 3))]
        )
        self._centres = _RayGrid(camera, 1)
        self._samples = _RayGrid(camera, supersampling) if supersampling > 1 else self._centres

    def render(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colour (H, W, 3) uint8 RGB and depth (H, W) float32 metres along the optical axis.

        Args:
            pose: (4, 4) camera-to-world, optical frame (x right, y down, z forward), world z up.

        Raises:
            CameraError: if the camera is inside something or outside the scene.
        """
        view = self._view(pose)
        inverse_depth, _ = self._cast(view, self._centres)
        samples = self._samples
        w, surface = (inverse_depth, _) if samples is self._centres else self._cast(view, samples)
        colour = self._shade(view, samples, w, surface)
        if self.supersampling > 1:
            colour = cv2.resize(colour, (self.camera.width, self.camera.height), interpolation=cv2.INTER_AREA)
        return colour, 1.0 / inverse_depth

    def _view(self, pose) -> _View:
        pose = np.asarray(pose, np.float64)
        rotation, position = pose[:3, :3], pose[:3, 3]
        if self.scene.clearance(position[None])[0] <= 0:
            raise CameraError(
                f"the camera at {np.round(position, 2).tolist()} is inside a wall or a piece of furniture"
            )
        return _View(self, rotation, position)

    def _cast(self, view: _View, grid: _RayGrid):
        """Inverse depth (h, w) float32 and surface number (h, w) int32 of the nearest hit of every ray."""
        planes = view.planes
        nearest = np.full(grid.shape, 1e-6, np.float32)
        surface = np.zeros(grid.shape, np.int32)
        for index in range(self._first[1]):
            w = _plane(planes[index], grid.x, grid.y)
            np.copyto(surface, index, where=w > nearest)
            np.maximum(nearest, w, out=nearest)
        for number in view.visible:
            window = grid.window(view.bounds[number])
            if window is not None:
                first, last = self._first[number + 1], self._first[number + 2]
                _cast_solid(planes, view.distances, range(first, last), grid, window, nearest, surface)
        return nearest, surface

    def _shade(self, view: _View, grid: _RayGrid, w: np.ndarray, surface: np.ndarray) -> np.ndarray:
        """Texture colours (h, w, 3) uint8, trilinear between mip levels chosen by the pixel's size on the surface."""
        atlas = self.atlas
        depth = 1.0 / w
        slope = np.take(view.slopes, surface) * depth * grid.length
        level = depth * (1.0 + slope) * (grid.pitch * atlas.texels_per_metre)
        np.maximum(level, 1.0, out=level)
        level = np.minimum(np.log2(level), np.take(atlas.levels - 1, surface)).astype(np.float32)
        upper = level.astype(np.int32)
        u = _affine(view.texture[:, 0], surface, grid, depth)
        v = _affine(view.texture[:, 1], surface, grid, depth)
        fine = self._sample(surface, upper, u, v)
        coarse = self._sample(surface, np.minimum(upper + 1, np.take(atlas.levels - 1, surface)), u, v)
        mix = level - upper.astype(np.float32)
        return cv2.blendLinear(fine, coarse, 1 - mix, mix)

    def _sample(self, surface, level, u, v) -> np.ndarray:
        atlas = self.atlas
        tile = surface * atlas.placing.shape[1] + level
        placing, limits = atlas.placing.reshape(-1, 4), atlas.limits.reshape(-1, 4)
        maps = []
        for axis, coordinate in ((0, u), (2, v)):
            texel = coordinate * np.take(placing[:, axis], tile) + np.take(placing[:, axis + 1], tile)
            np.clip(texel, np.take(limits[:, axis], tile), np.take(limits[:, axis + 1], tile), out=texel)
            maps.append(texel)
        return cv2.remap(atlas.picture, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


class _RayGrid:
    """Rays of an image: x and y broadcast to `shape`; one ray each per pixel, or several."""

    def __init__(self, camera: Camera, supersampling: int):
        self.x, self.y = pixel_rays(camera, supersampling)
        self.shape = camera.height * supersampling, camera.width * supersampling
        self.length = np.sqrt(self.x**2 + self.y**2 + 1).astype(np.float32)
        self.pitch = np.float32(1 / (min(camera.K[0, 0], camera.K[1, 1]) * supersampling))
        x, y = (np.broadcast_to(a, self.shape) for a in (self.x, self.y))
        self._columns = x.min(axis=0), x.max(axis=0)
        self._rows = y.min(axis=1), y.max(axis=1)

    def window(self, bounds) -> tuple[slice, slice] | None:
        """The part of the image with rays inside bounds (x low, x high, y low, y high), or None."""
        spans = []
        for (low, high), (least, greatest) in ((bounds[2:], self._rows), (bounds[:2], self._columns)):
            hit = np.flatnonzero((greatest >= low) & (least <= high))
            if not len(hit):
                return None
            spans.append(slice(int(hit[0]), int(hit[-1]) + 1))
        return spans[0], spans[1]

    def part(self, window):
        rows, columns = window
        x = self.x[rows, columns] if self.x.shape[0] > 1 else self.x[:, columns]
        y = self.y[rows, columns] if self.y.shape[1] > 1 else self.y[rows]
        return x, y


class _View:
    """What a pose makes of the scene: planes in camera coordinates, and which solids can be seen where."""

    def __init__(self, renderer: Renderer, rotation: np.ndarray, position: np.ndarray):
        normals = renderer._normals @ rotation
        distances = renderer._normals @ position - renderer._offsets
        distances = np.where(np.abs(distances) < 1e-7, 1e-7, distances)
        self.distances = distances
        self.planes = (-normals / distances[:, None]).astype(np.float32)
        # Size of a pixel on a surface: depth * (1 + |ray| * slope * depth), the long axis of its footprint.
        self.slopes = (np.hypot(normals[:, 0], normals[:, 1]) / np.abs(distances)).astype(np.float32)
        axes = renderer._axes @ rotation  # (S, 2, 3)
        start = np.einsum("sak,sk->sa", renderer._axes, position - renderer._origins)
        self.texture = np.concatenate([axes, start[..., None]], -1).astype(np.float32)  # (S, 2, 4)
        points = (renderer._vertices - position) @ rotation
        z = points[..., 2]
        safe = np.maximum(z, NEAR)[..., None]
        flat = points[..., :2] / safe
        low, high = flat.min(axis=1), flat.max(axis=1)
        crossing = z.min(axis=1) < NEAR
        low[crossing], high[crossing] = -np.inf, np.inf
        self.bounds = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], 1)
        seen = np.flatnonzero(z.max(axis=1) > NEAR) if renderer.scene.solids else np.zeros(0, int)
        self.visible = seen[np.argsort(z.min(axis=1)[seen])]


def _plane(coefficients, x, y):
    a, b, c = coefficients
    return a * x + (b * y + c)


def _cast_solid(planes, distances, numbers, grid, window, nearest, surface) -> None:
    """Draws one solid into the part `window` of the buffers."""
    x, y = grid.part(window)
    entry = entry_surface = leave = None
    for index in numbers:
        w = _plane(planes[index], x, y)
        if distances[index] <= 0:
            leave = w if leave is None else np.maximum(leave, w, out=leave)
        elif entry is None:
            entry, entry_surface = w, np.full(w.shape, index, np.int32)
        else:
            np.copyto(entry_surface, index, where=w < entry)
            np.minimum(entry, w, out=entry)
    hit = entry > np.maximum(nearest[window], leave)
    np.copyto(nearest[window], entry, where=hit)
    np.copyto(surface[window], entry_surface, where=hit)


def _affine(coefficients, surface, grid, depth):
    """Metres along one texture axis: start + depth * (axis . ray), with the coefficients of each pixel's surface."""
    a, b, c, start = (np.take(np.ascontiguousarray(coefficients[:, i]), surface) for i in range(4))
    return (a * grid.x + b * grid.y + c) * depth + start
