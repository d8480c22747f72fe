"""Write a data set of scene folders, so that it appears under its name only when it is complete.

    with DatasetWriter("data/kitchen", width=320, height=256) as dataset:
        scene = dataset.new_scene("kitchen_00", K)
        scene.add(rgb, stamp_ns=stamp, depth=depth, pose=world_from_camera)
        scene.close()
        dataset.train, dataset.val = ["kitchen_00"], []

Everything is written under `NAME.partial`, which is renamed when the block ends and removed when it fails.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import yaml

from scdepth_core.data.finished_folder import FinishedFolder
from scdepth_core.data.scene_folder import read_image
from scdepth_core.errors import DataError
from scdepth_core.geometry.trajectory import tum_line, tum_stamp

DATASET_FORMAT = "scdepth-1"
IMAGE_OPTIONS = {"jpg": [cv2.IMWRITE_JPEG_QUALITY, 95], "png": [cv2.IMWRITE_PNG_COMPRESSION, 3]}


class DatasetWriter:
    """A data set under construction. Use it as a context manager.

    Args:
        root: where the finished data set appears; must not exist.
        width, height: size of all images of its scenes, pixels.
        depth_factor: units per metre of the 16-bit depth files.
        image_format: "jpg" or "png".
        attributes: further entries of dataset.yaml (fps, source, ...), plain YAML values.

    Attributes:
        partial: the folder that is being filled.
        train, val: scene names for train.txt and val.txt; the caller fills them before the block ends.

    Raises:
        DataError: when `root` exists already, or a scene is named twice or not written.
    """

    def __init__(
        self,
        root,
        *,
        width: int,
        height: int,
        depth_factor: float = 1000,
        image_format: str = "jpg",
        attributes: dict | None = None,
    ):
        if image_format not in IMAGE_OPTIONS:
            raise DataError(f"image format is '{image_format}', expected one of {', '.join(IMAGE_OPTIONS)}")
        self._output = FinishedFolder(root)
        self.width, self.height = int(width), int(height)
        self.depth_factor, self.image_format = depth_factor, image_format
        self.attributes = dict(attributes or {})
        self.train: list[str] = []
        self.val: list[str] = []

    def __enter__(self) -> DatasetWriter:
        self.partial = self._output.__enter__()
        (self.partial / "training").mkdir()
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            try:
                self._finish()
            except BaseException as failure:
                self._output.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._output.__exit__(kind, error, trace)

    def new_scene(self, name: str, K) -> SceneWriter:
        """Start scene `name` with intrinsics K (3, 3) of the images to come."""
        if (self._folder(name)).exists():
            raise DataError(f"scene '{name}' exists already – scenes need different names")
        return SceneWriter(self._folder(name), K, self)

    def add_test(self, stem: str, image: Path, depth: np.ndarray) -> None:
        """A test frame: its file as it is, whatever its size, and its depth (H, W) metres, 0 or NaN where unknown.

        Raises:
            DataError: the file is no picture, or of another size than the depth.
        """
        size = read_image(image).shape[:2]
        if size != depth.shape:
            raise DataError(f"'{image}' is {size}, its depth {depth.shape} (H, W) – give the frames as recorded")
        for folder in ("color", "depth"):
            (self.partial / "testing" / folder).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, self.partial / "testing" / "color" / f"{stem}{image.suffix}")
        path = self.partial / "testing" / "depth" / f"{stem}.png"
        write_picture(path, depth_to_units(depth, self.depth_factor))

    def remove_scene(self, name: str) -> None:
        """Take a written scene out again."""
        shutil.rmtree(self._folder(name))

    def split_scene(self, name: str, tail: str, frames: int) -> int:
        """Move the last `frames` frames of scene `name` (closed) into the new scene `tail`.

        Returns:
            the stamp of the first frame moved, nanoseconds.
        """
        source, target = self._folder(name), self._folder(tail)
        images = sorted(source.glob(f"*.{self.image_format}"))
        if not 0 < frames < len(images):
            raise DataError(f"scene '{name}' has {len(images)} frames, so {frames} cannot be split off its end")
        target.mkdir()
        shutil.copy(source / "cam.txt", target / "cam.txt")
        if (source / "depth").exists():
            (target / "depth").mkdir()
        for image in images[-frames:]:
            depth = source / "depth" / f"{image.stem}.png"
            if depth.exists():
                depth.rename(target / "depth" / depth.name)
            image.rename(target / image.name)
        for table in ("poses.txt", "timestamps.txt"):
            if (source / table).exists():
                lines = (source / table).read_text().splitlines(keepends=True)
                (source / table).write_text("".join(lines[:-frames]))
                (target / table).write_text("".join(lines[-frames:]))
        return _nanoseconds((target / "timestamps.txt").read_text().split()[0])

    def write_text(self, name: str, text: str) -> None:
        """Put a file of text beside dataset.yaml."""
        (self.partial / name).write_text(text)

    def count_depths(self, name: str) -> int:
        """Depth images in a written scene."""
        return sum(1 for _ in (self._folder(name) / "depth").glob("*.png"))

    def _folder(self, scene: str) -> Path:
        return self.partial / "training" / scene

    def _finish(self) -> None:
        for name in (*self.train, *self.val):
            if not (self._folder(name) / "cam.txt").exists():
                raise DataError(f"scene '{name}' is listed for training or validation, but was not written")
        for listing, names in (("train.txt", self.train), ("val.txt", self.val)):
            (self.partial / "training" / listing).write_text("".join(f"{name}\n" for name in names))
        description = {
            "format": DATASET_FORMAT,
            "depth_factor": self.depth_factor,
            "width": self.width,
            "height": self.height,
            **self.attributes,
        }
        (self.partial / "dataset.yaml").write_text(yaml.safe_dump(description, sort_keys=False))


class SceneWriter:
    """One scene folder, written frame by frame in time order; no picture stays in memory.

    Attributes:
        frames, depths, poses: how many were written.
        first_pose, last_pose: numbers of the first and the last frame with a pose; None while there is none.

    Raises:
        DataError: from `add`, for an image of another size than the data set's, or a full disk.
    """

    def __init__(self, folder: Path, K, dataset: DatasetWriter):
        self.folder, self.name, self.dataset = folder, folder.name, dataset
        self.frames = self.depths = self.poses = 0
        self.first_pose: int | None = None
        self.last_pose: int | None = None
        folder.mkdir()
        np.savetxt(folder / "cam.txt", np.asarray(K, np.float64).reshape(3, 3), fmt="%.10g")
        self._stamps = (folder / "timestamps.txt").open("w")
        self._poses = (folder / "poses.txt").open("w")

    def add(
        self,
        image: np.ndarray,
        *,
        stamp_ns: int,
        depth: np.ndarray | None = None,
        pose: np.ndarray | None = None,
    ) -> str:
        """Append a frame.

        Args:
            image: (H, W, 3) uint8 RGB, or (H, W) uint8.
            stamp_ns: time of the exposure, nanoseconds.
            depth: (h, w) metres of the same view, at any resolution; NaN, 0 and what 16 bits cannot hold are written
                as 0, no value.
            pose: (4, 4) camera (optical frame) in the world, metres.

        Returns:
            the frame's stem.
        """
        size = (self.dataset.height, self.dataset.width)
        if image.shape[:2] != size:
            raise DataError(
                f"image {image.shape} of scene '{self.name}' does not have the data set's size {size} (H, W)"
            )
        stem = f"{self.frames:06d}"
        pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        write_picture(self.folder / f"{stem}.{self.dataset.image_format}", pixels)
        if depth is not None:
            (self.folder / "depth").mkdir(exist_ok=True)
            write_picture(self.folder / "depth" / f"{stem}.png", depth_to_units(depth, self.dataset.depth_factor))
            self.depths += 1
        stamp = tum_stamp(stamp_ns)
        self._stamps.write(f"{stamp}\n")
        if pose is not None:
            self._poses.write(f"{tum_line(stamp, np.asarray(pose))}\n")
            self.poses += 1
            self.first_pose = self.frames if self.first_pose is None else self.first_pose
            self.last_pose = self.frames
        self.frames += 1
        return stem

    def trim_to_poses(self) -> tuple[int, int]:
        """Take out the frames before the first pose and behind the last one. Nothing can be added after that.

        Returns:
            the stamps of the first and the last frame that stay, nanoseconds.
        """
        self._stamps.close()
        kept = range(self.first_pose, self.last_pose + 1)
        stamps = (self.folder / "timestamps.txt").read_text().split()[kept.start : kept.stop]
        (self.folder / "timestamps.txt").write_text("".join(f"{stamp}\n" for stamp in stamps))
        for number in {*range(self.frames)} - {*kept}:
            (self.folder / f"{number:06d}.{self.dataset.image_format}").unlink()
            (self.folder / "depth" / f"{number:06d}.png").unlink(missing_ok=True)
        self.frames, self.depths = len(kept), self.dataset.count_depths(self.name)
        return _nanoseconds(stamps[0]), _nanoseconds(stamps[-1])

    def close(self) -> None:
        """Finish the scene. Poses stay only when every frame has one: a partial list would pair wrongly."""
        self._stamps.close()
        self._poses.close()
        if self.poses < max(self.frames, 1):
            (self.folder / "poses.txt").unlink()


def _nanoseconds(stamp: str) -> int:
    return int(stamp.replace(".", ""))  # the decimals are the nine of nanoseconds


def depth_to_units(depth: np.ndarray, depth_factor: float) -> np.ndarray:
    """Metres (NaN or <= 0: none) as uint16 in 1/depth_factor metres; 0 where there is no value or no room."""
    units = np.rint(np.nan_to_num(np.asarray(depth, np.float64), nan=0.0, posinf=0.0, neginf=0.0) * depth_factor)
    units[(units < 0) | (units > np.iinfo(np.uint16).max)] = 0
    return units.astype(np.uint16)


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a JPEG or PNG, by the name's ending; blue first where there are colours.

    Raises:
        DataError: the file cannot be written, with the operating system's reason.
    """
    done, encoded = cv2.imencode(path.suffix, pixels, IMAGE_OPTIONS[path.suffix[1:]])
    if not done:
        raise DataError(f"'{path}' cannot be encoded from {pixels.dtype} {pixels.shape}")
    try:
        path.write_bytes(encoded)
    except OSError as error:
        raise DataError(f"'{path}' could not be written ({error.strerror})") from error
