"""One recording on its way into scenes: frames in, pictures with depth and pose out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scdepth_core.data.scene_writer import DatasetWriter
from scdepth_core.errors import BagError, CameraError, ImageError
from scdepth_core.geometry.image_geometry import ImageGeometry
from scdepth_ros.bag import BagReader
from scdepth_ros.extraction.frame_stream import Frame, FrameStream
from scdepth_ros.extraction.report import BagReport, SceneReport
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.extraction.stretches import StretchWriter
from scdepth_ros.extraction.topics import sibling_camera_info
from scdepth_ros.messages import decode_camera_info, decode_depth, decode_image

_SAME_LENS = 0.02  # relative difference of focal lengths up to which two cameras count as the same


class Recording:
    """An open bag, its topics found and its first camera known.

    Attributes:
        camera: the first calibration of the image topic.
        report: filled by `extract`.

    Raises:
        BagError: when topics are missing or ambiguous, or depth is of another view.
        CameraError: when the camera is uncalibrated.
    """

    def __init__(self, bag: BagReader, settings: ExtractionSettings):
        self.bag, self.settings = bag, settings
        self._stream = stream = FrameStream(bag, settings)
        self.topics, self.camera, self.rectified = stream.topics, stream.camera, stream.rectified
        self.report = BagReport(
            path=str(bag.path),
            topics=stream.topics.as_dict(),
            camera={"summary": self._camera_summary()},
            notes=stream.notes,
            dropped=stream.dropped,
            depth_dropped=stream.depth_dropped,
        )
        geometry = ImageGeometry(self.camera, (64, 64), settings.fit, self.rectified)  # fails early if it must
        if self.topics.depth:
            self._check_depth(geometry)

    @property
    def message_count(self) -> int:
        return self._stream.message_count

    def extract(
        self, dataset: DatasetWriter, prefix: str, progress: Callable[[], None] = lambda: None
    ) -> list[SceneReport]:
        """Write the scenes of this recording, calling `progress` after every message."""
        self._stretches = StretchWriter(dataset, prefix, self.settings, self.report, self.rectified)
        for frame in self._stream.frames(progress):
            self._write(frame)
        self._stretches.finish()
        self._conclude()
        return self._stretches.scenes

    def _write(self, frame: Frame) -> None:
        try:
            image = decode_image(frame.image)
        except ImageError:
            self.report.dropped["undecodable"] += 1
            return
        try:
            self._stretches.add(frame.stamp_ns, image, frame.camera, lambda: self._depth_of(frame), frame.pose)
        except ImageError:
            self.report.dropped["of another size than camera_info says"] += 1
        except CameraError:
            self.report.dropped["with an impossible camera_info"] += 1

    def _depth_of(self, frame: Frame) -> np.ndarray | None:
        if frame.depth is None:
            if self.topics.depth:
                self.report.depth_dropped["frames without one in time"] += 1
            return None
        try:
            depth = decode_depth(frame.depth)
        except ImageError:
            self.report.depth_dropped["undecodable"] += 1
            return None
        error_ms = frame.depth_error_ns / 1e6
        self.report.largest_depth_error_ms = max(self.report.largest_depth_error_ms, error_ms)
        return depth

    def _check_depth(self, geometry: ImageGeometry) -> None:
        """Refuse depth of another aspect."""
        try:
            depth = self._stream.first(self.topics.depth, decode_depth)
        except ImageError as error:
            raise BagError(f"{error} – or leave depth out with --no-depth") from error
        try:
            geometry.depth(depth)
        except ImageError as error:
            raise BagError(f"{self.topics.depth} of bag '{self.bag.path}': {error}") from error
        self._check_lens()

    def _check_lens(self) -> None:
        """Mention depth of another lens, whose pixels are off, as far as depth has a calibration of its own."""
        info = sibling_camera_info(self.topics.depth)
        if info == self.topics.camera_info or self.bag.topics.get(info) != "sensor_msgs/msg/CameraInfo":
            return
        try:
            other = self._stream.first(info, decode_camera_info)
        except (BagError, CameraError) as error:
            self.report.notes.append(f"nothing says whether {self.topics.depth} is registered: {error}")
            return
        focal = other.K[0, 0] * self.camera.width / other.width
        if abs(focal / self.camera.K[0, 0] - 1) > _SAME_LENS:
            self.report.notes.append(
                f"{self.topics.depth} has a focal length of {focal:.1f} px at the colour camera's width, not "
                f"{self.camera.K[0, 0]:.1f}: it is not registered, expect depth beside its pixels"
            )

    def _camera_summary(self) -> str:
        camera = self.camera
        lens = "no distortion" if camera.distortion_model == "none" else camera.distortion_model
        lens = "already rectified" if self.rectified else lens
        return f"{camera.width}x{camera.height}, fx {camera.K[0, 0]:.2f}, {lens}"

    def _conclude(self) -> None:
        report = self.report
        report.images = self._stream.images
        report.truncated = self.bag.truncated
        report.period_s = self._stretches.period_s
        if self._stream.headerless:
            report.notes.append("headers without a stamp: the time of recording was taken")
        report.notes += [f"{count} times {sentence}" for sentence, count in self._stream.transform_troubles.items()]
        if self.topics.depth:
            report.notes.append(
                f"depth of {self.topics.depth} within {self.settings.depth_tolerance * 1e3:g} ms of its image, "
                f"at most {report.largest_depth_error_ms:.1f} ms off"
            )
