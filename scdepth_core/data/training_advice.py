"""What to train on a data set, from what was measured of it: which version, which stride, and the whole command."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

from scdepth_core.share import share_file

V2_SHARE = 0.5  # rotation share from which SC-Depth V2, which takes rotation out, is worth its cost
LEAST_PARALLAX = 1.0  # mean, pixels from frame to frame
WANTED_PARALLAX = 2.0
RECIPE, RECIPE_SIZE = "config/train/indoor.yaml", (320, 256)  # and the width and height of its samples
SMALLEST, MULTIPLE = 64, 32  # rows and columns of samples, pixels: the networks halve them five times


def version_advice(share: float | None) -> str:
    """Which SC-Depth to train on video with this rotation share, in a sentence."""
    if share is None:
        return "too little motion was tracked to recommend V1 or V2"
    if share >= V2_SHARE:
        return f"{share:.0%} of the motion can be a turn of the camera: train V2, which takes rotation out first"
    return f"{share:.0%} of the motion can be a turn of the camera: V1 will do"


def stride_for(parallax: float | None) -> int:
    """Frames that a target should be away from its neighbours, for a mean parallax in pixels from frame to frame."""
    if parallax is None or parallax >= LEAST_PARALLAX:
        return 1
    return math.ceil(WANTED_PARALLAX / max(parallax, 0.1))


def training_line(
    data: str | Path,
    *,
    rotation_share: float | None,
    parallax: float | None,
    longest: int,
    size: tuple[int, int] | None,
    has_depth: bool,
) -> str:
    """The `scdepth train` command for a data set, to be pasted into a shell.

    Args:
        data: its folder, as the user wrote it.
        rotation_share: share of the motion that a turn on the spot explains; None where it is not known.
        parallax: mean of what it does not explain, pixels from frame to frame; None where it is not known.
        longest: frames of the longest scene; the stride leaves room for a target between two sources.
        size: (width, height) of the frames as stored; None where it is not known.
        has_depth: whether a validation scene has depth.

    Raises:
        ConfigError: the shipped recipe is missing.
    """
    words = ["scdepth", "train", "--version", "v2" if (rotation_share or 0) >= V2_SHARE else "v1"]
    words += ["--config", _shortest(share_file(RECIPE)), "--data", str(data)]
    words += ["--out", f"runs/{Path(data).resolve().name}"]
    for name, wanted, given in zip(("width", "height"), _sample_size(size), RECIPE_SIZE):
        words += [f"--samples.{name}", str(wanted)] if wanted != given else []
    stride = min(stride_for(parallax), max(1, (longest - 1) // 2))
    words += ["--samples.stride", str(stride)] if stride > 1 else []
    words += [] if has_depth else ["--model.validation", "photometric"]
    return shlex.join(words)


def _sample_size(size: tuple[int, int] | None) -> tuple[int, int]:
    """(width, height) for frames of this size: as many rows as in the recipe, or fewer, and their aspect."""
    if size is None:
        return RECIPE_SIZE
    height = max(SMALLEST, min(RECIPE_SIZE[1], size[1] // MULTIPLE * MULTIPLE))
    return max(SMALLEST, int(size[0] * height / size[1]) // MULTIPLE * MULTIPLE), height


def _shortest(path: Path) -> str:
    """Relative to the working directory where the file lies below it, absolute elsewhere."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
