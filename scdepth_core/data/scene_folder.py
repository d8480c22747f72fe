"""What a data set holds on disk: training scenes, validation scenes, test images. Nothing is loaded but text files.

ROOT/dataset.yaml                        optional: preset (a name of presets.yaml), depth_factor (units of the 16-bit
                                         depth files per metre; without it the preset's), ...
ROOT/training/train.txt, val.txt         scene names, one a line
ROOT/training/<scene>/<stem>.jpg|png     frames, in name order
ROOT/training/<scene>/cam.txt            3x3 intrinsics of the frames, pixels
ROOT/training/<scene>/frame_index.txt    optional: the frames to train on, see data/frame_index.py
ROOT/training/<scene>/depth/<stem>.png|npy|npz   optional ground truth
ROOT/testing/color/<stem>.jpg|png, ROOT/testing/depth/<stem>.png|npy|npz
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import yaml

from scdepth_core.data.depth_array import read_depth_array
from scdepth_core.data.image_file import decode_file
from scdepth_core.data.sparse_depth import read_sparse_depth
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.presets import Preset, preset_named
from scdepth_core.text_file import read_text

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
DEPTH_SUFFIXES = (".png", ".npy", ".npz")
RECORDING_SUFFIXES = (".mcap", ".db3", ".bag")
ENTRIES = ("preset", "depth_factor", "width", "height")  # of dataset.yaml that are read; others are notes
_NUMBER_AT_END = re.compile(r"(|.*[^\d.])(\d+)(?:\.\d+)?")  # what stands before it, and its whole part


@dataclass(frozen=True)
class Scene:
    """One continuous stretch of video.

    Attributes:
        images: frame files in time order.
        depths: ground-truth file of each frame, None where there is none.
        K: (3, 3) float32 intrinsics of the frames as stored.
    """

    name: str
    images: list[Path]
    depths: list[Path | None]
    K: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class SceneFolder:
    """A data set in the scene-folder format. Raises DataError, naming the file, for what is missing or malformed."""

    root: Path

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))
        if not self.root.is_dir():
            raise DataError(f"data set '{self.root}' is not a folder – make one with 'scdepth extract' or 'synthesize'")
        if not (self.root / "training").exists() and not (self.root / "testing").exists():
            self._refuse_other_folder()

    def _refuse_other_folder(self) -> None:
        """Raise DataError for folders that are easily taken for a data set: its scenes, or a recording."""
        if any((self.root / listing).exists() for listing in ("train.txt", "val.txt")):
            raise DataError(
                f"'{self.root}' holds the scenes of a data set – give the folder above, '{self.root.resolve().parent}'"
            )
        if any(path.suffix in RECORDING_SUFFIXES for path in self.root.iterdir()):
            raise DataError(
                f"'{self.root}' is a recording, not a data set – make one of it: scdepth extract '{self.root}' DATA"
            )

    @cached_property
    def attributes(self) -> dict:
        """Entries of dataset.yaml, or nothing for data sets that were made elsewhere; a misspelt one is refused."""
        path = self.root / "dataset.yaml"
        if not path.exists():
            return {}
        try:
            entries = yaml.safe_load(read_text(path))
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise DataError(f"'{path}' is not YAML ({reason}) – correct it, or remove it") from None
        if not isinstance(entries, dict | None):
            raise DataError(f"'{path}' holds a {type(entries).__name__}, expected 'name: value' lines")
        for name in (entries or {}).keys() - ENTRIES:
            if meant := get_close_matches(str(name).lower(), ENTRIES, n=1, cutoff=0.8):
                raise DataError(f"'{path}' has '{name}', which nothing reads – write '{meant[0]}', or remove it")
        return entries or {}

    @property
    def preset(self) -> Preset:
        """What is known about this data set: the entry `preset` of dataset.yaml, 'custom' without one."""
        try:
            return preset_named(self.attributes.get("preset", "custom"))
        except ConfigError as error:
            raise DataError(f"'{self.root / 'dataset.yaml'}': {error}") from None

    @property
    def depth_factor(self) -> float:
        """Units of the 16-bit depth files per metre: of dataset.yaml, else of the preset."""
        factor = self.attributes.get("depth_factor", self.preset.depth_factor)
        if not isinstance(factor, int | float) or isinstance(factor, bool) or not 0 < factor < float("inf"):
            raise DataError(
                f"'{self.root / 'dataset.yaml'}' has depth_factor '{factor}', expected PNG units per metre, above 0"
            )
        return float(factor)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the training data: listing, intrinsics, names and sizes of frames.

        Pixels are not read, so this is quick, and says which data set it was, not that no pixel changed.
        """
        digest = hashlib.sha256()
        for scene in self.training:
            digest.update(f"{scene.name} {scene.K.tolist()}\n".encode())
            for path in scene.images:
                digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        return digest.hexdigest()[:16]

    @cached_property
    def training(self) -> list[Scene]:
        """Scenes listed in train.txt."""
        return self._listed("train.txt")

    @cached_property
    def validation(self) -> list[Scene]:
        """Scenes listed in val.txt."""
        return self._listed("val.txt")

    @cached_property
    def testing(self) -> list[tuple[Path, Path]]:
        """Image and ground-truth depth of each test frame, paired by stem."""
        color, depth = self.root / "testing" / "color", self.root / "testing" / "depth"
        images = image_files(color)
        if not images:
            raise DataError(f"no test images in '{color}' – expected <name>.jpg or <name>.png")
        return list(zip(images, pair_by_stem(images, depth, DEPTH_SUFFIXES)))

    def names(self, listing: str) -> list[str]:
        """Scene names in train.txt or val.txt. Two folders may not share their last part: it is the scene's name."""
        path = self.root / "training" / listing
        if not path.exists():
            raise DataError(f"'{path}' is missing – list one scene name a line in it")
        names = _lines(path)
        if not names:
            raise DataError(f"'{path}' lists no scene – write one scene name a line")
        train = path.with_name("train.txt")
        known = {Path(name).name: name for name in (_lines(train) if listing == "val.txt" and train.exists() else ())}
        for name in names:
            first = known.setdefault(Path(name).name, name)
            if first != name and (path.parent / first).resolve() != (path.parent / name).resolve():
                scene = Path(name).name
                raise DataError(f"'{path}' lists '{first}' and '{name}', two scenes named '{scene}' – rename a folder")
        return names

    def _listed(self, listing: str) -> list[Scene]:
        return [read_scene(self.root / "training" / name) for name in self.names(listing)]


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_scene(folder: Path) -> Scene:
    """What a scene folder holds; DataError, naming the file, for what is missing or malformed."""
    if not folder.is_dir():
        raise DataError(f"scene '{folder.name}' is listed, but the folder '{folder}' is missing")
    images = image_files(folder)
    if not images:
        raise DataError(f"scene '{folder.name}' has no *.jpg or *.png in '{folder}'")
    _check_time_order(images)
    available = {path.stem: path for path in image_files(folder / "depth", DEPTH_SUFFIXES)}
    stray = sorted(available.keys() - {path.stem for path in images})
    if stray:
        raise DataError(f"'{available[stray[0]]}' has no image named '{stray[0]}.*' beside it in '{folder}'")
    depths = [available.get(path.stem) for path in images]
    return Scene(folder.name, images, depths, read_intrinsics(folder / "cam.txt"))


