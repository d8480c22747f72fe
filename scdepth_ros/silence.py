"""Why no image comes: what the publishers that ROS knows of say about it."""

from __future__ import annotations

from scdepth_ros.diagnostics import SILENCE
from scdepth_ros.inputs import CameraInputs
from scdepth_ros.recording.serialized import IMAGE_TYPES

_MOST = 5  # topics that a sentence lists


class SilenceWatch:
    """Says in the log why images do not come: once, and again when the cause changes or they stop once more.

    Args:
        node: a rclpy node.
    """

    def __init__(self, node):
        self._node, self._said = node, ""

    def look(self, inputs: CameraInputs | None, since_image: float) -> str:
        """The cause of a silence, as the end of a sentence; empty while there is none. Call it now and then.

        Args:
            inputs: those of an active node; None where no images are expected.
            since_image: seconds since the last image.
        """
        silent = inputs is not None and since_image >= SILENCE
        cause = why_silent(self._node, inputs.image_topic, inputs.image_type) if silent else ""
        if cause and cause != self._said:
            self._node.get_logger().warning(f"no image for {since_image:.0f} s on {inputs.image_topic}: {cause}")
        self._said = cause
        return cause


def why_silent(node, topic: str, wanted: str) -> str:
    """Why no message of the type `wanted`, one of IMAGE_TYPES, comes on a topic, and what to do."""
    carried = {info.topic_type for info in node.get_publishers_info_by_topic(topic)}
    if not carried:
        return f"nobody publishes it; {_where_images_are(node)}"
    if wanted in carried:
        return f"it is published, but nothing comes – see whether the camera sends: ros2 topic hz {topic}"
    wrong = f"it carries {' and '.join(sorted(carried))}, not {wanted}"
    if carried.isdisjoint(IMAGE_TYPES):
        return f"{wrong}; {_where_images_are(node)}"
    return f"{wrong} – set {_other_transport(topic, wanted)}"


def _other_transport(topic: str, wanted: str) -> str:
    """The settings with which images of the other type are read from this topic."""
    if wanted != IMAGE_TYPES[0]:
        return f"image_transport:=raw and image:={topic}"
    base = topic.removesuffix("/compressed")
    return f"image_transport:=compressed and {'image' if base != topic else 'image/compressed'}:={base}"


def _where_images_are(node) -> str:
    """The image topics that others publish."""
    ours = (node.get_name(), node.get_namespace())
    found = []
    for topic, types in node.get_topic_names_and_types():
        if not set(IMAGE_TYPES).isdisjoint(types):
            publishers = node.get_publishers_info_by_topic(topic)
            if any((info.node_name, info.node_namespace) != ours for info in publishers):
                base = topic.removesuffix("/compressed")
                found.append(topic if base == topic else f"{base} (compressed)")
    if not found:
        return "nor does anybody publish other images – start the camera driver, with the same ROS_DOMAIN_ID"
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return (
        f"images are on {', '.join(found[:_MOST])}{more} – set image:=TOPIC, and image_transport to raw or compressed"
    )
