"""TUM RGB-D: SRC/<sequence>/ with rgb.txt, depth.txt, groundtruth.txt; or one such sequence. Depth is registered.

What `scdepth export-tum` wrote has the same layout, and its camera and depth factor in orb_slam3.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scdepth_core.data.importers.source import (
    SceneReader,
    SourceFrame,
    SourceScene,
    depth_image,
    known_camera,
    matrix_of,
    need,
    numbers,
)
from scdepth_core.errors import DataError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.trajectory import read_tum
from scdepth_core.presets import CAMERAS, PRESETS
from scdepth_core.text_file import read_text

TOLERANCE = 0.02  # seconds between an image and what belongs to it
SETTINGS, OUR_MARK = "orb_slam3.yaml", "written by scdepth export-tum"


@dataclass(frozen=True)
class _Exported:
    """What export-tum says about its files: the camera of undistorted images, units per metre of depth."""

    camera: Camera
    depth_factor: float


def tum_scenes(
    root: Path, intrinsics: tuple[float, float, float, float] | None = None, depth_factor: float | None = None
) -> dict[str, SceneReader]:
    """Every sequence of a folder, or the one that it is, by name.

    Args:
        intrinsics: fx, fy, cx, cy of undistorted images, for sequences that do not name their camera; of 640x480 where
            export-tum does not say another size.
        depth_factor: units per metre of the depth files; None takes what export-tum says, else TUM's own.

    Raises:
        DataError: there is none; from a reader, its camera is not known.
    """
    folders = [root] if (root / "rgb.txt").exists() else sorted(path.parent for path in root.glob("*/rgb.txt"))
    if not folders:
        raise DataError(f"'{root}' has no rgb.txt, nor has a folder in it – give TUM sequences as they are unpacked")
    names = [folder.resolve().name for folder in folders]
    return {name: partial(_sequence, name, folder, intrinsics, depth_factor) for name, folder in zip(names, folders)}


def _sequence(
    name: str, folder: Path, intrinsics: tuple[float, float, float, float] | None, depth_factor: float | None
) -> SourceScene:
    images = _listing(folder / "rgb.txt")
    stamps = np.array([stamp for stamp, _ in images])
    depths = (
        _nearest(stamps, _listing(folder / "depth.txt")) if (folder / "depth.txt").exists() else [None] * len(images)
    )
    poses: list = [None] * len(images)
    if (folder / "groundtruth.txt").exists():
        truth = read_tum(folder / "groundtruth.txt")
        poses = _nearest(stamps, list(zip(map(float, truth.stamps), truth.poses)))
    exported = _exported(folder / SETTINGS)
    factor = depth_factor or (exported.depth_factor if exported else PRESETS["tum"].depth_factor)
    frames = [
        SourceFrame(path, round(stamp * 1e6) * 1000, None if depth is None else depth_image(depth, factor), pose)
        for (stamp, path), depth, pose in zip(images, depths, poses)
    ]
    return SourceScene(name, _camera(name, intrinsics, exported), frames, depth_factor=factor)


def _camera(name: str, intrinsics: tuple[float, float, float, float] | None, exported: _Exported | None) -> Camera:
    if intrinsics is not None:
        size = (exported.camera.width, exported.camera.height) if exported else (640, 480)
        return Camera(*size, matrix_of(*intrinsics))
    if exported is not None:
        return exported.camera
    known = [camera for camera in CAMERAS if camera.startswith("freiburg") and camera in name]
    if not known:
        raise DataError(f"sequence '{name}' does not name its camera (freiburg1 to 3) – say --intrinsics FX FY CX CY")
    return known_camera(known[0])


def _exported(path: Path) -> _Exported | None:
    """What export-tum wrote; None where the file is not there, or somebody else's."""
    text = read_text(path) if path.exists() else ""
    if OUR_MARK not in text:
        return None
    entries = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line and not line.startswith("#"))
    names = ("Camera.width", "Camera.height", *(f"Camera1.{name}" for name in ("fx", "fy", "cx", "cy")))
    words = [entries.get(name, "") for name in (*names, "RGBD.DepthMapFactor")]
    width, height, *intrinsics, factor = numbers(path, words, len(words)).tolist()
    if not factor > 0:
        raise DataError(f"'{path}' has RGBD.DepthMapFactor {factor:g}, expected a number above 0 – say --depth-factor")
    return _Exported(Camera(int(width), int(height), matrix_of(*intrinsics)), factor)


def _listing(path: Path) -> list[tuple[float, Path]]:
    """Time in seconds and file of each line of rgb.txt or depth.txt, in time order."""
    lines = [line.split() for line in read_text(need(path, "list of files")).splitlines() if line.strip()]
    entries = [words for words in lines if not words[0].startswith("#")]
    if not entries or any(len(words) != 2 for words in entries):
        raise DataError(f"'{path}' is no list of 'time file' lines – get it again")
    times = numbers(path, [words[0] for words in entries], len(entries))
    return sorted(zip(times.tolist(), (path.parent / words[1] for words in entries)), key=lambda entry: entry[0])


def _nearest(stamps: np.ndarray, entries: list[tuple[float, object]]) -> list:
    """The entry nearest in time to each stamp, None beyond the tolerance."""
    times = np.array([time for time, _ in entries])
    order = np.argsort(times)
    after = np.searchsorted(times[order], stamps).clip(1, max(len(times) - 1, 1))
    best = []
    for stamp, index in zip(stamps, after):
        near = min(order[[index - 1, min(index, len(times) - 1)]], key=lambda i: abs(times[i] - stamp))
        best.append(entries[near][1] if abs(times[near] - stamp) <= TOLERANCE else None)
    return best
