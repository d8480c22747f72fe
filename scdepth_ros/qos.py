"""Quality of service of depth_node's topics, all of it open to override, and what to do when two ends do not match."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.exceptions import ParameterException
from rclpy.qos import (
    QoSDurabilityPolicy,
    QoSHistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from scdepth_core.errors import ConfigError
from scdepth_ros.lost_messages import LostMessages

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks, UnsupportedEventTypeError

_POLICIES = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


def newest_of_a_sensor() -> QoSProfile:
    """For subscriptions: best effort, so that every publisher matches, and only the newest message kept."""
    return _profile(QoSReliabilityPolicy.BEST_EFFORT, depth=1)


def measurements() -> QoSProfile:
    """For subscriptions whose every message counts: best effort all the same, and a second's worth kept."""
    return _profile(QoSReliabilityPolicy.BEST_EFFORT, depth=100)


def results() -> QoSProfile:
    """For publishers: reliable, so that every subscriber matches but one that asks for old messages."""
    return _profile(QoSReliabilityPolicy.RELIABLE, depth=2)


def subscribe(
    node, message, topic: str, callback, profile: QoSProfile, lost: LostMessages | None = None, raw: bool = False
):
    """A subscription that says when a publisher does not fit it, and whose QoS parameters can override.

    Args:
        message: class of the messages.
        lost: counts what does not arrive.
        raw: whether the callback gets messages as bytes.

    Raises:
        ConfigError: for parameters that are no QoS.
    """
    name = node.resolve_topic_name(topic)

    def take(msg, info) -> None:
        number = info.get("publication_sequence_number")  # not in ROS 2 Humble
        if number is not None:
            lost.came(number, subscription.get_publisher_count())
        callback(msg)

    def create(on_message, **events):
        mismatch = _Mismatch(node.get_logger(), name, "subscription", "A publisher")
        callbacks = SubscriptionEventCallbacks(incompatible_qos=mismatch, **events)
        options = {"event_callbacks": callbacks, "qos_overriding_options": QoSOverridingOptions(_POLICIES), "raw": raw}
        return node.create_subscription(message, topic, on_message, profile, **options)

    with _explained(node, name, "subscription"):
        if lost is None:
            return create(callback)
        try:
            subscription = create(take, message_lost=lost.report)
        except UnsupportedEventTypeError:  # a middleware that does not report losses
            subscription = create(take)
        return subscription


def advertise(node, message, topic: str, profile: QoSProfile, lifecycle: bool = False):
    """A publisher that says when a subscriber does not fit it, and whose QoS parameters can override.

    Args:
        message: class of the messages.
        lifecycle: whether it is silent while the node is not active.

    Raises:
        ConfigError: for parameters that are no QoS.
    """
    name = node.resolve_topic_name(topic)
    create = node.create_lifecycle_publisher if lifecycle else node.create_publisher
    mismatch = _Mismatch(node.get_logger(), name, "publisher", "A subscriber")
    with _explained(node, name, "publisher"):
        return create(
            message,
            topic,
            profile,
            event_callbacks=PublisherEventCallbacks(incompatible_qos=mismatch),
            qos_overriding_options=QoSOverridingOptions(_POLICIES),
        )


@contextmanager
def _explained(node, topic: str, end: str) -> Iterator[None]:
    """Say which parameters have the last word, when this end of a topic cannot be made with them."""
    try:
        yield
    except (RuntimeError, ParameterException) as error:  # rclpy's RCLError is a RuntimeError
        if not node.context.ok():  # the end of ROS, which is no mistake
            raise
        reason = re.sub(r", at \S+:\d+", "", str(error))
        raise ConfigError(
            f"the {end} of '{topic}' cannot be made: {reason} – leave out qos_overrides.{topic}.{end}.*, or set "
            f"history to keep_last or keep_all, depth to 1 or more, reliability to reliable or best_effort, "
            f"durability to volatile or transient_local"
        ) from error


class _Mismatch:
    """Event callback that names the policy at odds and the parameter that settles it."""

    _FIX = {
        ("subscription", "RELIABILITY"): "best_effort",
        ("subscription", "DURABILITY"): "volatile",
        ("publisher", "RELIABILITY"): "reliable",
        ("publisher", "DURABILITY"): "transient_local",
    }

    def __init__(self, logger, topic: str, end: str, other: str):
        self._logger, self._topic, self._end, self._other = logger, topic, end, other

    def __call__(self, event) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).removesuffix("_QOS_POLICY")
        value = self._FIX.get((self._end, policy), "the value of the other end")
        self._logger.warning(
            f"{self._other} of '{self._topic}' does not fit this node's QoS ({policy.lower()}), nothing gets through "
            f"– change its QoS, or start this node with "
            f"-p qos_overrides.{self._topic}.{self._end}.{policy.lower()}:={value}"
        )


def _profile(reliability: QoSReliabilityPolicy, depth: int) -> QoSProfile:
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=QoSDurabilityPolicy.VOLATILE,
    )
