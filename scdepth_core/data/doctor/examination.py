"""Examine a whole data set: listings, scenes frame by frame, test images. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scdepth_core.data.doctor.files import (
    check_depth,
    check_depth_unit,
    check_image,
    check_intrinsics,
    check_stamps_and_poses,
)
from scdepth_core.data.doctor.findings import ERROR, WARNING, Finding, SceneFigures
from scdepth_core.data.doctor.motion import MotionRecord
from scdepth_core.data.doctor.shared_frames import check_shared_frames
from scdepth_core.data.frame_selection import BLURRED, STATIC
from scdepth_core.data.scene_folder import DEPTH_SUFFIXES, Scene, SceneFolder, image_files, read_scene
from scdepth_core.data.training_advice import SceneMeasures, training_line, version_advice
from scdepth_core.errors import DataError
from scdepth_core.presets import PRESETS, Preset

LISTINGS = {"train.txt": "train", "val.txt": "val"}
FEWEST_FRAMES = 3  # a target between two sources
CORRECT = "correct it, or take the scene out of its listing"


@dataclass
class Examination:
    """What was found.

    Attributes:
        preset: what is known about the data set; that of 'custom' where its dataset.yaml cannot be read.
        scenes: figures of each scene that could be read; testing: how many test images there are.
        kept: of each scene folder whose frames could all be judged, the places of those that move and are sharp.
        medians: of the depth of each image that has any, metres.
    """

    preset: Preset = PRESETS["custom"]
    findings: list[Finding] = field(default_factory=list)
    scenes: list[SceneFigures] = field(default_factory=list)
    testing: int = 0
    kept: dict[Path, list[int]] = field(default_factory=dict)
    medians: list[float] = field(default_factory=list)

    def count(self, level: str) -> int:
        return sum(finding.level == level for finding in self.findings)

    @property
    def errors(self) -> int:
        return self.count(ERROR)

    @property
    def warnings(self) -> int:
        return self.count(WARNING)

    @property
    def rotation_share(self) -> float | None:
        """Median over the scenes."""
        shares = [scene.rotation_share for scene in self.scenes if scene.rotation_share is not None]
        return float(np.median(shares)) if shares else None

    @property
    def advice(self) -> str:
        return version_advice(self.rotation_share)

    def training_line(self, data: Path) -> str | None:
        """The `scdepth train` command for this data set; None where it has no scene to train on."""
        return training_line(
            data,
            [SceneMeasures(scene.split, scene.frames, scene.parallax, scene.depths > 0) for scene in self.scenes],
            rotation_share=self.rotation_share,
            size=next(((s.width, s.height) for s in self.scenes if s.split == "train" and s.width), None),
            preset=self.preset,
        )


@dataclass(frozen=True)
class _Description:
    """What dataset.yaml says: units a metre of depth files, (height, width) of frames; None where it does not."""

    preset: Preset
    depth_factor: float | None
    size: tuple[int, int] | None

    @classmethod
    def read(cls, folder: SceneFolder, found: list[Finding]) -> _Description:
        try:
            size = tuple(folder.attributes.get(name) for name in ("height", "width"))
            return cls(folder.preset, folder.depth_factor, None if None in size else size)
        except DataError as error:
            found.append(Finding.refused("dataset.yaml", folder.root / "dataset.yaml", error, "correct it"))
            return cls(PRESETS["custom"], None, None)


def examine(
    folder: SceneFolder, frames: int | None = None, progress: Callable[[int, int], None] = lambda done, total: None
) -> Examination:
    """Read every frame and depth of a data set and say what is wrong.

    Args:
        frames: look into the first so many frames of each scene only; None for all.
        progress: called with the images done, and all that there are.
    """
    result = Examination()
    described = _Description.read(folder, result.findings)
    result.preset = described.preset
    scenes, tests = _listed_scenes(folder, result.findings), _test_pairs(folder, result.findings)
    total, done = sum(len(scene.images[:frames]) for _, scene in scenes) + len(tests), 0
    for split, scene in scenes:
        for _ in _examine_scene(scene, split, described, frames, result):
            done += 1
            progress(done, total)
    for image, depth in tests:
        picture = check_image(image, result.findings)
        if depth is not None and described.depth_factor is not None:
            _examine_depth(depth, described, _size(picture), result)
        done += 1
        progress(done, total)
    check_shared_frames(scenes, frames, result.findings)
    result.testing = len(tests)
    if described.depth_factor is not None:
        check_depth_unit(folder.root / "dataset.yaml", described.depth_factor, result.medians, result.findings)
    if scenes and all(len(scene.images) < FEWEST_FRAMES for _, scene in scenes):
        problem, cure = f"no scene has {FEWEST_FRAMES} frames, so there is no sample", "record longer scenes"
        result.findings.append(Finding.error("short", folder.root / "training", problem, cure))
    return result


def _listed_scenes(folder: SceneFolder, found: list[Finding]) -> list[tuple[str, Scene]]:
    """Scenes of both listings that can be read; each once."""
    training, scenes, seen = folder.root / "training", [], {}
    for listing, split in LISTINGS.items():
        try:
            names = folder.names(listing)
        except DataError as error:
            found.append(Finding.refused("listing", training / listing, error, "list one scene name a line in it"))
            continue
        for name, times in Counter(names).items():
            if times > 1:
                problem = f"it lists scene '{name}' {times} times"
                found.append(Finding.warning("listing", training / listing, problem, "list it once"))
            if name in seen:
                problem = f"scene '{name}' is listed for training too, so validation says nothing about new footage"
                found.append(Finding.warning("listing", training / listing, problem, "list it in one of the two"))
                continue
            seen[name] = split
            try:
                scenes.append((split, read_scene(training / name)))
            except DataError as error:
                found.append(Finding.refused("scene", training / name, error, CORRECT))
    unlisted = sorted(p.name for p in training.iterdir() if p.is_dir()) if training.is_dir() else []
    for name in unlisted:
        if name not in seen:
            problem = "the scene is in neither train.txt nor val.txt"
            found.append(Finding.warning("listing", training / name, problem, "list it, or remove it"))
    return scenes


def _examine_scene(
    scene: Scene, split: str, described: _Description, frames: int | None, result: Examination
) -> Iterator[None]:
    """Look at one scene; yields after each frame."""
    root, found = scene.images[0].parent, result.findings
    record = MotionRecord(scene.K, described.preset.height)
    size: tuple[int, int] | None = None
    for path, depth in list(zip(scene.images, scene.depths))[:frames]:
        image = check_image(path, found)
        if image is not None and size is None:
            size = _size(image)
            check_intrinsics(root / "cam.txt", scene.K, size, found)
            if described.size not in (None, size):
                problem = f"frames are {_text(size)}, dataset.yaml says {_text(described.size)}"
                cure = "scale the frames and cam.txt, or correct width and height in dataset.yaml"
                found.append(Finding.warning("frame size", path, problem, cure))
        if image is not None and _size(image) != size:
            problem = f"it is {_text(_size(image))}, the first frame of the scene {_text(size)}"
            cure = "scale all frames of a scene alike: they share one cam.txt"
            found.append(Finding.error("frame size", path, problem, cure))
        elif image is not None:
            record.add(path, image)
        if depth is not None and described.depth_factor is not None:
            _examine_depth(depth, described, _size(image), result, scene.K)
        yield
    _missing_depths(scene, found)
    check_stamps_and_poses(scene, found)
    if len(scene.images) < FEWEST_FRAMES:
        problem = f"scene '{scene.name}' has {len(scene.images)} frames, a sample needs {FEWEST_FRAMES}"
        found.append(Finding.warning("short", root, problem, "take it out of its listing, or record longer"))
    elif size is not None:
        found += record.findings(root)
    if len(record.reasons) == len(scene.images):
        result.kept[root] = record.kept
    height, width = size or (None, None)
    depths = sum(depth is not None for depth in scene.depths)
    measured = (record.motion, record.parallax, record.rotation_share, record.count(STATIC), record.count(BLURRED))
    result.scenes.append(SceneFigures(scene.name, split, len(scene.images), depths, width, height, *measured))


def _examine_depth(
    path: Path, described: _Description, size: tuple[int, int] | None, result: Examination, K: np.ndarray | None = None
) -> None:
    median = check_depth(path, described.depth_factor, size, result.findings, K, described.preset.protocol)
    if median is not None:
        result.medians.append(median)


def _missing_depths(scene: Scene, found: list[Finding]) -> None:
    missing = [path for path, depth in zip(scene.images, scene.depths) if depth is None]
    if missing and len(missing) < len(scene.images):
        problem = f"{len(missing)} of {len(scene.images)} frames of the scene have no depth, this is the first"
        cure = f"write depth/{missing[0].stem}.png or .npy, or live without: such frames are not validated"
        found.append(Finding.warning("missing partner", missing[0], problem, cure))


def _test_pairs(folder: SceneFolder, found: list[Finding]) -> list[tuple[Path, Path | None]]:
    """Test images and their depth, None where it is missing."""
    color, depth = folder.root / "testing" / "color", folder.root / "testing" / "depth"
    if not (folder.root / "testing").is_dir():
        return []
    try:
        images, depths = image_files(color), {path.stem: path for path in image_files(depth, DEPTH_SUFFIXES)}
    except DataError as error:
        found.append(Finding.refused("testing", folder.root / "testing", error, "remove one of them"))
        return []
    for image in images:
        if image.stem not in depths:
            problem, cure = "the test image has no depth", f"write '{depth / image.stem}.png' or .npy, or remove it"
            found.append(Finding.error("missing partner", image, problem, cure))
    for stem in sorted(depths.keys() - {image.stem for image in images}):
        problem = "the test depth has no image"
        cure = f"write '{color / stem}.jpg' or .png, or remove it"
        found.append(Finding.error("missing partner", depths[stem], problem, cure))
    return [(image, depths.get(image.stem)) for image in images]


def _size(image: np.ndarray | None) -> tuple[int, int] | None:
    """(height, width) of a picture, where there is one."""
    return None if image is None else image.shape[:2]


def _text(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
