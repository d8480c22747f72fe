"""One recording on its way into scenes: messages in, frames with depth and pose out, memory flat."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np

from scdepth_core.data.scene_writer import DatasetWriter
from scdepth_core.errors import BagError, CameraError, ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_ros.bag import BagReader
from scdepth_ros.extraction.association import Associator, Waiting
from scdepth_ros.extraction.calibration import read_calibration
from scdepth_ros.extraction.geometry import ImageGeometry
from scdepth_ros.extraction.odometry import PoseTrack, odometry_axes
from scdepth_ros.extraction.report import BagReport, SceneReport
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.extraction.stretches import StretchWriter
from scdepth_ros.extraction.topics import base_topic, find_topics, sibling_camera_info
from scdepth_ros.messages import decode_camera_info, decode_depth, decode_image

_TRIES = 20  # messages looked at for the first that can be decoded
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
        self.topics = find_topics(bag, settings)
        if settings.calibration:
            self.camera = read_calibration(settings.calibration)
        else:
            self.camera = self._first(self.topics.camera_info, decode_camera_info)
        named_rectified = "rect" in base_topic(self.topics.image).rpartition("/")[2]
        self.rectified = named_rectified if settings.rectified is None else settings.rectified
        self.report = BagReport(
            path=str(bag.path), topics=vars(self.topics), camera={"summary": self._camera_summary()}
        )
        geometry = ImageGeometry(self.camera, (64, 64), settings.fit, self.rectified)  # fails early if it must
        self._headerless = False
        self._axes = "optical"
        if self.topics.odometry:
            self._axes = self._odometry_axes()
        if self.topics.depth:
            self._check_depth(geometry)

    @property
    def message_count(self) -> int:
        return sum(self.bag.counts[topic] for topic in self.topics.names)

    def extract(
        self, dataset: DatasetWriter, prefix: str, progress: Callable[[], None] = lambda: None
    ) -> list[SceneReport]:
        """Write the scenes of this recording, calling `progress` after every message."""
        self._stretches = StretchWriter(dataset, prefix, self.settings, self.report, self.rectified)
        self._poses = PoseTrack(
            self._axes,
            gap_ns=int(self.settings.odometry_gap * 1e9),
            tolerance_ns=int(self.settings.depth_tolerance * 1e9),
            memory_ns=int(4 * self.settings.window * 1e9),
        )
        self._associator = Associator(
            self._streams_to_wait_for(),
            tolerance_ns=int(self.settings.depth_tolerance * 1e9),
            window_ns=int(self.settings.window * 1e9),
        )
        self._cameras: list[tuple[int, Camera]] = [(0, self.camera)]
        for message in self.bag.messages(self.topics.names):
            self._take(message)
            for waiting in self._associator.ready(message.stamp_ns):
                self._write(waiting)
            progress()
        for waiting in self._associator.rest():
            self._write(waiting)
        self._stretches.finish()
        self._conclude()
        return self._stretches.scenes

    def _take(self, message) -> None:
        """Hand a message to the stream that it belongs to; count one that is broken."""
        kind = {self.topics.image: "image", self.topics.depth: "depth", self.topics.odometry: "odometry"}.get(
            message.topic, "camera_info"
        )
        try:
            content = message.decode()
            stamp = self._stamp(content, message.stamp_ns)
            if kind == "image":
                self.report.images += 1
                self._associator.add_image(stamp, message.stamp_ns, content)
            elif kind == "depth":
                self._associator.add_depth(stamp, content)
            elif kind == "odometry":
                self._poses.add(stamp, content)
                self._associator.reached("odometry", stamp)
            else:
                self._take_camera(stamp, content)
                self._associator.reached("camera_info", stamp)
        except (BagError, CameraError):
            counter = self.report.depth_dropped if kind == "depth" else self.report.dropped
            counter[f"broken {kind} messages"] += 1
            self.report.images += kind == "image"

    def _take_camera(self, stamp: int, content) -> None:
        camera = decode_camera_info(content)
        if not _same_camera(camera, self._cameras[-1][1]):
            self._cameras.append((stamp, camera))
            self.report.notes.append(f"the camera changes at {stamp / 1e9:.3f} s: a new scene begins")

    def _write(self, waiting: Waiting) -> None:
        while len(self._cameras) > 1 and self._cameras[1][0] <= waiting.stamp_ns:
            self._cameras.pop(0)
        pose = self._poses.at(waiting.stamp_ns) if self.topics.odometry else None
        try:
            image = decode_image(waiting.image)
        except ImageError:
            self.report.dropped["undecodable"] += 1
            return
        try:
            self._stretches.add(waiting.stamp_ns, image, self._cameras[0][1], lambda: self._depth_of(waiting), pose)
        except ImageError:
            self.report.dropped["of another size than camera_info says"] += 1
        except CameraError:
            self.report.dropped["with an impossible camera_info"] += 1

    def _depth_of(self, waiting: Waiting) -> np.ndarray | None:
        if waiting.depth is None:
            if self.topics.depth:
                self.report.depth_dropped["frames without one in time"] += 1
            return None
        try:
            depth = decode_depth(waiting.depth)
        except ImageError:
            self.report.depth_dropped["undecodable"] += 1
            return None
        error_ms = waiting.depth_error_ns / 1e6
        self.report.largest_depth_error_ms = max(self.report.largest_depth_error_ms, error_ms)
        return depth

    def _stamp(self, content, recorded_ns: int) -> int:
        """Time of exposure; time of recording where the driver left the header empty."""
        stamp = content.header.stamp
        exposed = stamp.sec * 10**9 + stamp.nanosec
        self._headerless |= exposed == 0
        return exposed or recorded_ns

    def _streams_to_wait_for(self) -> set[str]:
        """Streams whose messages come along with the images; one that comes rarely is not waited for."""
        images = self.bag.counts[self.topics.image]
        streams = {"depth": self.topics.depth, "odometry": self.topics.odometry, "camera_info": self.topics.camera_info}
        return {name for name, topic in streams.items() if topic and 4 * self.bag.counts[topic] >= images}

    def _first(self, topic: str, convert: Callable[[object], object]):
        """What `convert` makes of the first message of a topic that it can be made of.

        Raises:
            BagError, CameraError, ImageError: of the very first message, when none of the first few will do.
        """
        complaint = None
        for message in islice(self.bag.messages([topic]), _TRIES):
            try:
                return convert(message.decode())
            except (BagError, CameraError, ImageError) as error:
                complaint = complaint or error
        kind = next((k for k in (CameraError, ImageError) if isinstance(complaint, k)), BagError)
        raise kind(f"{topic} of bag '{self.bag.path}': {complaint or 'no messages'}")

    def _odometry_axes(self) -> str:
        axes = self.settings.odometry_frame
        moving = self._first(self.topics.odometry, lambda message: getattr(message, "child_frame_id", ""))
        if axes == "auto":
            axes = odometry_axes(moving, self._first(self.topics.image, lambda image: image.header.frame_id))
        self.report.notes.append(
            f"poses of {self.topics.odometry}: frame '{moving}' taken as {axes} axes"
            + (", the camera's offset in the body is not known and left out" if axes == "body" else "")
        )
        return axes

    def _check_depth(self, geometry: ImageGeometry) -> None:
        """Refuse depth of another aspect; mention depth of another lens, whose pixels are off."""
        try:
            depth = self._first(self.topics.depth, decode_depth)
        except ImageError as error:
            raise BagError(f"{error} – or leave depth out with --no-depth") from error
        try:
            geometry.depth(depth)
        except ImageError as error:
            raise BagError(f"{self.topics.depth} of bag '{self.bag.path}': {error}") from error
        info = sibling_camera_info(self.topics.depth)
        if info == self.topics.camera_info or self.bag.topics.get(info) != "sensor_msgs/msg/CameraInfo":
            return
        other = self._first(info, decode_camera_info)
        focal = other.K[0, 0] * self.camera.width / other.width
        if abs(focal / self.camera.K[0, 0] - 1) > _SAME_LENS:
            self.report.notes.append(
                f"{self.topics.depth} has a focal length of {focal:.1f} px at the colour camera's width, not "
                f"{self.camera.K[0, 0]:.1f}: it is not registered, expect depth beside its pixels"
            )

    def _camera_summary(self) -> str:
        camera = self.camera
        lens = "already rectified" if self.rectified else camera.distortion_model
        return f"{camera.width}x{camera.height}, fx {camera.K[0, 0]:.2f}, {lens}"

    def _conclude(self) -> None:
        report = self.report
        report.truncated = self.bag.truncated
        report.period_s = self._stretches.period_s
        if self._headerless:
            report.notes.append("headers without a stamp: the time of recording was taken")
        if self.topics.depth:
            report.notes.append(
                f"depth of {self.topics.depth} within {self.settings.depth_tolerance * 1e3:g} ms of its image, "
                f"at most {report.largest_depth_error_ms:.1f} ms off"
            )


def _same_camera(one: Camera, other: Camera) -> bool:
    """Whether two calibrations say the same."""
    return (one.width, one.height, one.distortion_model) == (other.width, other.height, other.distortion_model) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("K", "D", "R", "P")
    )
