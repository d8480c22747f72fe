"""Paints for walls, floors and materials. Each factory draws its colours and sizes now and returns a `Paint`.

Every paint has detail from metres down to centimetres, because photometric warping learns nothing from a blank wall.
"""

from __future__ import annotations

import numpy as np

from scdepth_core.data.synthetic.canvas import Canvas, random_colour
from scdepth_core.data.synthetic.solids import Paint


def plaster(rng, colour=None, contrast: float | None = None) -> Paint:
    """Painted wall with stains, roller marks and grain."""
    colour = random_colour(rng, (0.02, 0.35), (0.55, 0.95)) if colour is None else colour
    contrast = rng.uniform(0.03, 0.09) if contrast is None else contrast
    tint = random_colour(rng, (0.0, 0.5), (0.6, 1.0))

    def paint(canvas: Canvas) -> np.ndarray:
        stain = np.clip(canvas.noise(1.4, 3), 0, 2)[..., None]
        tone = canvas.noise(0.8, 6, fall=0.75)[..., None]
        return canvas.fill(colour) * (1 + contrast * tone) * (1 - 0.15 * stain * (1 - tint))

    return paint


def striped(rng) -> Paint:
    """Wallpaper with upright stripes of two or three colours."""
    base = random_colour(rng, (0.05, 0.4), (0.5, 0.95))
    other = np.clip(base * rng.uniform(0.6, 1.3) + rng.normal(0, 0.08, 3), 0, 1)
    pitch, share = rng.uniform(0.06, 0.35), rng.uniform(0.2, 0.7)

    def paint(canvas: Canvas) -> np.ndarray:
        inside = ((canvas.u / pitch) % 1.0 < share).astype(np.float32)[..., None]
        tone = canvas.noise(0.6, 5, fall=0.75)[..., None]
        return (base * (1 - inside) + other * inside) * (1 + 0.05 * tone)

    return paint


def motifs(rng) -> Paint:
    """Wallpaper or fabric with a repeated random ornament."""
    base = random_colour(rng, (0.05, 0.45), (0.35, 0.95))
    ink = random_colour(rng, (0.2, 0.7), (0.2, 0.9))
    pitch = rng.uniform(0.12, 0.5)
    waves = rng.integers(1, 4, (3, 2)), rng.uniform(0, 6.3, 3)

    def paint(canvas: Canvas) -> np.ndarray:
        u, v = 2 * np.pi * canvas.u / pitch, 2 * np.pi * canvas.v / pitch
        field = sum(np.cos(a * u + p) * np.cos(b * v - p) for (a, b), p in zip(*waves))
        mix = np.clip(field * 3, 0, 1)[..., None].astype(np.float32)
        return (base * (1 - mix) + ink * mix) * (1 + 0.05 * canvas.noise(0.5, 5, fall=0.75)[..., None])

    return paint


def bricks(rng) -> Paint:
    """Bricks in running bond."""
    colour = random_colour(rng, (0.3, 0.6), (0.4, 0.75), hue=0.03) if rng.random() < 0.6 else random_colour(rng)
    mortar = random_colour(rng, (0, 0.1), (0.4, 0.8))
    width, height = rng.uniform(0.2, 0.42), rng.uniform(0.07, 0.2)

    def paint(canvas: Canvas) -> np.ndarray:
        return _courses(canvas, width, height, 0.5, 0.012, colour, mortar, 0.13)

    return paint


def planks(rng, colour=None) -> Paint:
    """Floor boards with grain along u."""
    colour = random_colour(rng, (0.3, 0.65), (0.25, 0.75), hue=0.08) if colour is None else colour
    width, length = rng.uniform(0.08, 0.22), rng.uniform(0.6, 1.8)
    turned = rng.random() < 0.5

    def paint(canvas: Canvas) -> np.ndarray:
        return _courses(canvas, length, width, 0.37, 0.006, colour, colour * 0.35, 0.14, grain=True, turned=turned)

    return paint


def tiles(rng, size=(0.15, 0.6), colour=None) -> Paint:
    """Square tiles with joints; half of them a chessboard of two colours."""
    colour = random_colour(rng, (0.02, 0.4), (0.4, 0.95)) if colour is None else colour
    second = colour * rng.uniform(0.35, 0.85) if rng.random() < 0.5 else None
    joint = colour * rng.uniform(0.4, 0.8)
    pitch = rng.uniform(*size)
    speckle = rng.uniform(0.03, 0.1)

    def paint(canvas: Canvas) -> np.ndarray:
        image = _courses(canvas, pitch, pitch, 0.0, 0.01, colour, joint, 0.06, second=second)
        return image * (1 + speckle * canvas.noise(0.25, 5, fall=0.8)[..., None])

    return paint


def carpet(rng) -> Paint:
    """Woven floor covering: mottled, with a coarse pattern."""
    colour, second = random_colour(rng, (0.1, 0.6), (0.25, 0.7)), random_colour(rng, (0.1, 0.6), (0.2, 0.7))
    scale, sharp = rng.uniform(0.15, 0.9), rng.uniform(0.5, 2.5)

    def paint(canvas: Canvas) -> np.ndarray:
        mix = np.clip(0.5 + 0.3 * sharp * canvas.noise(scale, 3), 0, 1)[..., None]
        return (colour * mix + second * (1 - mix)) * (1 + 0.1 * canvas.noise(0.1, 4, fall=0.9)[..., None])

    return paint


