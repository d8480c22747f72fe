"""Pieces of furniture: each function returns the solids of one piece, standing at a placement.

A piece's own frame has its front towards +y and its middle at (0, 0); sizes are drawn from what shops sell.
"""

from __future__ import annotations

from scdepth_core.data.synthetic import patterns, pictures
from scdepth_core.data.synthetic.solids import Placement, Solid


def table(rng, at: Placement, width: float, depth: float) -> list[Solid]:
    height, leg = rng.uniform(0.68, 0.8), rng.uniform(0.04, 0.09)
    material = patterns.wood(rng) if rng.random() < 0.7 else patterns.lacquer(rng)
    solids = [at.box((0, 0, height - 0.02), (width, depth, 0.04), material)]
    for x in (-1, 1):
        for y in (-1, 1):
            spot = (x * (width - leg) / 2, y * (depth - leg) / 2, (height - 0.04) / 2)
            solids.append(at.box(spot, (leg, leg, height - 0.04), material))
    return solids + clutter(rng, at, width, depth, height, int(rng.integers(1, 6)))


def clutter(rng, at: Placement, width: float, depth: float, height: float, count: int) -> list[Solid]:
    """Small things standing on a top of width x depth at `height`, one per slot along x so that none overlap."""
    solids = []
    slot = width / max(count, 1)
    for index in range(count):
        size = min(0.8 * slot, 0.45, depth) * rng.uniform(0.45, 1.0)
        tall = rng.uniform(0.05, 0.4)
        x = -width / 2 + (index + 0.5) * slot
        y = rng.uniform(-0.5, 0.5) * max(depth - size, 0)
        paint = [patterns.lacquer, pictures.poster, pictures.parcel, patterns.fabric][rng.integers(4)](rng)
        if rng.random() < 0.3:
            solids.append(at.prism((x, y, height + tall / 2), size / 3, tall, paint))
        else:
            sides = (size * 0.7, size * 0.6, tall)
            solids.append(at.box((x, y, height + tall / 2), sides, paint, yaw=rng.uniform(-0.5, 0.5)))
    return solids


def chair(rng, at: Placement) -> list[Solid]:
    seat, leg = rng.uniform(0.42, 0.48), 0.04
    material, cover = patterns.wood(rng), patterns.fabric(rng)
    solids = [
        at.box((0, 0, seat - 0.03), (0.44, 0.44, 0.06), cover),
        at.box((0, -0.2, seat + 0.25), (0.42, 0.04, 0.4), cover),
    ]
    for x in (-0.19, 0.19):
        for y in (-0.19, 0.19):
            solids.append(at.box((x, y, (seat - 0.06) / 2), (leg, leg, seat - 0.06), material))
    return solids


def cupboard(rng, at: Placement, width: float, depth: float, height: float) -> list[Solid]:
    base = patterns.wood(rng) if rng.random() < 0.6 else patterns.lacquer(rng)
    tall = height > 1.3
    columns = max(1, round(width / rng.uniform(0.4, 0.7)))
    rows = 1 if tall else int(rng.integers(2, 5))
    front = pictures.panelled(rng, base, columns, rows)
    solids = [at.box((0, 0, height / 2), (width, depth, height), base, front=front)]
    if height < 1.9:
        solids += clutter(rng, at, width * 0.9, depth * 0.9, height, int(rng.integers(0, 5)))
    return solids


def bookshelf(rng, at: Placement, width: float, depth: float, height: float) -> list[Solid]:
    base, board = patterns.wood(rng), 0.025
    rows = max(2, round(height / rng.uniform(0.3, 0.42)))
    pitch = (height - board) / rows
    solids = [
        at.box((0, -depth / 2 + 0.01, height / 2), (width, 0.02, height), base),
        *(at.box((x * (width - board) / 2, 0, height / 2), (board, depth, height), base) for x in (-1, 1)),
        *(at.box((0, 0, board / 2 + row * pitch), (width, depth, board), base) for row in range(rows + 1)),
    ]
    inner = width - 2 * board
    for row in range(rows):
        fill, tall = rng.uniform(0.4, 1.0) * inner, rng.uniform(0.55, 0.85) * (pitch - board)
        x = rng.choice([-1, 1]) * (inner - fill) / 2
        middle = (x, -0.15 * depth, row * pitch + board + tall / 2)
        spines = pictures.book_spines(rng)
        solids.append(at.box(middle, (fill, 0.6 * depth, tall), patterns.fabric(rng), front=spines))
    return solids


