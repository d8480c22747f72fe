"""A few seconds of live topics as a recording, for programs that read recordings."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from scdepth_core.errors import BagError
from scdepth_ros.bag_writer import BagWriter
from scdepth_ros.lost_messages import loss_sentences
from scdepth_ros.recording.session import RecordingSession
from scdepth_ros.recording.topic_recorder import TopicRecorder

_LOOK_PERIOD = 0.2  # seconds
_QUEUE_CURE = "they came faster than they could be written – name fewer topics"


def record_for(seconds: float, path: Path, names: Collection[str] = ()) -> None:
    """Record for some seconds; initialises rclpy, and shuts it down. SIGTERM ends it as SIGINT does.

    Args:
        names: topics; empty for every image, calibration, odometry and TF.

    Raises:
        BagError: when no message came.
        KeyboardInterrupt: at SIGINT or SIGTERM, and nothing is left in `path`.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("scdepth_view", start_parameter_services=False)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        with BagWriter(path) as bag:
            session = RecordingSession(bag)
            recorder = TopicRecorder(node, session.take)
            end, look = time.monotonic() + seconds, 0.0
            while (now := time.monotonic()) < end:
                if now >= look:
                    recorder.subscribe_to_published(names, bag.add_topic)
                    look = now + _LOOK_PERIOD
                executor.spin_once(timeout_sec=min(_LOOK_PERIOD, end - now))
            losses = loss_sentences(recorder.lost, _QUEUE_CURE)
            if not session.counts.written:
                raise BagError(
                    "; ".join([f"nothing came within {seconds:g} s: {recorder.why_nothing_came(names)}", *losses])
                )
            for sentence in losses:
                node.get_logger().warning(sentence)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
        signal.signal(signal.SIGTERM, before)
