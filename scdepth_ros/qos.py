"""Quality of service of depth_node's topics, all of it open to override, and what to do when two ends do not match."""

from __future__ import annotations

from rclpy.qos import (
    QoSDurabilityPolicy,
    QoSHistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

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


def overridable() -> QoSOverridingOptions:
    """Lets parameters `qos_overrides./topic.publisher.reliability` and the like have the last word."""
    return QoSOverridingOptions(_POLICIES)


def subscribe(node, message, topic: str, callback, profile: QoSProfile, **options):
    """A subscription that says when a publisher does not fit it, and whose QoS parameters can override.

    Args:
        message: class of the messages; options: further ones of create_subscription.
    """
    return node.create_subscription(
        message,
        topic,
        callback,
        profile,
        event_callbacks=SubscriptionEventCallbacks(
            incompatible_qos=_Mismatch(node.get_logger(), topic, "subscription", "A publisher")
        ),
        qos_overriding_options=overridable(),
        **options,
    )


def publisher_events(logger, topic: str) -> PublisherEventCallbacks:
    return PublisherEventCallbacks(incompatible_qos=_Mismatch(logger, topic, "publisher", "A subscriber"))


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