def sofa(rng, at: Placement, width: float, depth: float) -> list[Solid]:
    cover, arm = patterns.fabric(rng), rng.uniform(0.14, 0.24)
    solids = [
        at.box((0, 0, 0.21), (width, depth, 0.42), cover),
        at.box((0, -depth / 2 + 0.11, 0.62), (width, 0.22, 0.4), cover),
        *(at.box((x * (width - arm) / 2, 0, 0.52), (arm, depth, 0.2), cover) for x in (-1, 1)),
    ]
    for x in rng.uniform(-0.3, 0.3, int(rng.integers(0, 4))) * width:
        yaw = rng.uniform(-0.4, 0.4)
        solids.append(at.box((x, -0.05, 0.6), (0.42, 0.14, 0.36), patterns.fabric(rng), yaw=yaw))
    return solids


def bed(rng, at: Placement, width: float, depth: float) -> list[Solid]:
    return [
        at.box((0, 0, 0.15), (width, depth, 0.3), patterns.wood(rng)),
        at.box((0, 0.05, 0.41), (width * 0.97, depth * 0.93, 0.22), patterns.fabric(rng)),
        at.box((0, -depth / 2 + 0.03, 0.5), (width, 0.06, 1.0), patterns.wood(rng)),
        at.box((0, -depth / 2 + 0.35, 0.58), (width * 0.7, 0.4, 0.12), patterns.fabric(rng)),
    ]


def kitchen(rng, at: Placement, width: float, depth: float) -> list[Solid]:
    """Counter with a worktop, wall cupboards above, and things on the worktop."""
    base = patterns.lacquer(rng) if rng.random() < 0.5 else patterns.wood(rng)
    doors = max(1, round(width / 0.55))
    upper = pictures.panelled(rng, base, doors, 1)
    lower = pictures.panelled(rng, base, doors, int(rng.integers(1, 4)))
    hung = rng.uniform(0.55, 0.75)
    return [
        at.box((0, 0, 0.43), (width, depth, 0.86), base, front=lower),
        at.box((0, 0.01, 0.88), (width, depth + 0.02, 0.04), patterns.stone(rng)),
        at.box((0, -depth / 2 + 0.17, 1.45 + hung / 2), (width, 0.34, hung), base, front=upper),
        *clutter(rng, at, width, depth * 0.8, 0.9, int(rng.integers(2, 6))),
    ]


def parcels(rng, at: Placement, size: float) -> list[Solid]:
    """A stack of one to three boxes, each turned a little."""
    solids, height = [], 0.0
    for _ in range(int(rng.integers(1, 4))):
        tall = rng.uniform(0.2, 0.5)
        sides = (size * rng.uniform(0.7, 0.95), size * rng.uniform(0.5, 0.9), tall)
        paint = pictures.parcel(rng) if rng.random() < 0.7 else patterns.lacquer(rng)
        solids.append(at.box((0, 0, height + tall / 2), sides, paint, yaw=rng.uniform(-0.3, 0.3)))
        height, size = height + tall, size * 0.85
    return solids


def round_thing(rng, at: Placement, radius: float) -> list[Solid]:
    """A bin, a stool or a pot plant."""
    kind = rng.integers(3)
    tall = rng.uniform(0.3, 0.55)
    paint = patterns.lacquer(rng) if kind < 2 else patterns.stone(rng)
    solids = [at.prism((0, 0, tall / 2), radius * 0.8, tall, paint, top=patterns.fabric(rng))]
    if kind == 2:
        leaves = rng.uniform(0.4, 0.9)
        solids.append(at.prism((0, 0, tall + 0.1 + leaves / 2), radius, leaves, patterns.foliage(rng), sides=7))
        solids.append(at.prism((0, 0, tall + 0.05), 0.03, 0.1, patterns.wood(rng), sides=6))
    return solids
