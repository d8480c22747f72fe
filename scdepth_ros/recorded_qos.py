"""Quality of service between a live topic and a recording of it, both ways."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from scdepth_ros.bag import BagReader

QUEUE = 10  # messages that a publisher keeps for reliable subscribers
LATCHED = 100  # and that those of latched topics keep for late ones: every static transform publisher sends its own
BUFFERED = 50  # messages that a recorder's subscription holds while the disk is slow
_FOREVER = QosTime(sec=2147483647, nsec=4294967295)


def recorder_qos(offered: Sequence[QoSProfile]) -> QoSProfile:
    """What to subscribe with, so that every one of these publishers matches and nothing that they offer is lost.

    Reliable when all of them are, latched (transient local) when all of them are.
    """
    reliable = all(profile.reliability == QoSReliabilityPolicy.RELIABLE for profile in offered)
    latched = all(profile.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=BUFFERED,
        reliability=QoSReliabilityPolicy.RELIABLE if offered and reliable else QoSReliabilityPolicy.BEST_EFFORT,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if offered and latched else QoSDurabilityPolicy.VOLATILE,
    )


def as_offered(profile: QoSProfile) -> Qos:
    """A publisher's QoS in the form that a recording keeps. The graph does not tell history and depth: 0, unknown."""
    reliable = profile.reliability == QoSReliabilityPolicy.RELIABLE
    latched = profile.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL
    return Qos(
        history=QosHistory.UNKNOWN,
        depth=0,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )


def topic_qos(bag: BagReader) -> dict[str, QoSProfile]:
    """The QoS to publish each topic with: as recorded; where nothing was, reliable with room for a burst.

    Latched topics, those of ROS 1 and `tf_static` among them, keep their messages for late subscribers.
    """
    profiles = {topic: _reliable(latched=topic.endswith("/tf_static")) for topic in bag.topics}
    for connection in bag.connections:
        recorded = getattr(connection.ext, "offered_qos_profiles", None)
        if recorded:
            profiles[connection.topic] = _as_recorded(recorded[0])
        elif getattr(connection.ext, "latching", 0):
            profiles[connection.topic] = _reliable(latched=True)
    return profiles


def _reliable(latched: bool) -> QoSProfile:
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=LATCHED if latched else QUEUE,
        reliability=QoSReliabilityPolicy.RELIABLE,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE,
    )


def _as_recorded(qos: Qos) -> QoSProfile:
    best_effort = qos.reliability == QosReliability.BEST_EFFORT
    latched = qos.durability == QosDurability.TRANSIENT_LOCAL
    keep_all = qos.history == QosHistory.KEEP_ALL
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_ALL if keep_all else QoSHistoryPolicy.KEEP_LAST,
        depth=qos.depth or (LATCHED if latched else QUEUE),
        reliability=QoSReliabilityPolicy.BEST_EFFORT if best_effort else QoSReliabilityPolicy.RELIABLE,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE,
    )