def stone(rng) -> Paint:
    """Concrete, marble or terrazzo."""
    colour = random_colour(rng, (0.0, 0.2), (0.35, 0.85))
    vein = random_colour(rng, (0.0, 0.4), (0.15, 0.9))
    scale, veins = rng.uniform(0.4, 1.5), rng.random() < 0.6

    def paint(canvas: Canvas) -> np.ndarray:
        field = canvas.noise(scale, 6, fall=0.7)
        mix = np.exp(-(field**2) * 12) if veins else np.clip(canvas.noise(0.09, 2) - 0.7, 0, 0.8)
        mix = 0.7 * mix[..., None]
        tone = 1 + 0.09 * canvas.noise(scale * 0.7, 6, fall=0.8)[..., None]
        return (colour * (1 - mix) + vein * mix) * tone

    return paint


def wood(rng, colour=None) -> Paint:
    """Furniture wood or veneer, grain along the longer side."""
    colour = random_colour(rng, (0.25, 0.65), (0.25, 0.85), hue=0.08) if colour is None else colour
    strength = rng.uniform(0.08, 0.2)

    def paint(canvas: Canvas) -> np.ndarray:
        stretch = (6.0, 1.0) if canvas.width > canvas.height else (1.0, 6.0)
        grain = canvas.noise(0.12, 4, stretch, fall=0.8)[..., None]
        return canvas.fill(colour) * (1 + strength * grain + 0.06 * canvas.noise(0.5, 3)[..., None])

    return paint


def fabric(rng, colour=None) -> Paint:
    """Upholstery: plaid, stripes or mottled."""
    colour = random_colour(rng, (0.1, 0.7), (0.25, 0.85)) if colour is None else colour
    second = random_colour(rng, (0.1, 0.7), (0.2, 0.9))
    pitch, kind = rng.uniform(0.06, 0.3), rng.integers(3)

    def paint(canvas: Canvas) -> np.ndarray:
        across = np.clip(np.sin(2 * np.pi * canvas.u / pitch) * 4, 0, 1)
        along = np.clip(np.sin(2 * np.pi * canvas.v / pitch) * 4, 0, 1)
        mix = (0.35 * (across + along), 0.6 * across + 0 * along, np.clip(0.5 * canvas.noise(0.2, 3), 0, 0.8))[kind]
        mix = mix[..., None].astype(np.float32)
        return (colour * (1 - mix) + second * mix) * (1 + 0.07 * canvas.noise(0.2, 5, fall=0.85)[..., None])

    return paint


def lacquer(rng, colour=None) -> Paint:
    """Painted metal or plastic with wear."""
    colour = random_colour(rng, (0.0, 0.8), (0.12, 0.95)) if colour is None else colour

    def paint(canvas: Canvas) -> np.ndarray:
        wear = np.clip(canvas.noise(0.25, 4) - 1.2, 0, 0.25)[..., None]
        return canvas.fill(colour) * (1 + 0.06 * canvas.noise(0.3, 5, fall=0.8)[..., None]) * (1 - wear)

    return paint


def foliage(rng) -> Paint:
    """Leaves of a pot plant."""
    colour = random_colour(rng, (0.4, 0.8), (0.25, 0.6), hue=0.3)

    def paint(canvas: Canvas) -> np.ndarray:
        return canvas.fill(colour) * np.clip(1 + 0.5 * canvas.noise(0.12, 3, fall=0.8), 0.15, 1.8)[..., None]

    return paint


def _courses(canvas, width, height, shift, joint, colour, gap, spread, second=None, grain=False, turned=False):
    """Rows of rectangles, each row shifted by `shift` of a width; one tone per rectangle, joints in colour `gap`."""
    u, v = (canvas.v, canvas.u) if turned else (canvas.u, canvas.v)
    row = np.floor(v / height)
    along = u / width + shift * row
    column = np.floor(along)
    tone = 1 + canvas.cell_tones(row, column, spread) + 0.05 * canvas.noise(0.4, 5, fall=0.75)
    if grain:
        tone = tone + 0.07 * canvas.noise(0.1, 3, (1.0, 7.0) if turned else (7.0, 1.0))
    image = np.asarray(colour, np.float32) * tone[..., None]
    if second is not None:
        odd = ((row + column) % 2)[..., None].astype(np.float32)
        image *= 1 - odd * (1 - second / np.maximum(colour, 1e-3))
    inside = _soft_edge((along - column) * width, width, joint) * _soft_edge(v - row * height, height, joint)
    inside = np.broadcast_to(inside, canvas.shape)[..., None].astype(np.float32)
    return image * inside + np.asarray(gap, np.float32) * (1 - inside)


def _soft_edge(position, size, joint):
    """1 inside [0, size], falling to 0 over the half joint at both ends."""
    return np.clip(np.minimum(position, size - position) / joint, 0, 1)
