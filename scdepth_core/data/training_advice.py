"""What to train on a data set, from what was measured of it: which version, which stride, and the whole command."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from scdepth_core.presets import PRESETS, Preset
from scdepth_core.share import share_file

V2_SHARE = 0.5  # rotation share from which SC-Depth V2, which takes rotation out, is worth its cost
LEAST_PARALLAX = 1.0  # mean, pixels from frame to frame
WANTED_PARALLAX = 2.0
SMALLEST, MULTIPLE = 64, 32  # rows and columns of samples, pixels: the networks halve them five times


def version_advice(share: float | None) -> str:
    """Which SC-Depth to train on video with this rotation share, in a sentence."""
    if share is None:
        return "too little motion was tracked to recommend V1 or V2"
    if share >= V2_SHARE:
        return (
            f"{share:.0%} of the motion can be a turn of the camera: train V2, which takes rotation out first (in "
            "handheld.yaml, RectifyNet learns alone before: do so without ImageNet weights, or if V2 learns no depth)"
        )
    return f"{share:.0%} of the motion can be a turn of the camera: V1 will do"


def stride_for(parallax: float | None) -> int:
    """Frames that a target should be away from its neighbours, for a mean parallax in pixels from frame to frame."""
    if parallax is None or parallax >= LEAST_PARALLAX:
        return 1
    return math.ceil(WANTED_PARALLAX / max(parallax, 0.1))


@dataclass(frozen=True)
class SceneMeasures:
    """What of a scene decides how to train on it.

    Attributes:
        split: 'train' or 'val'.
        parallax: mean motion that a turn on the spot does not explain, pixels from frame to frame; None if not known.
    """

    split: str
    frames: int
    parallax: float | None
    has_depth: bool


def training_line(
    data: str | Path,
    scenes: Sequence[SceneMeasures],
    *,
    rotation_share: float | None,
    size: tuple[int, int] | None,
    preset: Preset = PRESETS["custom"],
) -> str | None:
    """The `scdepth train` command for a data set, to be pasted into a shell; None where it has no scene to train on.

    Args:
        data: its folder, as the user wrote it.
        rotation_share: share of the motion that a turn on the spot explains; None where it is not known.
        size: (width, height) of the frames as stored; None where it is not known.
        preset: what is known about the data set; gives the recipe.

    Raises:
        ConfigError: the shipped recipe is missing.
    """
    train, val = ([scene for scene in scenes if scene.split == split] for split in ("train", "val"))
    if not train:
        return None
    parallax = [scene.parallax for scene in train if scene.parallax is not None]
    shortest = min(max(scene.frames for scene in split) for split in (train, val) if split)
    stride = min(stride_for(float(np.median(parallax)) if parallax else None), max(1, (shortest - 1) // 2))
    recipe = share_file(f"config/train/{preset.recipe}.yaml")
    given = yaml.safe_load(recipe.read_text(encoding="utf-8"))["samples"]

    words = ["scdepth", "train", "--version", "v2" if (rotation_share or 0) >= V2_SHARE else "v1"]
    words += ["--config", _shortest(recipe), "--data", str(data), "--out", f"runs/{Path(data).resolve().name}"]
    for name, wanted in zip(("width", "height"), _sample_size(size, preset)):
        words += [f"--samples.{name}", str(wanted)] if wanted != given[name] else []
    words += ["--samples.stride", str(stride)] if stride > 1 else []
    words += [] if any(scene.has_depth for scene in val) else ["--model.validation", "photometric"]
    return shlex.join(words)


def _sample_size(size: tuple[int, int] | None, preset: Preset) -> tuple[int, int]:
    """(width, height) for frames of this size: as many rows as the preset has, or fewer, and their aspect.

    Where that comes within one step of the preset's own size, it is the preset's, which published figures are for.
    """
    if size is None:
        return preset.width, preset.height
    height = max(SMALLEST, min(preset.height, size[1] // MULTIPLE * MULTIPLE))
    width = max(SMALLEST, int(size[0] * height / size[1]) // MULTIPLE * MULTIPLE)
    near = height == preset.height and abs(width - preset.width) <= MULTIPLE
    return preset.width if near else width, height


def _shortest(path: Path) -> str:
    """Relative to the working directory where the file lies below it, absolute elsewhere."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
