"""7-Scenes: SRC/<scene>/seq-<number>/frame-<number>.color.png, .depth.png, .pose.txt; or one such scene.

TrainSplit.txt and TestSplit.txt say what is for training. Depth is in millimetres, 65535 without a reading, and not
registered to the colour camera (a few pixels of parallax, which every published figure on it shares).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from scdepth_core.data.importers.source import (
    SceneReader,
    SourceFrame,
    SourceScene,
    depth_image,
    known_camera,
    numbers,
)
from scdepth_core.errors import DataError
from scdepth_core.presets import PRESETS
from scdepth_core.text_file import read_text

NO_READING = 65535
ROTATION_TOLERANCE = 0.01  # of R R^T; the files are written with few digits
PERIOD_NS = 33_333_333  # 30 images a second; the layout has no times


def seven_scenes(root: Path) -> dict[str, SceneReader]:
    """Every sequence of every scene, as SCENE_seq-NUMBER.

    Raises:
        DataError: there is none; from a reader, its sequence has no colour image.
    """
    scenes = [root] if any(root.glob("seq-*")) else sorted({path.parent for path in root.glob("*/seq-*")})
    found = {
        f"{scene.resolve().name}_{folder.name}": folder
        for scene in scenes
        for folder in sorted(path for path in scene.glob("seq-*") if path.is_dir())
    }
    if not found:
        raise DataError(f"'{root}' has no seq-<number> folder, nor has a scene in it – unpack the sequences first")
    return {name: partial(_sequence, name, folder) for name, folder in found.items()}


def _sequence(name: str, folder: Path) -> SourceScene:
    colors = sorted(folder.glob("frame-*.color.png"))
    if not colors:
        raise DataError(f"'{folder}' has no frame-<number>.color.png – unpack it again")
    frames = []
    for index, color in enumerate(colors):
        stem = color.name.removesuffix(".color.png")
        depth, pose = folder / f"{stem}.depth.png", folder / f"{stem}.pose.txt"
        source = depth_image(depth, PRESETS["7scenes"].depth_factor, none=NO_READING) if depth.exists() else None
        frames.append(SourceFrame(color, index * PERIOD_NS, source, _pose(pose) if pose.exists() else None))
    return SourceScene(name, known_camera("7scenes"), frames, folder.name in _test_sequences(folder.parent))


def _pose(path: Path) -> np.ndarray:
    """(4, 4) camera in the world."""
    pose = numbers(path, read_text(path).split(), 16).reshape(4, 4)
    R = pose[:3, :3]
    if np.abs(R @ R.T - np.eye(3)).max() > ROTATION_TOLERANCE or np.linalg.det(R) < 0:
        raise DataError(f"'{path}' has no rotation in its first three rows and columns – get it again")
    return pose


def _test_sequences(scene: Path) -> set[str]:
    """Folder names of TestSplit.txt, whose lines are 'sequence7'."""
    path = scene / "TestSplit.txt"
    if not path.exists():
        return set()
    digits = ("".join(filter(str.isdigit, line)) for line in read_text(path).splitlines())
    return {f"seq-{int(number):02d}" for number in digits if number}
