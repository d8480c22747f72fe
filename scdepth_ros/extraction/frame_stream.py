"""A bag as a stream of frames: each image with the depth, the camera and the pose of its moment. Memory stays flat."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from scdepth_core.errors import BagError, CameraError, ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_ros.bag import BagReader
from scdepth_ros.camera_transforms import TF_STATIC, CameraPlace, CameraTransforms
from scdepth_ros.extraction.association import Associator, Waiting
from scdepth_ros.extraction.calibration import read_calibration
from scdepth_ros.extraction.odometry import PoseTrack, odometry_axes
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.extraction.topics import base_topic, find_topics
from scdepth_ros.messages import decode_camera_info, decode_image, is_points, stamp_ns

_TRIES = 20  # messages looked at for the first that can be decoded


@dataclass(frozen=True)
class Frame:
    """What belongs to one moment, still as messages.

    Attributes:
        stamp_ns: time of exposure.
        image, depth: messages; depth is None where there is none near enough.
        depth_error_ns: how far the depth image is away in time.
        camera: the calibration that holds at this time.
        pose: (4, 4) of the camera's optical frame in the world of the odometry or in the fixed frame, or None.
        place: what TF says about the camera.
    """

    stamp_ns: int
    image: object
    depth: object | None
    depth_error_ns: int
    camera: Camera
    pose: np.ndarray | None
    place: CameraPlace = CameraPlace()


class FrameStream:
    """An open bag, its topics found and its first camera known.

    Attributes:
        topics: what is read.
        camera: the first calibration of the image topic.
        images: image messages read so far.
        dropped, depth_dropped: what could not be used, by reason.
        transform_troubles: frames about which TF could not say something, by reason.
        notes: what a person should know.

    Raises:
        BagError: when topics are missing or ambiguous.
        CameraError: when the camera is uncalibrated, or the calibration file is for images of another size.
    """

    def __init__(self, bag: BagReader, settings: ExtractionSettings):
        self.bag, self.settings = bag, settings
        self.topics = find_topics(bag, settings)
        self.images = 0
        self.dropped, self.depth_dropped, self.transform_troubles = Counter(), Counter(), Counter()
        self.notes: list[str] = []
        if settings.calibration:
            self.camera = read_calibration(settings.calibration)
            self._check_size()
        else:
            self.camera = self.first(self.topics.camera_info, decode_camera_info)
        self._kinds = {self.topics.image: "image", self.topics.depth: "depth", self.topics.odometry: "odometry"}
        self._kinds |= dict.fromkeys(self.topics.transforms, "transform")
        self.headerless = False
        self._axes = self._odometry_axes() if self.topics.odometry else "optical"

    @property
    def message_count(self) -> int:
        return sum(self.bag.counts[topic] for topic in self.topics.names)

    @property
    def rectified(self) -> bool:
        """Whether images are free of distortion already: as the settings say, or by the topic's name."""
        if self.settings.rectified is None:
            return is_rectified_by_name(self.topics.image)
        return self.settings.rectified

    def frames(self, progress: Callable[[], None] = lambda: None, start_ns: int | None = None) -> Iterator[Frame]:
        """All frames recorded from `start_ns` on, in order, calling `progress` after every message."""
        times = {
            "gap_ns": int(self.settings.odometry_gap * 1e9),
            "tolerance_ns": int(self.settings.depth_tolerance * 1e9),
            "memory_ns": int(4 * self.settings.window * 1e9),
        }
        self._poses = PoseTrack(self._axes, **times)
        self._transforms, self._camera_frame = self._fixed_transforms(times), ""
        self._associator = Associator(
            self._streams_to_wait_for(),
            tolerance_ns=int(self.settings.depth_tolerance * 1e9),
            window_ns=int(self.settings.window * 1e9),
        )
        self._cameras: list[tuple[int, Camera]] = [(0, self.camera)]
        for message in self.bag.messages(self.topics.names, start_ns):
            self._take(message)
            self._associator.reached("transforms", self._transforms.known_until(self._camera_frame))
            for waiting in self._associator.ready(message.stamp_ns):
                yield self._frame(waiting)
            progress()
        for waiting in self._associator.rest():
            yield self._frame(waiting)

    def first(self, topic: str, convert: Callable[[object], object]):
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

    def _check_size(self) -> None:
        """Refuse a calibration file for images of another size."""
        try:
            height, width = self.first(self.topics.image, decode_image).shape[:2]
        except (BagError, ImageError):
            return  # frames that cannot be decoded are counted later
        if (width, height) != (self.camera.width, self.camera.height):
            raise CameraError(
                f"calibration '{self.settings.calibration}' is for {self.camera.width}x{self.camera.height}, images of "
                f"{self.topics.image} in bag '{self.bag.path}' are {width}x{height} – give one for images of this size"
            )

    def _take(self, message) -> None:
        """Hand a message to the stream that it belongs to; count one that is broken."""
        kind = self._kinds.get(message.topic, "camera_info")
        try:
            content = message.decode()
            if kind == "transform":
                self._transforms.add(content, fixed=message.topic == TF_STATIC)
                return
            stamp = self._stamp(content, message.stamp_ns)
            if kind == "image":
                self.images += 1
                self._camera_frame = content.header.frame_id
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
            counter = self.depth_dropped if kind == "depth" else self.dropped
            counter[f"broken {kind} messages"] += 1
            self.images += kind == "image"

    def _take_camera(self, stamp: int, content) -> None:
        camera = decode_camera_info(content)
        if not _same_camera(camera, self._cameras[-1][1]):
            self._cameras.append((stamp, camera))
            self.notes.append(f"the camera changes at {stamp / 1e9:.3f} s: a new scene begins")

    def _frame(self, waiting: Waiting) -> Frame:
        while len(self._cameras) > 1 and self._cameras[1][0] <= waiting.stamp_ns:
            self._cameras.pop(0)
        place = self._place(waiting)
        pose = self._poses.at(waiting.stamp_ns) if self.topics.odometry else place.pose
        camera = self._cameras[0][1]
        return Frame(waiting.stamp_ns, waiting.image, waiting.depth, waiting.depth_error_ns, camera, pose, place)

    def _place(self, waiting: Waiting) -> CameraPlace:
        """What TF says about the camera; without TF, points in the camera's own frame are where they are."""
        sensor = waiting.depth.header.frame_id if waiting.depth is not None and is_points(waiting.depth) else None
        return self._transforms.place(waiting.image.header.frame_id, waiting.stamp_ns, sensor)

    def _fixed_transforms(self, times: dict[str, int]) -> CameraTransforms:
        """Transforms that hold at all times, recorded before `start_ns` or late as they may be; others come later."""
        frames = (self.settings.fixed_frame or "", self.settings.ground_frame or "")
        transforms = CameraTransforms(*frames, self._count_trouble, **times)
        if TF_STATIC in self.topics.transforms:
            for message in self.bag.messages([TF_STATIC]):
                with contextlib.suppress(BagError):  # the stream comes to it as well, and counts it
                    transforms.add(message.decode(), fixed=True)
        return transforms

    def _count_trouble(self, sentence: str) -> None:
        self.transform_troubles[sentence] += 1

    def _stamp(self, content, recorded_ns: int) -> int:
        """Time of exposure; time of recording where the driver left the header empty."""
        exposed = stamp_ns(content.header)
        self.headerless |= exposed == 0
        return exposed or recorded_ns

    def _streams_to_wait_for(self) -> set[str]:
        """Streams whose messages come along with the images; one that comes rarely is not waited for."""
        images = self.bag.counts[self.topics.image]
        streams = {"depth": self.topics.depth, "odometry": self.topics.odometry, "camera_info": self.topics.camera_info}
        wanted = {name for name, topic in streams.items() if topic and 4 * self.bag.counts[topic] >= images}
        asks_for_poses = self.settings.fixed_frame or self.settings.ground_frame
        return wanted | {"transforms"} if asks_for_poses else wanted

    def _odometry_axes(self) -> str:
        axes = self.settings.odometry_frame
        moving = self.first(self.topics.odometry, lambda message: getattr(message, "child_frame_id", ""))
        if axes == "auto":
            axes = odometry_axes(moving, self.first(self.topics.image, lambda image: image.header.frame_id))
        self.notes.append(
            f"poses of {self.topics.odometry}: frame '{moving}' taken as {axes} axes"
            + (", the camera's offset in the body is not known and left out" if axes == "body" else "")
        )
        return axes


def is_rectified_by_name(topic: str) -> bool:
    """Whether an image topic is called rectified, as image_proc's and depth_node's are."""
    return "rect" in base_topic(topic).rpartition("/")[2]


def _same_camera(one: Camera, other: Camera) -> bool:
    """Whether two calibrations say the same."""
    return (one.width, one.height, one.distortion_model) == (other.width, other.height, other.distortion_model) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("K", "D", "R", "P")
    )
