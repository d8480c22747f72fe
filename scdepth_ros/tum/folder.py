"""An RGB-D sequence as the TUM benchmark lays it out: what ORB-SLAM, RTAB-Map, Open3D and many others read.

rgb/STAMP.png, depth/STAMP.png   pictures; depth has 16 bits, depth_factor units a metre, 0 for no value
rgb.txt, depth.txt               stamp and file
associations.txt                 stamp and file of an image, stamp and file of its depth
groundtruth.txt                  stamp tx ty tz qx qy qz qw: the camera in the world, where it is known
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from scdepth_core.data.scene_writer import depth_to_units, write_picture
from scdepth_core.errors import ConfigError, DataError
from scdepth_core.geometry.trajectory import tum_line, tum_stamp
from scdepth_ros.rgbd_frames import RgbdFrame

TUM_DEPTH_FACTOR = 5000.0
_LARGEST = np.iinfo(np.uint16).max


@dataclass
class TumCounts:
    """What was written: images, depth images, poses; known depth pixels, and those too far for 16 bits."""

    images: int = 0
    depths: int = 0
    poses: int = 0
    depth_pixels: int = 0
    overflows: int = 0


class TumWriter:
    """Fills a folder with a sequence.

    Args:
        folder: exists and is empty.
        depth_factor: units per metre of the depth files; depth beyond 65535 / depth_factor metres is written as 0.
        source: what to name as the origin in the lists.

    Attributes:
        counts: what was written so far.

    Raises:
        ConfigError: for a factor that is not above 0.
    """

    def __init__(self, folder: Path, depth_factor: float = TUM_DEPTH_FACTOR, source: str = ""):
        if not 0 < depth_factor < np.inf:
            raise ConfigError(f"depth factor is {depth_factor:g}, expected units per metre above 0, as 1000 or 5000")
        self._folder, self._factor, self._source = Path(folder), float(depth_factor), source
        self.counts = TumCounts()
        self._lists: dict[str, list[str]] = {"rgb": [], "depth": [], "associations": [], "groundtruth": []}
        for name in ("rgb", "depth"):
            (self._folder / name).mkdir()

    @property
    def farthest(self) -> float:
        """The largest depth that a file can hold, metres."""
        return _LARGEST / self._factor

    def add(self, frame: RgbdFrame) -> None:
        """Append a frame.

        Raises:
            DataError: when a file cannot be written, or two frames have the same stamp.
        """
        stamp = tum_stamp(frame.stamp_ns)
        image = f"rgb/{stamp}.png"
        if (self._folder / image).exists():
            raise DataError(f"two images have the stamp {stamp} s – the recording was looped, export one round of it")
        write_picture(self._folder / image, cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
        self._lists["rgb"].append(f"{stamp} {image}")
        self.counts.images += 1
        if frame.depth is not None:
            self._add_depth(frame, f"{stamp} {image}")
        if frame.pose is not None:
            self._lists["groundtruth"].append(tum_line(stamp, frame.pose))
            self.counts.poses += 1

    def close(self) -> None:
        """Write the lists; ground truth only where there is any."""
        what = {"rgb": "color images", "depth": "depth maps", "groundtruth": "ground truth trajectory"}
        columns = {"groundtruth": "timestamp tx ty tz qx qy qz qw"}
        for name, lines in self._lists.items():
            if name == "groundtruth" and not lines:
                continue
            head = []
            if name in what:  # readers of associations know no comments
                head = [f"# {what[name]}", f"# file: '{self._source}'", f"# {columns.get(name, 'timestamp filename')}"]
            (self._folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in [*head, *lines]))

    def _add_depth(self, frame: RgbdFrame, image: str) -> None:
        stamp = tum_stamp(frame.depth_stamp_ns)
        depth = f"depth/{stamp}.png"
        if not (self._folder / depth).exists():  # two images may share the depth between them
            known = np.isfinite(frame.depth) & (frame.depth > 0)
            self.counts.depth_pixels += int(known.sum())
            self.counts.overflows += int((np.rint(frame.depth[known] * self._factor) > _LARGEST).sum())
            write_picture(self._folder / depth, depth_to_units(frame.depth, self._factor))
            self._lists["depth"].append(f"{stamp} {depth}")
            self.counts.depths += 1
        self._lists["associations"].append(f"{image} {stamp} {depth}")
