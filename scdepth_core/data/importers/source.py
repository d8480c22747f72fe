"""What every layout is brought to before it is written: scenes of frames with a camera, depth and poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scdepth_core.data.scene_folder import read_depth
from scdepth_core.errors import DataError, ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.image_geometry import ImageGeometry
from scdepth_core.presets import CAMERAS

DepthSource = Callable[[ImageGeometry], np.ndarray]


@dataclass(frozen=True)
class SourceFrame:
    """One image of a recording.

    Attributes:
        image: its file; stamp_ns: its time, nanoseconds.
        depth: called with the way of the recorded images into the data set, gives (h, w) metres of the same view, 0 or
            NaN where unknown: dense depth at the size of the images to write, laser scans at that of the recorded
            ones, so that no measured point is moved or lost; None where there is none.
        pose: (4, 4) camera (optical frame) in the world, metres; None where there is none.
    """

    image: Path
    stamp_ns: int
    depth: DepthSource | None = None
    pose: np.ndarray | None = None


@dataclass(frozen=True)
class SourceScene:
    """One continuous recording.

    Attributes:
        validation: whether it is kept for testing, by its authors or by custom.
        depth_factor: units per metre of its depth files; None for the preset's.
    """

    name: str
    camera: Camera
    frames: list[SourceFrame]
    validation: bool = False
    depth_factor: float | None = None


@dataclass(frozen=True)
class BenchmarkFrame:
    """A frame that a benchmark tests on: written as it was recorded, under the name `stem`.

    Attributes:
        image: its file; depth: gives (H, W) metres at its size, 0 or NaN where unknown.
    """

    stem: str
    image: Path
    depth: Callable[[], np.ndarray]


SceneReader = Callable[[], SourceScene]  # layouts are listed by these, so that only what is wanted is read


def depth_image(path: Path, depth_factor: float, none: int = 0) -> DepthSource:
    """Depth from a 16-bit PNG of the recorded image's size; the value `none` marks pixels without a reading."""

    def read(geometry: ImageGeometry) -> np.ndarray:
        depth = read_depth(path, depth_factor)
        depth[depth == np.float32(none) / np.float32(depth_factor)] = 0
        try:
            return geometry.depth(depth)
        except ImageError as error:
            raise DataError(f"'{path}': {error}") from None

    return read


def known_camera(name: str) -> Camera:
    """A camera of presets.yaml."""
    entry = CAMERAS[name]
    height, width = entry["size"]
    D = np.array(entry.get("distortion", []), np.float64)
    return Camera(width, height, matrix_of(*entry["intrinsics"]), "plumb_bob" if D.size else "none", D)


def matrix_of(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """(3, 3) intrinsics."""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def need(path: Path, what: str) -> Path:
    """A path that has to exist; DataError that says what it is of the layout."""
    if not path.exists():
        raise DataError(f"'{path}' is missing ({what}) – give the folder as its authors publish it")
    return path


def numbers(path: Path, words: list[str], count: int) -> np.ndarray:
    """`count` numbers out of a text file's words, (count,) float64; DataError that names the file."""
    try:
        values = np.array(words, np.float64)
    except ValueError as error:
        raise DataError(f"'{path}' holds something other than numbers ({error}) – get it again") from None
    if values.size != count or not np.isfinite(values).all():
        raise DataError(f"'{path}' has {values.size} numbers where {count} finite ones are expected – get it again")
    return values
