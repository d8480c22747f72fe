"""Why no image comes, or nothing to measure the scale with: what the publishers that ROS knows of say about it."""

from __future__ import annotations

from scdepth_ros.diagnostics import SILENCE
from scdepth_ros.inputs import CameraInputs
from scdepth_ros.recording.serialized import IMAGE_TYPES

_MOST = 5  # topics that a sentence lists


class SilenceWatch:
    """Says in the log why nothing comes: once, and again when the cause changes or it stops once more.

    Args:
        node: a rclpy node.
    """

    def __init__(self, node):
        self._node = node
        self._said: dict[str, str] = {}

    def look(self, inputs: CameraInputs | None, since_image: float) -> str:
        """The cause of a silence, as the end of a sentence; empty while there is none. Call it now and then.

        Args:
            inputs: those of an active node; None where no images are expected.
            since_image: seconds since the last image.
        """
        silent = inputs is not None and since_image >= SILENCE
        cause = why_silent(self._node, inputs.image_topic, inputs.image_type) if silent else ""
        return self._told("no image", cause, inputs and inputs.image_topic, since_image)

    def look_at_scale(self, inputs) -> str:
        """The same of what the scale is measured with.

        Args:
            inputs: ScaleInputs of an active node; None where nothing is measured.
        """
        cause, since = "", inputs.since_message if inputs is not None else 0.0
        if inputs is not None and inputs.message_type and since >= SILENCE:
            cause = why_unmeasured(self._node, inputs.topic, inputs.message_type, inputs.cure)
        return self._told("nothing to measure the scale with", cause, inputs and inputs.topic, since)

    def _told(self, what: str, cause: str, topic: str | None, since: float) -> str:
        if cause and cause != self._said.get(what):
            self._node.get_logger().warning(f"{what} for {since:.0f} s on {topic}: {cause}")
        self._said[what] = cause
        return cause


def why_silent(node, topic: str, wanted: str) -> str:
    """Why no message of the type `wanted`, one of IMAGE_TYPES, comes on a topic, and what to do."""
    carried = _types_on(node, topic)
    if not carried:
        return f"nobody publishes it; {_where_images_are(node)}"
    if wanted in carried:
        return f"it is published, but nothing comes – see whether the camera sends: ros2 topic hz {topic}"
    wrong = f"it carries {' and '.join(sorted(carried))}, not {wanted}"
    if carried.isdisjoint(IMAGE_TYPES):
        return f"{wrong}; {_where_images_are(node)}"
    return f"{wrong} – set {_other_transport(topic, wanted)}"


def why_unmeasured(node, topic: str, wanted: str, cure: str) -> str:
    """Why no message of the type `wanted` comes on a topic that the scale is measured with, and what to do: `cure`."""
    carried = _types_on(node, topic)
    if wanted in carried:
        return f"it is published, but nothing comes – see whether anything is sent: ros2 topic hz {topic}"
    state = f"it carries {' and '.join(sorted(carried))}, not {wanted}" if carried else "nobody publishes it"
    found = _published_by_others(node, {wanted})
    where = f"{wanted} is on {_listed(found)}" if found else f"no {wanted} is published elsewhere"
    return f"{state}; {where} – {cure}"


def _types_on(node, topic: str) -> set[str]:
    return {info.topic_type for info in node.get_publishers_info_by_topic(topic)}


def _other_transport(topic: str, wanted: str) -> str:
    """The settings with which images of the other type are read from this topic."""
    if wanted != IMAGE_TYPES[0]:
        return f"image_transport:=raw and image:={topic}"
    base = topic.removesuffix("/compressed")
    return f"image_transport:=compressed and {'image' if base != topic else 'image/compressed'}:={base}"


def _where_images_are(node) -> str:
    """The image topics that others publish."""
    topics = _published_by_others(node, set(IMAGE_TYPES))
    if not topics:
        return "nor does anybody publish other images – start the camera driver, with the same ROS_DOMAIN_ID"
    bases = [topic.removesuffix("/compressed") for topic in topics]
    found = [topic if base == topic else f"{base} (compressed)" for topic, base in zip(topics, bases)]
    return f"images are on {_listed(found)} – set image:=TOPIC, and image_transport to raw or compressed"


def _published_by_others(node, wanted: set[str]) -> list[str]:
    """The topics with messages of these types that another node publishes."""
    ours = (node.get_name(), node.get_namespace())
    found = []
    for topic, types in node.get_topic_names_and_types():
        if not wanted.isdisjoint(types):
            publishers = node.get_publishers_info_by_topic(topic)
            others = [info for info in publishers if (info.node_name, info.node_namespace) != ours]
            if any(info.topic_type in wanted for info in others):  # subscriptions give a topic their types, too
                found.append(topic)
    return found


def _listed(topics: list[str]) -> str:
    more = f" and {len(topics) - _MOST} more" if len(topics) > _MOST else ""
    return f"{', '.join(topics[:_MOST])}{more}"
