"""What an extraction did, frame for frame accounted for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from scdepth_core.data.training_advice import SceneMeasures, training_line, version_advice


@dataclass
class SceneReport:
    """One scene: a continuous stretch of one bag, or the end of one set apart for validation.

    Attributes:
        motion: of each frame but the first, pixels from the last one kept; infinite where nothing is found again.
        rotation: the share of that motion that a turn on the spot explains; NaN where it is not known.
    """

    name: str
    bag: str
    start_ns: int
    end_ns: int
    kept: int = 0
    dropped: Counter = field(default_factory=Counter)
    depth: int = 0
    poses: int = 0
    split: str = "train"
    tail_of: str | None = None
    motion: list[float] = field(default_factory=list, repr=False)
    rotation: list[float] = field(default_factory=list, repr=False)

    @property
    def read(self) -> int:
        return self.kept + sum(self.dropped.values())

    @property
    def parallax(self) -> float | None:
        """Mean of what a turn on the spot does not explain, pixels from frame to frame."""
        left_over = np.array(self.motion) * (1 - np.array(self.rotation))
        known = left_over[np.isfinite(left_over)]
        return float(known.mean()) if known.size else None

    def as_dict(self) -> dict:
        return {
            "name": self.name,
            "bag": self.bag,
            "split": self.split,
            "tail_of": self.tail_of,
            "start": self.start_ns / 1e9,
            "seconds": round((self.end_ns - self.start_ns) / 1e9, 3),
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "depth": self.depth,
            "poses": self.poses,
            "median_motion_px": _median(self.motion),
            "rotation_share": _median(self.rotation),
        }


@dataclass
class BagReport:
    """One recording: what was taken from it, and what was not.

    Attributes:
        camera: "summary" in words; "window" (left, top, width, height) of the rectified image that is used, and
            "K" of the images written, both of the last calibration.
        images: image messages read.
        dropped: frames in no scene, by reason; depth_dropped: depth images left out, by reason.
        short_stretches: stretches without enough frames for a scene.
        period_s: median time between images.
    """

    path: str
    topics: dict[str, str | None]
    camera: dict
    notes: list[str] = field(default_factory=list)
    truncated: str | None = None
    images: int = 0
    dropped: Counter = field(default_factory=Counter)
    depth_dropped: Counter = field(default_factory=Counter)
    short_stretches: int = 0
    period_s: float | None = None
    largest_depth_error_ms: float = 0.0

    def as_dict(self) -> dict:
        return {**vars(self), "dropped": dict(self.dropped), "depth_dropped": dict(self.depth_dropped)}


@dataclass
class ExtractionReport:
    """The whole data set. `training_line` is for the moment: a folder may be moved, and `as_dict` is kept in it.

    Attributes:
        validation: the share of the frames that was wanted for validation; None where it is not known.
    """

    output: str
    size: tuple[int, int]
    bags: list[BagReport] = field(default_factory=list)
    scenes: list[SceneReport] = field(default_factory=list)
    validation: float | None = None

    @property
    def rotation_share(self) -> float | None:
        return _median([share for scene in self.scenes for share in scene.rotation])

    @property
    def advice(self) -> str:
        return version_advice(self.rotation_share)

    def as_dict(self) -> dict:
        return {
            "out": self.output,
            "size": list(self.size),
            "bags": [bag.as_dict() for bag in self.bags],
            "scenes": [scene.as_dict() for scene in self.scenes],
            "rotation_share": self.rotation_share,
            "advice": self.advice,
        }

    def as_text(self) -> str:
        """For people: a paragraph per bag, a table of scenes, the advice, what to type next."""
        lines = [line for bag in self.bags for line in _bag_lines(bag)]
        lines += ["", *_table(self.scenes), "", self.advice]
        train, val = self._split("train"), self._split("val")
        lines.append(
            f"{self.output}: {self.size[0]}x{self.size[1]}, {sum(s.kept for s in train)} frames in {len(train)} "
            f"scenes for training, {sum(s.kept for s in val)} in {len(val)} for validation"
        )
        if not val:
            lines.append(f"training wants a scene for validation, there is none – {self._way_to_validation()}")
        if command := self.training_line():
            lines.append(f"train with: {command}")
        return "\n".join(lines)

    def training_line(self) -> str | None:
        """The `scdepth train` command for this data set; None without a scene for training or for validation.

        Raises:
            ConfigError: the shipped recipe is missing.
        """
        if not self._split("val"):
            return None
        return training_line(
            self.output,
            [SceneMeasures(scene.split, scene.kept, scene.parallax, scene.depth > 0) for scene in self.scenes],
            rotation_share=self.rotation_share,
            size=self.size,
        )

    def _way_to_validation(self) -> str:
        if self.validation == 0:
            listing = f"{self.output}/training/train.txt"
            return f"--validation is 0: give a share such as 0.1, or move a scene's name from {listing} to val.txt"
        return "lower --min-frames, or record longer"

    def _split(self, split: str) -> list[SceneReport]:
        return [scene for scene in self.scenes if scene.split == split]


def _bag_lines(bag: BagReport) -> list[str]:
    lines = [f"{bag.path}: {bag.images} images of {bag.topics['image']}, {bag.camera['summary']}"]
    if "window" in bag.camera:
        left, top, width, height = bag.camera["window"]
        lines.append(f"  {width}x{height} pixels of them from ({left}, {top}) are used")
    if bag.truncated:
        lines.append(f"  DAMAGED: {bag.truncated}; what could be read was extracted")
    lines += [f"  {note}" for note in bag.notes]
    if bag.dropped:
        lines.append(f"  not in any scene: {_counts(bag.dropped)}")
    if bag.depth_dropped:
        lines.append(f"  depth left out: {_counts(bag.depth_dropped)}")
    if bag.short_stretches:
        lines.append(f"  stretches too short for a scene: {bag.short_stretches}")
    return lines


def _table(scenes: list[SceneReport]) -> list[str]:
    head = ("scene", "split", "from", "seconds", "read", "kept", "dropped", "depth", "poses", "motion", "rotation")
    rows = [head]
    for scene in scenes:
        row = scene.as_dict()
        rows.append(
            (
                scene.name,
                scene.split,
                f"{row['start']:.2f}",
                f"{row['seconds']:.2f}",
                str(scene.read),
                str(scene.kept),
                _counts(scene.dropped) or "0",
                str(scene.depth),
                str(scene.poses),
                "-" if row["median_motion_px"] is None else f"{row['median_motion_px']:.1f} px",
                "-" if row["rotation_share"] is None else f"{row['rotation_share']:.2f}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _counts(counter: Counter) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in counter.items())


def _median(values: list[float]) -> float | None:
    finite = [value for value in values if np.isfinite(value)]
    return round(float(np.median(finite)), 4) if finite else None
