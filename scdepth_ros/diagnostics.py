"""depth_node's /diagnostics: what it gets, what it makes of it, and whether its metres are metres.

Four statuses, each with a sentence and figures: `input`, `camera_info`, `depth` and `scale`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from scdepth_ros.frame_statistics import Snapshot
from scdepth_ros.lost_messages import TRANSPORT_CURE
from scdepth_ros.messages.layout import ImageMessageError

SILENCE = 5.0  # seconds without an image that are worth an error
CAMERA_TROUBLES = ("no_camera_info", "uncalibrated", "bad_camera_info", "camera_size_mismatch")
SCALE_TROUBLES = ("scale_inputs_lost", "bad_odometry", "bad_reference_depth", "no_transform")
FRAME_TROUBLES = (*ImageMessageError.KINDS, "internal_error")
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(frozen=True)
class NodeReport:
    """Everything that diagnostics tell besides the statistics.

    Attributes:
        state: lifecycle state in a word.
        failure: that the last configure or activate failed, and why; empty when it did not.
        image_topic, info_topic: names after remapping; empty while inactive.
        silence: why no images come; empty while they do.
        frames_overtaken: images that a newer one replaced before this node came to fetch them.
        model: what computes, such as "starter weights on cpu".
        scale: metres per unit in use, None while nothing is loaded.
        is_metric: False while nobody knows the scale.
        scale_source: parameter scale.source.
        scale_topic: what the source listens to; empty when to nothing.
        scale_silence: why nothing comes there; empty while it does, or is not wanted.
        scale_state: scdepth_core's ScaleState; None when the scale is fixed.
        stages: milliseconds that the last frame spent in each stage.
    """

    state: str
    failure: str = ""
    image_topic: str = ""
    info_topic: str = ""
    silence: str = ""
    frames_overtaken: int = 0
    model: str = ""
    scale: float | None = None
    is_metric: bool = False
    scale_source: str = "fixed"
    scale_topic: str = ""
    scale_silence: str = ""
    scale_state: object | None = None
    stages: tuple[tuple[str, float], ...] = ()


class DiagnosticsWriter:
    """Makes DiagnosticArrays; remembers the last counts, so that a trouble is reported while it lasts.

    Args:
        name: of the node, in front of every status.
    """

    def __init__(self, name: str):
        self._name = name
        self._before: Counter = Counter()

    def array(self, stamp, report: NodeReport, seen: Snapshot) -> DiagnosticArray:
        """The diagnostics of this moment; call it once a second."""
        new = seen.counts - self._before
        self._before = seen.counts
        message = DiagnosticArray()
        message.header.stamp = stamp
        message.status = [
            self._status("input", report, *_input(report, seen, new)),
            self._status("camera_info", report, *_camera(report, seen, new)),
            self._status("depth", report, *_depth(report, seen, new)),
            self._status("scale", report, *_scale(report, seen, new)),
        ]
        return message

    def _status(self, part: str, report: NodeReport, level: bytes, message: str, values: dict) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=level,
            name=f"{self._name}: {part}",
            message=message,
            hardware_id=report.model,
            values=[KeyValue(key=key, value=_text(value)) for key, value in values.items()],
        )


def _input(report: NodeReport, seen: Snapshot, new: Counter):
    values = {
        "state": report.state,
        "topic": report.image_topic,
        "rate_in_hz": seen.rate_in,
        "stamp_age_s": seen.stamp_age,
        "frames_in": seen.counts["frames_in"],
        "frames_lost": seen.counts["frames_lost"],
        "frames_overtaken": report.frames_overtaken,
        **{kind: seen.counts[kind] for kind in FRAME_TROUBLES},
    }
    bad = sum(new[kind] for kind in FRAME_TROUBLES)
    lost = f"{new['frames_lost']} images were lost on the way in the last second: {TRANSPORT_CURE}"
    if report.state != "active":
        return OK, f"{report.state}, no images expected", values
    if seen.since_image >= SILENCE:
        why = f", {lost}" if new["frames_lost"] else f": {report.silence}" if report.silence else ""
        return ERROR, f"no image for {seen.since_image:.0f} s on {report.image_topic}{why}", values
    if bad:
        kinds = ", ".join(kind for kind in FRAME_TROUBLES if new[kind])
        return WARN, f"{bad} frames could not be used in the last second: {kinds}", values
    if new["frames_lost"]:
        return WARN, lost, values
    return OK, f"{seen.rate_in:.1f} images a second on {report.image_topic}", values


def _camera(report: NodeReport, seen: Snapshot, new: Counter):
    values = {"topic": report.info_topic, **{kind: seen.counts[kind] for kind in CAMERA_TROUBLES}}
    sentences = {
        "no_camera_info": f"no camera_info on {report.info_topic}",
        "uncalibrated": "the camera is uncalibrated (K[0] = 0)",
        "bad_camera_info": "camera_info holds impossible numbers",
        "camera_size_mismatch": "camera_info and image are of different sizes",
    }
    for kind in CAMERA_TROUBLES:
        if new[kind]:
            return WARN, f"{sentences[kind]}: no cloud, no depth/camera_info, lens distortion stays", values
    return OK, "calibrated" if seen.counts["frames_out"] else "not used yet", values


def _depth(report: NodeReport, seen: Snapshot, new: Counter):
    values = {
        "model": report.model,
        "rate_out_hz": seen.rate_out,
        "latency_p50_ms": seen.latency[0],
        "latency_p95_ms": seen.latency[1],
        "frames_out": seen.counts["frames_out"],
        "frames_replaced": seen.counts["frames_replaced"],
        "frames_relayed": seen.counts["frames_relayed"],
        "frames_unwanted": seen.counts["frames_unwanted"],
        "frames_dropped": seen.counts["frames_dropped"],
        **{f"{stage}_ms": milliseconds for stage, milliseconds in report.stages},
    }
    if report.failure:
        return ERROR, report.failure, values
    if report.state != "active":
        return OK, report.state, values
    if new["frames_unwanted"]:
        return OK, "idle, nobody subscribes", values
    return OK, f"{seen.rate_out:.1f} depth images a second", values


def _scale(report: NodeReport, seen: Snapshot, new: Counter):
    state = report.scale_state
    values = {
        "metres_per_unit": report.scale if report.is_metric else "unknown",
        "metric": report.is_metric,
        "source": report.scale_source,
    }
    if report.scale is None:
        return OK, "nothing loaded", values
    if state is not None:
        values |= {
            "topic": report.scale_topic,
            "sigma": state.sigma,
            "measured": state.is_measured,
            "frozen": state.frozen,
            "measurements": state.count,
            "last_refusal": state.last_refusal,
            **{f"refused: {reason}": count for reason, count in state.refused.items()},
            **{kind: seen.counts[kind] for kind in SCALE_TROUBLES},
        }
    silence = f"nothing comes on {report.scale_topic}: {report.scale_silence}" if report.scale_silence else ""
    if not report.is_metric:
        way_out = silence or _what_is_missing(state, report.scale_source)
        reasons = [state.last_refusal] if state and state.last_refusal else []
        reasons += [f"{new[kind]} {kind} in the last second" for kind in SCALE_TROUBLES if new[kind]]
        why = f" ({', '.join(reasons)})" if reasons else ""
        return WARN, f"not metric: depth is in network units – {way_out}{why}", values
    known = f"metric, {report.scale:.4g} metres per unit{_how_known(state)}"
    troubles = [silence] if silence else []
    if counts := ", ".join(f"{new[kind]} {kind}" for kind in SCALE_TROUBLES if new[kind]):
        troubles.append(f"not everything could be measured with in the last second: {counts}")
    if troubles:
        return WARN, "; ".join([known, *troubles]), values
    unmeasured = state is not None and not state.is_measured
    return OK, f"{known} ({state.last_refusal})" if unmeasured and state.last_refusal else known, values


def _what_is_missing(state, source: str) -> str:
    """What it takes before depth is metric."""
    if state is None:
        return "set metres_per_unit, or scale.source"
    if not state.count:
        return f"waiting for {source}"
    return f"{state.count} measurements by {source} {'do not agree' if state.is_contradicted else 'are too few'} yet"


def _how_known(state) -> str:
    """Where a measured scale stands, as the end of a sentence; nothing for a fixed one."""
    if state is None:
        return ""
    frozen = ", frozen" if state.frozen else ""
    if state.is_measured:
        return f" ± {100 * state.sigma:.2g} %{frozen}"
    begun = f", {state.count} measurements so far" if state.count else ""
    return f", not measured yet{begun}{frozen}"


def _text(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
