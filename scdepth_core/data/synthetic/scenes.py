"""Random rooms and corridors, furnished so that a camera can walk through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scdepth_core.data.synthetic import furniture, patterns, pictures
from scdepth_core.data.synthetic.floor_plan import FloorPlan
from scdepth_core.data.synthetic.solids import Placement, Solid, room_shell
from scdepth_core.errors import ConfigError

KINDS = ("room", "corridor", "mixed")
WALK = 0.5  # metres of clearance that furnishing keeps open for a camera


@dataclass(frozen=True, eq=False)
class Scene:
    """A closed world: the camera is inside `shell` and outside every one of `solids`.

    Attributes:
        seed: decides the textures; kind: 'room' or 'corridor'.
        size: width (x), length (y), height (z) of the shell, metres.
        light: (3,) unit direction towards the light, and `ambient` the share of light that comes from everywhere.
    """

    seed: int
    kind: str
    size: tuple[float, float, float]
    shell: Solid
    solids: tuple[Solid, ...]
    light: np.ndarray
    ambient: float

    def clearance(self, points: np.ndarray) -> np.ndarray:
        """Lower bound of the distance of points (N, 3) to the nearest surface, metres; negative outside the world."""
        points = np.asarray(points, float)
        nearest = -self.shell.distance(points)
        for solid in self.solids:
            nearest = np.minimum(nearest, solid.distance(points))
        return nearest


def make_scene(seed: int, kind: str = "mixed") -> Scene:
    """A furnished room or corridor; the same seed and kind give the same scene.

    Raises:
        ConfigError: for an unknown kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"scene kind is '{kind}', expected one of {', '.join(KINDS)}")
    rng = np.random.default_rng([0x5C3E, seed])
    if kind == "mixed":
        kind = "room" if rng.random() < 0.65 else "corridor"
    if kind == "room":
        size = (rng.uniform(3.2, 8.0), rng.uniform(3.2, 8.0), rng.uniform(2.4, 3.4))
    else:
        size = (rng.uniform(1.6, 3.0), rng.uniform(8.0, 20.0), rng.uniform(2.3, 3.0))
    builder = _Builder(rng, kind, size)
    builder.partitions()
    builder.furnish()
    builder.hang_things()
    builder.ceiling_lamps()
    light = np.array([rng.normal(), rng.normal(), rng.uniform(0.3, 1.5)])
    light /= np.linalg.norm(light)
    solids = tuple(builder.solids)
    return Scene(seed, kind, size, builder.shell, solids, light, float(rng.uniform(0.4, 0.75)))