def _check_time_order(images: list[Path]) -> None:
    """Name order has to be time order: numbers without leading zeros sort as 1, 10, 2, and 10.5, 9.5.

    Decimals of any length sort rightly behind the same whole part.
    """
    numbers = [_NUMBER_AT_END.fullmatch(path.stem) for path in images]
    for (first, second), (one, other) in zip(pairwise(images), pairwise(numbers)):
        if one and other and one[1] == other[1] and one[2] != other[2] and int(one[2]) >= int(other[2]):
            raise DataError(
                f"frame '{first.name}' sorts before '{second.name}' in '{first.parent}' – "
                "pad the numbers with zeros to the same length, so that name order is time order"
            )


def read_intrinsics(path: Path) -> np.ndarray:
    """The (3, 3) float32 matrix in a cam.txt; DataError when it is not one."""
    if not path.exists():
        raise DataError(f"'{path}' is missing – write the 3x3 intrinsics of the images into it, three numbers a line")
    try:
        numbers = np.array(read_text(path).replace(",", " ").split(), np.float64)
    except ValueError as error:
        raise DataError(f"'{path}' holds something other than numbers ({error}) – expected 3x3 intrinsics") from None
    if numbers.size != 9:
        raise DataError(f"'{path}' has {numbers.size} numbers, expected 9 (3x3 intrinsics)")
    K = numbers.reshape(3, 3)
    if not np.isfinite(K).all() or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise DataError(f"'{path}' has fx={K[0, 0]:g} fy={K[1, 1]:g}, expected finite intrinsics with both above 0")
    if K[0, 1] != 0 or K[1, 0] != 0 or K[2].tolist() != [0, 0, 1]:
        raise DataError(f"'{path}' is not an intrinsics matrix, expected the rows 'fx 0 cx', '0 fy cy' and '0 0 1'")
    return K.astype(np.float32)


def image_files(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """Images (or depth files) of a folder in name order; none where there is no folder, hidden files left out.

    Raises:
        DataError: two have the same stem.
    """
    if not folder.is_dir():
        return []
    found = (p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    files = sorted(found, key=lambda p: (p.stem, p.suffix))
    for first, second in zip(files, files[1:]):
        if first.stem == second.stem:
            raise DataError(f"'{first.name}' and '{second.name}' in '{folder}' are the same frame – remove one")
    return files


def pair_by_stem(images: list[Path], folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The file of `folder` with the stem of each image; a missing partner is an error that names it."""
    available = {path.stem: path for path in image_files(folder, suffixes)}
    missing = [image for image in images if image.stem not in available]
    if missing:
        wanted = " or ".join(f"{missing[0].stem}{suffix}" for suffix in suffixes)
        raise DataError(
            f"{len(missing)} of {len(images)} images have no partner in '{folder}': '{missing[0].name}' needs {wanted}"
        )
    return [available[image.stem] for image in images]


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB; DataError when the file cannot be decoded, or is cut off."""
    return cv2.cvtColor(decode_file(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_depth(path: Path, depth_factor: float) -> np.ndarray:
    """(H, W) float32 metres, 0 where unknown. 16-bit PNG are divided by depth_factor; .npy and .npz are metres."""
    if path.suffix.lower() == ".npz":
        depth = read_sparse_depth(path)
    elif path.suffix.lower() == ".npy":
        depth = read_depth_array(path)
    else:
        stored = decode_file(path, cv2.IMREAD_UNCHANGED)
        if stored.dtype != np.uint16:
            raise DataError(f"'{path}' is {stored.dtype}, expected a 16-bit PNG ({depth_factor:g} units a metre)")
        depth = stored.astype(np.float32) / depth_factor
    if depth.ndim != 2 or not depth.size:
        raise DataError(f"'{path}' has shape {depth.shape}, expected one depth a pixel (H, W) – write it again")
    return np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)
