"""Depth that another network made of the frames: V3 learns order and shape from it, never scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from scdepth_core.data.scene_folder import DEPTH_SUFFIXES, Scene, pair_by_stem, read_depth
from scdepth_core.errors import ConfigError, DataError

KINDS = ("relative", "inverse")
FARTHEST = 100.0  # times the nearest pixel of an image: the range of DepthNet's own depth
ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class PseudoDepth:
    """Where the pseudo depth of the frames lies, and what its numbers mean.

    Attributes:
        folder: name of a folder in each scene, or path of a folder with one folder for each scene; in it
            <stem>.png (16 bits) or <stem>.npy for each frame. A name that is both, in a scene and where the command
            runs, is refused.
        kind: 'relative' is depth up to scale, 'inverse' is disparity up to scale, as MiDaS and Depth Anything give it;
            0 says nothing in both.
    """

    folder: str = "pseudo_depth"
    kind: Literal["relative", "inverse"] = "relative"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ConfigError(f"pseudo_depth.kind is '{self.kind}', expected {' or '.join(KINDS)}")

    def files(self, scene: Scene) -> list[Path]:
        """The file of each frame of a scene, by stem; none of a scene without frames, which the samples leave out.

        Raises:
            DataError: a frame has none, or the folder's name says two places.
        """
        if not scene.images:
            return []
        beside, elsewhere = scene.images[0].parent / self.folder, Path(self.folder) / scene.name
        folder = elsewhere if elsewhere.is_dir() else beside
        if not folder.is_dir():
            raise DataError(
                f"scene '{scene.name}' has no pseudo depth in '{beside}' or '{elsewhere}' – v3 learns from the depth "
                "of another network: write it there, or name its folder with --samples.pseudo_depth.folder"
            )
        whole = Path(self.folder).absolute()
        if folder == elsewhere and beside != whole and beside.is_dir() and not beside.samefile(elsewhere):
            raise DataError(
                f"scene '{scene.name}' has pseudo depth in '{beside}' and in '{elsewhere}' – rename one, or take the "
                f"second with --samples.pseudo_depth.folder {whole}"
            )
        return pair_by_stem(scene.images, folder, DEPTH_SUFFIXES)

    def read(self, path: Path, frame_size: tuple[int, int]) -> np.ndarray:
        """The stored numbers (h, w) float32, NaN where they say nothing; resample them, then call to_depth.

        Args:
            frame_size: (rows, columns) of the frame; the file may have another resolution.

        Raises:
            DataError: it cannot be read, or has another aspect ratio than the frame.
        """
        stored = read_depth(path, depth_factor=1.0)
        rows, columns = stored.shape
        if abs(columns * frame_size[0] / (rows * frame_size[1]) - 1) > ASPECT_TOLERANCE:
            raise DataError(
                f"'{path}' is {columns}x{rows}, its frame {frame_size[1]}x{frame_size[0]}, expected the same aspect "
                "ratio – make it of the whole frame"
            )
        return np.where(stored > 0, stored, np.float32(np.nan))

    def to_depth(self, stored: np.ndarray) -> np.ndarray:
        """Depth (H, W) float32 up to scale, 0 where unknown, of stored numbers.

        Relative ones come out in units of the image's median: normals multiply two depths, and whatever unit a file
        has, these must neither vanish nor overflow. Inverse ones end at 100 times the nearest.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.kind == "inverse":
                nearest = np.max(stored, initial=0.0, where=stored > 0)
                depth = 1 / np.maximum(stored / nearest, 1 / FARTHEST)
            else:
                depth = stored / _median(stored[(stored > 0) & (stored < np.inf)])
            depth = depth.astype(np.float32, copy=False)  # not before: the file's own numbers may not fit
        return np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)


def _median(values: np.ndarray) -> np.floating | float:
    """The upper of two in the middle, for their mean may overflow; 1 of nothing."""
    middle = values.size // 2
    return np.partition(values, middle)[middle] if values.size else 1.0
