"""What depth_node measures its scale with: odometry, reference depth or TF, brought together with frames by stamps.

Any of them may arrive after the frame that it belongs to, so frames wait until the stream has come to their stamp, for
half a second at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from scdepth_core.errors import BagError, ConfigError
from scdepth_core.scale import ScaleSettings
from scdepth_ros import qos
from scdepth_ros.camera_transforms import TF, CameraPlace, CameraTransforms
from scdepth_ros.extraction.association import Associator, Waiting
from scdepth_ros.extraction.odometry import PoseTrack
from scdepth_ros.inputs import transported
from scdepth_ros.lost_messages import TRANSPORT_CURE, LostMessages
from scdepth_ros.messages import is_points, stamp_ns
from scdepth_ros.transform_listener import TransformListener, has_transforms, require_transforms

WINDOW_NS = 500_000_000  # that a frame waits, and by which a clock may go back before it counts as a new one
TOLERANCE_NS = 20_000_000  # between the stamps of a frame and its depth image
GAP_NS = 250_000_000  # between two odometry messages that are still interpolated
TIMES = {"gap_ns": GAP_NS, "tolerance_ns": TOLERANCE_NS, "memory_ns": 4 * WINDOW_NS}
POINTS = "points"  # the scale.reference that is a PointCloud2


@dataclass(frozen=True)
class Matched:
    """A frame with what belongs to it; None for what did not come.

    Attributes:
        frame: as given to `add`.
        depth: message of an image or of points.
        pose: (4, 4) of the camera, metres.
        place: what TF says about the camera.
    """

    frame: object
    depth: Image | CompressedImage | PointCloud2 | None
    pose: np.ndarray | None
    place: CameraPlace


class ScaleInputs:
    """The subscriptions of a source, and the frames that wait for them. Any thread may call its methods.

    Args:
        node: a rclpy node.
        settings: the source, and where it measures.
        complain: called with a kind, a sentence and how many, when messages are broken or lost, or TF has no answer.

    Attributes:
        topic: full name of what the source listens to, after remapping; empty when to nothing.
        message_type: of the topic, such as "nav_msgs/msg/Odometry"; empty for nothing and for TF, whose gaps are said
            frame by frame.
        cure: how another topic is taken.

    Raises:
        ConfigError: for QoS parameters that are no QoS.
    """

    def __init__(self, node, settings: ScaleSettings, complain: Callable[[str, str, int], None]):
        self._node, self._complain = node, complain
        self._lock = threading.Lock()
        self._poses = PoseTrack("optical", **TIMES)
        self._transforms = CameraTransforms(
            settings.fixed_frame if settings.source == "odometry" else "",
            settings.ground_frame if settings.source == "camera_height" else "",
            lambda sentence: complain("no_transform", sentence, 1),
            **TIMES,
        )
        self._camera_frame = ""
        self._matched: list[Matched] = []
        self.topic, self._subscription, self._listener = "", None, None
        self.message_type = self.cure = ""
        self._last_message = time.monotonic()
        self._associator = Associator(_streams(settings), TOLERANCE_NS, WINDOW_NS)
        try:
            self._listen(settings)
        except ConfigError:
            self.close()
            raise

    def _listen(self, settings: ScaleSettings) -> None:
        node = self._node
        takes_points = settings.source == "reference_depth" and settings.reference == POINTS
        if needs_transforms(settings) or (takes_points and has_transforms()):
            self._listener = TransformListener(node, self._on_transforms)
        elif takes_points:
            node.get_logger().warning(
                "reference_points count only in the frame of the images, because the message package tf2_msgs cannot "
                "be imported – install ros-<distro>-tf2-msgs to place those of a lidar by TF"
            )
        if needs_transforms(settings):
            self.topic = node.resolve_topic_name(TF)
        elif settings.source == "odometry":
            self.topic = node.resolve_topic_name("odom")
            self.cure = "remap odom:=TOPIC"
            self._subscription = self._subscribe(Odometry, self._on_odometry)
        elif settings.source == "reference_depth":
            self.topic, message = _reference(node, settings.reference)
            base = "reference_points" if takes_points else "reference_depth"
            self.cure = f"remap {base}:=TOPIC, and let scale.reference say what comes on it"
            self._subscription = self._subscribe(message, self._on_depth)

    @property
    def since_message(self) -> float:
        """Seconds since the last message of the topic, or since the start while none came."""
        return time.monotonic() - self._last_message

    def add(self, header, frame) -> None:
        """Let a frame wait for what belongs to it; `header` is that of its image."""
        with self._lock:
            self._camera_frame = header.frame_id
            self._associator.add_image(stamp_ns(header), time.monotonic_ns(), (header.frame_id, frame))

    def ready(self) -> list[Matched]:
        """Frames that need not wait any longer, each once."""
        with self._lock:
            self._match()
            matched, self._matched = self._matched, []
            return matched

    def close(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _subscribe(self, message: type, callback: Callable):
        sentence = f"messages of {self.topic}, which measures the scale, were lost on the way: {TRANSPORT_CURE}"
        self.message_type = f"{message.__module__.split('.')[0]}/msg/{message.__name__}"
        lost = LostMessages(lambda count: self._complain("scale_inputs_lost", sentence, count))
        return qos.subscribe(self._node, message, self.topic, callback, qos.measurements(), lost)

    def _on_odometry(self, msg: Odometry) -> None:
        stamp = stamp_ns(msg.header)
        self._last_message = time.monotonic()
        with self._lock:
            try:
                self._poses.add(stamp, msg)
            except BagError as error:
                self._complain("bad_odometry", str(error), 1)
                return
            self._associator.reached("odometry", stamp)
            self._match()

    def _on_depth(self, msg: Image | CompressedImage | PointCloud2) -> None:
        self._last_message = time.monotonic()
        with self._lock:
            self._associator.add_depth(stamp_ns(msg.header), msg)
            self._match()

    def _on_transforms(self, msg, fixed: bool) -> None:
        with self._lock:
            self._transforms.add(msg, fixed)
            self._match()

    def _match(self) -> None:
        """Take out what is ready; old depth images are forgotten on the way."""
        self._associator.reached("transforms", self._transforms.known_until(self._camera_frame))
        for waiting in self._associator.ready(time.monotonic_ns()):
            self._matched.append(self._brought_together(waiting))

    def _brought_together(self, waiting: Waiting) -> Matched:
        camera_frame, frame = waiting.image
        sensor = waiting.depth.header.frame_id if waiting.depth is not None and is_points(waiting.depth) else None
        place = self._transforms.place(camera_frame, waiting.stamp_ns, sensor)
        pose = self._poses.at(waiting.stamp_ns) if place.pose is None else place.pose
        return Matched(frame, waiting.depth, pose, place)


def needs_transforms(settings: ScaleSettings) -> bool:
    """Whether this source cannot do without TF."""
    return bool(
        (settings.source == "odometry" and settings.fixed_frame)
        or (settings.source == "camera_height" and settings.ground_frame)
    )


def _streams(settings: ScaleSettings) -> set[str]:
    """What a frame waits for."""
    if needs_transforms(settings):
        return {"transforms"}
    return {"odometry": {"odometry"}, "reference_depth": {"depth"}}.get(settings.source, set())


def check_transforms(settings: ScaleSettings) -> None:
    """Raise ConfigError when the source cannot do without TF, and TF cannot be listened to."""
    if needs_transforms(settings):
        travel = settings.source == "odometry"
        require_transforms(
            "scale.fixed_frame" if travel else "scale.ground_frame",
            "leave it empty and publish `odom`" if travel else "leave it empty and set scale.camera_height",
        )


def _reference(node, kind: str) -> tuple[str, type]:
    """Topic and message of reference depth."""
    if kind == POINTS:
        return node.resolve_topic_name("reference_points"), PointCloud2
    return transported(node, "reference_depth", kind), Image if kind == "raw" else CompressedImage
