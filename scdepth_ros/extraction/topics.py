"""Find out what a bag shows: which topic is the colour image, and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from scdepth_core.errors import BagError, ImageError
from scdepth_ros.bag import BagReader
from scdepth_ros.camera_transforms import TF, TF_STATIC, TF_TYPE
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.messages import decode_image
from scdepth_ros.topics import COLOR, DEPTH, RGB

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
POINTS_TYPE = "sensor_msgs/msg/PointCloud2"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
POSE_TYPES = (
    ODOMETRY_TYPE,
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
)
_TRANSPORTS = ("compressed", "compressedDepth")
_DEPTH_FORMATS = ("16UC1", "32FC1")
_TRIES = 5  # messages looked at before an image topic counts as unreadable


@dataclass(frozen=True)
class Topics:
    """The topics to extract; depth and odometry may be None, and so may camera_info with a calibration file.

    Attributes:
        transforms: of TF, those that there are; empty when nobody asks for transforms.
    """

    image: str
    camera_info: str | None
    depth: str | None
    odometry: str | None
    transforms: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        return [name for name in (self.image, self.camera_info, self.depth, self.odometry, *self.transforms) if name]

    def as_dict(self) -> dict:
        """For a report; TF only where it is asked."""
        found = dict(vars(self))
        transforms = found.pop("transforms")
        return {**found, "transforms": ", ".join(transforms)} if transforms else found


def find_topics(bag: BagReader, settings: ExtractionSettings) -> Topics:
    """The colour image, its camera_info and, where there are, depth and odometry.

    Raises:
        BagError: when one is missing or could be several; the message lists the candidates and the option.
    """
    kinds = _image_kinds(bag)
    image = _find_image(bag, kinds, settings.image_topic)
    needs_odometry = settings.use_odometry and not settings.fixed_frame
    return Topics(
        image=image,
        camera_info=None if settings.calibration else _find_camera_info(bag, kinds, image, settings.camera_info_topic),
        depth=_find_measured(bag, kinds, settings) if settings.use_depth else None,
        odometry=_find_odometry(bag, settings.odom_topic) if needs_odometry else None,
        transforms=_find_transforms(bag, settings),
    )


def made_by_depth_node(bag: BagReader) -> set[str]:
    """Its depth and its pictures in a recording: no camera took them, and depth is no measured one.

    Its depth has the name that depth cameras give theirs. It is known by what stands beside it.
    """
    made = set()
    for topic in bag.topics:
        place = topic.removesuffix(DEPTH)
        beside = {place + RGB, place + COLOR} & set(bag.topics)
        if topic.endswith(f"/{DEPTH}") and beside:
            made |= {topic, *beside}
    return made


def base_topic(topic: str) -> str:
    """The topic without the name of its transport: /camera/image_raw of /camera/image_raw/compressed."""
    base, _, last = topic.rpartition("/")
    return base if last in _TRANSPORTS else topic


def sibling_camera_info(topic: str) -> str:
    """Where ROS puts the calibration of an image topic: beside it."""
    return base_topic(topic).rpartition("/")[0] + "/camera_info"


def _image_kinds(bag: BagReader) -> dict[str, str]:
    """'colour', 'mono', 'depth' or 'unreadable' by image topic."""
    kinds = {}
    for topic, type_name in bag.topics.items():
        if type_name in IMAGE_TYPES and bag.counts[topic]:
            messages = islice(bag.messages([topic]), _TRIES)
            found = (_image_kind(topic, message) for message in messages)
            kinds[topic] = next((kind for kind in found if kind), "unreadable")
    return kinds


def _image_kind(topic: str, message) -> str | None:
    """What an image message holds; None when it cannot be decoded."""
    try:
        image = message.decode()
        named = getattr(image, "encoding", None) or getattr(image, "format", "")
        says_depth = "depth" in topic.lower()
        if named.startswith(_DEPTH_FORMATS) or "compressedDepth" in named or (named == "mono16" and says_depth):
            return "depth"
        pixels = decode_image(image)
    except (BagError, ImageError):
        return None
    if pixels.ndim == 3:
        return "colour"
    return "depth" if says_depth and named.startswith("png") else "mono"


def _find_image(bag: BagReader, kinds: dict[str, str], wanted: str | None) -> str:
    if wanted:
        return _checked(bag, wanted, IMAGE_TYPES, "--image-topic")
    made = made_by_depth_node(bag)
    colour = [topic for topic, kind in kinds.items() if kind == "colour" and not topic.endswith(f"/{COLOR}")]
    mono = [topic for topic, kind in kinds.items() if kind == "mono"]
    candidates = [topic for topic in colour if topic not in made] or mono or colour
    if not candidates:
        raise BagError(
            f"bag '{bag.path}' has no colour or mono images that can be read; its topics are {_listing(bag)}"
        )
    return _one(bag, _without_copies(candidates), "image topics", "--image-topic")


def _find_camera_info(bag: BagReader, kinds: dict[str, str], image: str, wanted: str | None) -> str:
    if wanted:
        return _checked(bag, wanted, (CAMERA_INFO_TYPE,), "--camera-info-topic")
    known = [t for t, name in bag.topics.items() if name == CAMERA_INFO_TYPE and bag.counts[t]]
    if sibling_camera_info(image) in known:
        return sibling_camera_info(image)
    others = {sibling_camera_info(topic) for topic in kinds}
    free = [topic for topic in known if topic not in others]
    if not free:
        raise BagError(
            f"bag '{bag.path}' has no camera_info for {image}, expected {sibling_camera_info(image)}; "
            f"{'name one with --camera-info-topic: ' + ', '.join(known) if known else 'it has none at all'} "
            "– or give the calibration file with --calibration"
        )
    return _one(bag, free, f"camera_info topics for {image}", "--camera-info-topic")


def _find_measured(bag: BagReader, kinds: dict[str, str], settings: ExtractionSettings) -> str | None:
    """Points where they are named, since a robot's clouds are seldom all measured; else a depth image."""
    if settings.points_topic:
        return _checked(bag, settings.points_topic, (POINTS_TYPE,), "--points-topic")
    return _find_depth(bag, kinds, settings.depth_topic)


