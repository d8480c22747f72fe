"""Rectified colour and depth of a bag, pixel on pixel, whether depth_node made the depth or a sensor measured it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from scdepth_core.channels import to_rgb
from scdepth_core.errors import BagError, ImageError
from scdepth_core.geometry.image_geometry import rectified_pose, registered_depth
from scdepth_core.geometry.rectification import Rectifier
from scdepth_ros.bag import BagReader
from scdepth_ros.extraction.frame_stream import Frame, FrameStream, is_rectified_by_name
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.messages import decode_depth, decode_image, stamp_ns
from scdepth_ros.topics import DEPTH, INFO, RGB, RGB_INFO


@dataclass(frozen=True)
class RgbdFrame:
    """One moment of a rectified camera.

    Attributes:
        stamp_ns, depth_stamp_ns: header stamps; the depth's is that of the image where there is no depth.
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32 metres, NaN where unknown; None when there is none for this image.
        pose: (4, 4) of the rectified camera in the world, or None.
    """

    stamp_ns: int
    depth_stamp_ns: int
    rgb: np.ndarray
    depth: np.ndarray | None
    pose: np.ndarray | None


class RgbdFrames:
    """The frames of an open bag.

    depth_node's own topics are taken where the bag has them: `depth/image_rect` with `rgb/image_rect_color`, or with
    the camera's images, which are then rectified here. Otherwise topics are found as `scdepth extract` does.

    Attributes:
        camera: of all images given: no distortion.
        stream: topics, counts of what could not be used, notes.

    Raises:
        BagError: when there is no depth, or topics are ambiguous; CameraError for an uncalibrated camera.
    """

    def __init__(self, bag: BagReader, settings: ExtractionSettings):
        self.stream = FrameStream(bag, with_node_topics(bag, settings))
        if self.stream.topics.depth is None:
            raise BagError(
                f"bag '{bag.path}' has no depth images – record depth/image_rect of depth_node along, or name a topic "
                "with --depth-topic"
            )
        camera = self.stream.camera
        if self.stream.rectified:
            camera = camera.of_rectified_image()
        self._rectifier = Rectifier(camera)
        self.camera = self._rectifier.camera
        rectified = is_rectified_by_name(self.stream.topics.depth)
        self._depth_rectifier = Rectifier(self.camera) if rectified else self._rectifier

    def frames(self, progress: Callable[[], None] = lambda: None, start_ns: int | None = None) -> Iterator[RgbdFrame]:
        """All frames recorded from `start_ns` on, calling `progress` after every message.

        What cannot be used is counted in `stream`.

        Raises:
            BagError: when the calibration changes on the way: one camera model must do for all frames.
        """
        for frame in self.stream.frames(progress, start_ns):
            if frame.camera is not self.stream.camera:
                raise BagError(
                    f"the camera of bag '{self.stream.bag.path}' changes at {frame.stamp_ns / 1e9:.3f} s, which one "
                    "calibration file cannot tell – record both parts into bags of their own"
                )
            try:
                rgb = self._rectifier(to_rgb(decode_image(frame.image)))
            except ImageError:
                self.stream.dropped["undecodable or of another size than camera_info says"] += 1
                continue
            depth = self._depth_of(frame)
            pose = None if frame.pose is None else rectified_pose(frame.pose, self._rectifier)
            yield RgbdFrame(frame.stamp_ns, _depth_stamp(frame), rgb, depth, pose)

    def _depth_of(self, frame: Frame) -> np.ndarray | None:
        if frame.depth is None:
            self.stream.depth_dropped["images without depth in time"] += 1
            return None
        try:
            return registered_depth(decode_depth(frame.depth), self._depth_rectifier)
        except ImageError:
            self.stream.depth_dropped["undecodable or of another view"] += 1
            return None


def with_node_topics(bag: BagReader, settings: ExtractionSettings) -> ExtractionSettings:
    """The settings with depth_node's topics, where the bag has them once and nobody named others."""
    names = [topic for topic in bag.topics if bag.counts[topic]]
    depths = [topic for topic in names if topic.endswith(f"/{DEPTH}") and settings.depth_topic in (None, topic)]
    if len(depths) != 1:
        return settings
    place = depths[0].removesuffix(DEPTH)
    chosen = replace(settings, depth_topic=depths[0])
    if settings.image_topic or place + RGB not in names:
        return chosen
    infos = [place + info for info in (RGB_INFO, INFO) if place + info in names]
    info = settings.camera_info_topic or (infos[0] if infos else None)
    return replace(chosen, image_topic=place + RGB, camera_info_topic=info)


def _depth_stamp(frame: Frame) -> int:
    if frame.depth is None:
        return frame.stamp_ns
    return stamp_ns(frame.depth.header) or frame.stamp_ns
