"""TF as depth_node hears it, where the message package of TF is installed."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy

from scdepth_core.errors import BagError, ConfigError
from scdepth_ros import qos
from scdepth_ros.camera_transforms import TF, TF_STATIC, TF_TYPE
from scdepth_ros.messages.classes import message_class


def has_transforms() -> bool:
    """Whether TF can be listened to here."""
    try:
        message_class(TF_TYPE)
    except BagError:
        return False
    return True


def require_transforms(what_for: str, instead: str) -> None:
    """Raise ConfigError in one sentence when TF cannot be listened to."""
    if not has_transforms():
        raise ConfigError(
            f"{what_for} needs TF, and its message package tf2_msgs cannot be imported – install ros-<distro>-tf2-msgs "
            f"and source ROS before the start, or {instead}"
        )


class TransformListener:
    """The subscriptions of /tf and /tf_static.

    Args:
        node: a rclpy node.
        take: called with every TFMessage, and whether it holds at all times.

    Raises:
        ConfigError: for QoS parameters that are no QoS.
    """

    def __init__(self, node, take: Callable[[object, bool], None]):
        self._node, message = node, message_class(TF_TYPE)
        fixed = QoSProfile(
            depth=100,
            reliability=QoSReliabilityPolicy.RELIABLE,
            durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,  # what was sent before this node came
        )
        self._subscriptions = []
        try:
            for topic, callback, profile in (
                (TF, lambda msg: take(msg, False), qos.measurements()),
                (TF_STATIC, lambda msg: take(msg, True), fixed),
            ):
                self._subscriptions.append(qos.subscribe(node, message, topic, callback, profile))
        except ConfigError:
            self.close()
            raise

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