class _Builder:
    """Puts one thing after the other into a shell and keeps a way through free."""

    def __init__(self, rng, kind, size):
        self.rng, self.kind = rng, kind
        self.width, self.length, self.height = size
        self.wall = self._pick(
            [patterns.plaster, patterns.striped, patterns.motifs, patterns.bricks, patterns.stone, patterns.tiles],
            [0.45, 0.13, 0.14, 0.12, 0.08, 0.08],
        )
        floor = self._pick([patterns.planks, patterns.tiles, patterns.carpet, patterns.stone], [0.4, 0.25, 0.2, 0.15])
        ceiling = self._ceiling()
        self.shell = room_shell(self.width, self.length, self.height, self.wall, floor, ceiling)
        self.solids: list[Solid] = []
        self.plan = FloorPlan(self.width, self.length, [], 0.0, self.height)
        self.walls = self._walls()

    def _pick(self, makers, chances):
        return makers[self.rng.choice(len(makers), p=chances)](self.rng)

    def _ceiling(self):
        white = np.full(3, self.rng.uniform(0.75, 0.97), np.float32)
        if self.rng.random() < 0.4:
            return patterns.tiles(self.rng, size=(0.4, 0.7), colour=white)
        return patterns.wood(self.rng) if self.rng.random() < 0.15 else patterns.plaster(self.rng, white)

    def _walls(self):
        """(corner x, corner y, yaw of a piece with its back to the wall, length) of the four walls."""
        w, n = self.width, self.length
        return [(0, 0, 0.0, w), (w, 0, np.pi / 2, n), (w, n, np.pi, w), (0, n, -np.pi / 2, n)]

    def _against(self, wall: int, along: float, depth: float, z: float = 0.0) -> Placement:
        """A placement with its back to a wall, `along` metres from that wall's corner."""
        x, y, yaw, _ = self.walls[wall]
        forward, out = (np.cos(yaw), np.sin(yaw)), (-np.sin(yaw), np.cos(yaw))
        middle = depth / 2 + 0.005
        return Placement(x + along * forward[0] + middle * out[0], y + along * forward[1] + middle * out[1], z, yaw)

    def _accept(self, solids: list[Solid]) -> bool:
        """Adds a piece unless it leaves the room, stands in something, or leaves too little room to walk."""
        plan = FloorPlan(self.width, self.length, solids, 0.0, self.height)
        inside = all(self.shell.distance(s.vertices).max() <= 1e-6 for s in solids)
        overlap = (plan.occupied[1:-1, 1:-1] & self.plan.occupied[1:-1, 1:-1]).sum() > 4
        if not inside or overlap:
            return False
        trial = FloorPlan(self.width, self.length, [*self.solids, *solids], 0.0, self.height)
        after = trial.open_region(WALK)
        rows = np.flatnonzero(after.any(axis=1))
        passable = len(rows) > 0 and (self.kind == "room" or np.ptp(rows) > 0.75 * after.shape[0])
        if after.sum() < 0.22 * after.size or not passable:
            return False
        self.solids += solids
        self.plan = trial
        return True

    def partitions(self) -> None:
        """Full-height wall blocks in corners or along walls: rooms are not always rectangles."""
        for _ in range(int(self.rng.integers(0, 3 if self.kind == "room" else 5))):
            limit = 0.4 * min(self.width, 4) if self.kind == "room" else self.width - 1.35
            wall = int(self.rng.choice([1, 3])) if self.kind == "corridor" else int(self.rng.integers(4))
            depth, wide = self.rng.uniform(0.15, max(limit, 0.2)), self.rng.uniform(0.25, 1.8)
            along = self.rng.choice([wide / 2, self.rng.uniform(0.3, 0.7) * self.walls[wall][3]])
            at = self._against(wall, along + 0.005, depth)
            tall = self.height - 0.01
            self._accept([at.box((0, 0, tall / 2), (wide, depth, tall), self.wall)])

    def furnish(self) -> None:
        """Furniture along the walls, then free-standing pieces."""
        area = self.width * self.length
        if self.kind == "corridor":
            room_for = self.width - 1.15
            for _ in range(int(self.rng.integers(4, 12))):
                if room_for > 0.25:
                    self._along_wall(int(self.rng.choice([1, 3])), room_for)
            self._along_wall(int(self.rng.choice([0, 2])), 0.6)
            return
        for _ in range(int(area * self.rng.uniform(0.35, 0.7))):
            self._along_wall(int(self.rng.integers(4)), 1.2)
        for _ in range(int(area * self.rng.uniform(0.1, 0.3))):
            self._free_standing()

    def _along_wall(self, wall: int, max_depth: float) -> None:
        rng, span = self.rng, self.walls[wall][3]
        wide = min(rng.uniform(0.5, 2.2), 0.8 * span)
        depth = min(rng.uniform(0.28, 0.65), max_depth)
        kinds = ["cupboard", "dresser", "bookshelf", "table", "parcels", "round", "sofa", "bed", "kitchen"]
        chances = np.array([0.16, 0.16, 0.2, 0.12, 0.12, 0.08, 0.07, 0.04, 0.05])
        if max_depth < 0.9:
            chances[6:] = 0
        kind = rng.choice(kinds, p=chances / chances.sum())
        if kind in ("sofa", "bed", "kitchen"):
            depth = {"sofa": 0.85, "bed": 2.0, "kitchen": 0.62}[kind]
            wide = rng.uniform(*{"sofa": (1.2, 2.2), "bed": (0.9, 1.7), "kitchen": (1.5, 3.0)}[kind])
        if kind in ("parcels", "round"):
            wide = depth = min(rng.uniform(0.3, 0.6), max_depth)
        if wide >= span - 0.1:
            return
        at = self._against(wall, rng.uniform(wide / 2 + 0.02, span - wide / 2 - 0.02), depth)
        low, tall = rng.uniform(0.45, 1.15), min(rng.uniform(1.5, 2.2), self.height - 0.1)
        make = {
            "cupboard": lambda: furniture.cupboard(rng, at, wide, depth, tall),
            "dresser": lambda: furniture.cupboard(rng, at, wide, depth, low),
            "bookshelf": lambda: furniture.bookshelf(rng, at, wide, min(depth, 0.4), rng.choice([low, tall])),
            "table": lambda: furniture.table(rng, at, wide, depth),
            "parcels": lambda: furniture.parcels(rng, at, wide * 0.9),
            "round": lambda: furniture.round_thing(rng, at, wide / 2),
            "sofa": lambda: furniture.sofa(rng, at, wide, depth),
            "bed": lambda: furniture.bed(rng, at, wide, depth),
            "kitchen": lambda: furniture.kitchen(rng, at, wide, depth),
        }[kind]
        self._accept(make())

    def _free_standing(self) -> None:
        rng = self.rng
        at = Placement(
            rng.uniform(0.6, self.width - 0.6), rng.uniform(0.6, self.length - 0.6), 0.0, rng.uniform(-np.pi, np.pi)
        )
        kind = rng.choice(["table", "chair", "parcels", "round"], p=[0.3, 0.3, 0.28, 0.12])
        if kind == "table":
            self._accept(furniture.table(rng, at, rng.uniform(0.7, 1.6), rng.uniform(0.5, 0.9)))
        elif kind == "chair":
            self._accept(furniture.chair(rng, at))
        elif kind == "parcels":
            self._accept(furniture.parcels(rng, at, rng.uniform(0.3, 0.7)))
        else:
            self._accept(furniture.round_thing(rng, at, rng.uniform(0.15, 0.3)))

    def hang_things(self) -> None:
        """Posters, windows and doors on the walls: thin boxes that may be partly hidden by furniture."""
        rng = self.rng
        for wall, (*_, span) in enumerate(self.walls):
            edge = rng.uniform(0.05, 0.5)
            while edge < span - 0.5:
                kind = rng.choice(["poster", "window", "door"], p=[0.6, 0.2, 0.2])
                wide = {
                    "poster": rng.uniform(0.3, 1.2),
                    "window": rng.uniform(0.7, 1.8),
                    "door": rng.uniform(0.75, 1.0),
                }[kind]
                if edge + wide > span - 0.05:
                    break
                self._hang(kind, wall, edge + wide / 2, wide)
                edge += wide + rng.exponential(0.8) + 0.1

    def _hang(self, kind: str, wall: int, along: float, wide: float) -> None:
        rng = self.rng
        thick = rng.uniform(0.01, 0.05)
        if kind == "door":
            tall = min(rng.uniform(1.95, 2.1), self.height - 0.1)
            low, paint = 0.0, pictures.panelled(rng, patterns.wood(rng), 1, 1)
        else:
            tall = min(wide * rng.uniform(0.6, 1.4), 1.3)
            low = min(rng.uniform(0.85, 1.4), self.height - tall - 0.1)
            paint = pictures.poster(rng) if kind == "poster" else pictures.window(rng)
        at = self._against(wall, along, thick, low + 0.002)
        edge = patterns.wood(rng) if rng.random() < 0.5 else patterns.lacquer(rng)
        self.solids.append(at.box((0, 0, tall / 2), (wide, thick, tall), edge, front=paint))

    def ceiling_lamps(self) -> None:
        """Rows of luminous panels or hanging lamps."""
        rng = self.rng
        columns = max(1, round(self.width / 2.8))
        rows = max(1, round(self.length / rng.uniform(1.8, 3.2)))
        paint, rim = pictures.lamp(rng), patterns.lacquer(rng)
        size, hanging = rng.uniform(0.2, 0.6, 2) + 0.1, rng.random() < 0.25
        for x in (np.arange(columns) + 0.5) / columns * self.width:
            for y in (np.arange(rows) + 0.5) / rows * self.length:
                at = Placement(float(x), float(y))
                if hanging and self.height > 2.7:
                    self.solids.append(at.prism((0, 0, self.height - 0.35), 0.16, 0.2, rim))
                    self.solids.append(at.prism((0, 0, self.height - 0.13), 0.012, 0.24, rim, sides=5))
                else:
                    self.solids.append(at.box((0, 0, self.height - 0.026), (*size, 0.05), paint))