def _find_depth(bag: BagReader, kinds: dict[str, str], wanted: str | None) -> str | None:
    if wanted:
        return _checked(bag, wanted, IMAGE_TYPES, "--depth-topic")
    made = made_by_depth_node(bag)
    candidates = _without_copies([topic for topic, kind in kinds.items() if kind == "depth" and topic not in made])
    registered = [topic for topic in candidates if "aligned" in topic or "registered" in topic]
    candidates = registered or candidates
    return _one(bag, candidates, "depth topics", "--depth-topic, or --no-depth") if candidates else None


def _find_odometry(bag: BagReader, wanted: str | None) -> str | None:
    if wanted:
        return _checked(bag, wanted, POSE_TYPES, "--odom-topic")
    candidates = [t for t, name in bag.topics.items() if name == ODOMETRY_TYPE and bag.counts[t]]
    return _one(bag, candidates, "odometry topics", "--odom-topic, or --no-poses") if candidates else None


def _find_transforms(bag: BagReader, settings: ExtractionSettings) -> tuple[str, ...]:
    """The topics of TF that there are, when anything is asked of them."""
    asked = {"--fixed-frame": settings.fixed_frame, "--ground-frame": settings.ground_frame}
    options = [option for option, frame in asked.items() if frame]
    found = tuple(t for t in (TF, TF_STATIC) if bag.topics.get(t) == TF_TYPE and bag.counts[t])
    if options and not found:
        raise BagError(
            f"bag '{bag.path}' has no transforms on {TF} or {TF_STATIC}, and {' and '.join(options)} needs them; its "
            f"topics are {_listing(bag)}"
        )
    return found if options or settings.points_topic else ()


def _without_copies(topics: list[str]) -> list[str]:
    """Of the same picture in several transports, the raw one."""
    chosen = {}
    for topic in sorted(topics, key=len):
        chosen.setdefault(base_topic(topic), topic)
    return list(chosen.values())


def _one(bag: BagReader, candidates: list[str], what: str, option: str) -> str:
    if len(candidates) > 1:
        raise BagError(f"bag '{bag.path}' has {len(candidates)} {what}: {', '.join(candidates)} – choose with {option}")
    return candidates[0]


def _checked(bag: BagReader, topic: str, types: tuple[str, ...], option: str) -> str:
    if topic not in bag.topics:
        raise BagError(f"bag '{bag.path}' has no topic {topic} ({option}); its topics are {_listing(bag)}")
    if bag.topics[topic] not in types:
        raise BagError(f"{topic} ({option}) carries {bag.topics[topic]}, expected {' or '.join(types)}")
    if not bag.counts[topic]:
        raise BagError(f"{topic} ({option}) has no messages in bag '{bag.path}'; its topics are {_listing(bag)}")
    return topic


def _listing(bag: BagReader) -> str:
    return ", ".join(f"{topic} ({name}, {bag.counts[topic]})" for topic, name in bag.topics.items())
