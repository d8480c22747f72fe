"""Paints that show things: posters, windows, doors, cupboard fronts, book spines, parcels, lamps."""

from __future__ import annotations

import cv2
import numpy as np

from scdepth_core.data.synthetic import patterns
from scdepth_core.data.synthetic.canvas import Canvas, random_colour
from scdepth_core.data.synthetic.solids import Paint


def poster(rng) -> Paint:
    """Abstract art, or a printed page, with a border."""
    colours = [random_colour(rng, (0.1, 0.9), (0.1, 1.0)) for _ in range(6)]
    shapes, lines = int(rng.integers(5, 20)), int(rng.integers(0, 14))

    def paint(canvas: Canvas) -> np.ndarray:
        image = canvas.fill(colours[0]) * (1 + 0.15 * canvas.noise(0.3, 4)[..., None])
        image = np.ascontiguousarray(image, np.float32)
        rows, columns = canvas.shape
        pick = canvas.rng
        for _ in range(shapes):
            points = pick.uniform(0, 1, (int(pick.integers(3, 6)), 2)) * (columns, rows)
            spot = tuple(int(c) for c in points[0])
            colour = colours[int(pick.integers(1, 6))].tolist()
            if pick.random() < 0.5:
                cv2.fillConvexPoly(image, cv2.convexHull(points.astype(np.int32)), colour)
            else:
                cv2.circle(image, spot, int(min(rows, columns) * pick.uniform(0.04, 0.25)), colour, -1)
        for index in range(lines):
            y = int(rows * (0.1 + 0.8 * (index + 0.5) / lines))
            end = (int(columns * pick.uniform(0.4, 0.9)), y)
            cv2.line(image, (int(columns * 0.1), y), end, colours[5].tolist(), max(1, rows // 80))
        return _frame(canvas, image, 0.03, colours[1])

    return paint


def window(rng) -> Paint:
    """A bright view outside, with a frame and glazing bars."""
    sky, land = (
        random_colour(rng, (0.0, 0.35), (0.85, 1.0), hue=0.58),
        random_colour(rng, (0.1, 0.5), (0.3, 0.7), hue=0.3),
    )
    bars, frame = int(rng.integers(1, 4)), random_colour(rng, (0, 0.2), (0.7, 1.0))
    horizon = rng.uniform(0.4, 0.8)

    def paint(canvas: Canvas) -> np.ndarray:
        edge = horizon * canvas.height + 0.12 * canvas.noise(0.6, 4, (1.0, 50.0))
        below = (canvas.v > edge)[..., None].astype(np.float32)
        tone = 1 + 0.12 * canvas.noise(0.4, 5, fall=0.75)[..., None]
        image = (sky * (1 - below) + land * below) * tone
        phase = canvas.u / canvas.width * bars
        bar = (np.abs(phase - np.round(phase)) * canvas.width / bars < 0.03).astype(np.float32)[..., None]
        return _frame(canvas, image * (1 - bar) + frame * bar, 0.06, frame)

    return paint


def panelled(rng, base: Paint, columns: int, rows: int, handle=None) -> Paint:
    """Doors or drawers: `columns` x `rows` panels of `base`, dark gaps, and a handle on each."""
    handle = random_colour(rng, (0, 0.3), (0.1, 0.9)) if handle is None else handle
    side = rng.choice([0.15, 0.5, 0.85])

    def paint(canvas: Canvas) -> np.ndarray:
        image = base(canvas)
        width, height = canvas.width / columns, canvas.height / rows
        x, y = canvas.u % width, canvas.v % height
        edge = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y))[..., None]
        bevel = 1 + 0.12 * np.exp(-(((edge - 0.05) / 0.008) ** 2))
        image = image * np.where(edge < 0.008, 0.3, bevel)
        grip = (np.abs(x - side * width) < 0.07) & (np.abs(y - 0.3 * height) < 0.014)
        if rows == 1:
            grip = (np.abs(x - 0.9 * width) < 0.014) & (np.abs(y - 0.5 * height) < 0.08)
        return np.where(grip[..., None], handle, image)

    return paint


def book_spines(rng) -> Paint:
    """A row of books seen from the front."""
    dull = rng.uniform(0.2, 0.9)

    def paint(canvas: Canvas) -> np.ndarray:
        count = max(1, int(canvas.width / 0.035))
        widths = canvas.rng.uniform(0.5, 1.6, count)
        edges = np.cumsum(widths) / widths.sum() * canvas.width
        index = np.searchsorted(edges, np.minimum(canvas.u[0], edges[-1]))
        colours = np.stack([random_colour(canvas.rng, (0.1, dull), (0.15, 0.95)) for _ in range(count)])
        image = np.repeat(colours[index][None], canvas.shape[0], axis=0)
        for share in canvas.rng.uniform(0.1, 0.9, 2):  # title bands
            inks = colours[canvas.rng.permutation(count)][index]
            band = np.abs(canvas.v - share * canvas.height) < 0.1 * canvas.height
            image = np.where(band[..., None], 0.6 * inks[None] + 0.3, image)
        gap = np.minimum(np.abs(canvas.u[0][:, None] - edges[None]).min(1) / 0.004, 1)[None, :, None]
        return image * (0.35 + 0.65 * gap) * (1 + 0.06 * canvas.noise(0.08, 3)[..., None])

    return paint


def parcel(rng) -> Paint:
    """Cardboard with tape and a printed label."""
    base = patterns.lacquer(rng, random_colour(rng, (0.3, 0.5), (0.45, 0.75), hue=0.09))
    tape, ink = random_colour(rng, (0.1, 0.5), (0.6, 0.95)), random_colour(rng, (0.0, 0.9), (0.1, 0.6))
    corner = rng.uniform(0.1, 0.5, 2)

    def paint(canvas: Canvas) -> np.ndarray:
        image = base(canvas)
        strip = np.abs(canvas.u - canvas.width / 2) + 0 * canvas.v < 0.03
        image = np.where(strip[..., None], tape, image)
        x, y = canvas.u / canvas.width - corner[0], canvas.v / canvas.height - corner[1]
        label = (x > 0) & (x < 0.35) & (y > 0) & (y < 0.3)
        text = label & (np.sin(canvas.v * 250) > 0) & (canvas.noise(0.03, 1) > -0.3)
        image = np.where(label[..., None], np.float32(0.92), image)
        return np.where(text[..., None], ink, image)

    return paint


def lamp(rng) -> Paint:
    """A luminous panel with a grid."""
    glow = random_colour(rng, (0.0, 0.12), (0.95, 1.0), hue=0.13)
    pitch = rng.uniform(0.06, 0.3)

    def paint(canvas: Canvas) -> np.ndarray:
        grid = ((canvas.u / pitch) % 1 < 0.1) | ((canvas.v / pitch) % 1 < 0.1)
        return _frame(canvas, np.where(grid[..., None], 0.75 * glow, glow).astype(np.float32), 0.03, 0.6 * glow)

    return paint


def _frame(canvas: Canvas, image: np.ndarray, width: float, colour) -> np.ndarray:
    edge = np.minimum(np.minimum(canvas.u, canvas.width - canvas.u), np.minimum(canvas.v, canvas.height - canvas.v))
    return np.where((edge < width)[..., None], colour, image)
