"""record_node: write live topics into a rosbag2 recording (MCAP), where rosbag2 itself is not installed or a motion
gate is wanted.

    record_node drive                     # images, calibration, odometry and TF: all there are, and all that come
    record_node drive --topics /camera/image_raw /camera/camera_info --min-motion 8 --split-size 1000

Messages are written as the bytes that came. Ctrl-C ends the recording; until then it is `drive.partial`, and if this
process is killed, that folder is read by everything here that reads recordings, up to the last second.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from scdepth_core.errors import BagError, ConfigError
from scdepth_ros.bag_writer import BagWriter
from scdepth_ros.recording.motion_gate import MotionGate
from scdepth_ros.recording.serialized import IMAGE_TYPES
from scdepth_ros.recording.session import MEGABYTE, RecordingSession
from scdepth_ros.recording.topic_recorder import TopicRecorder
from scdepth_ros.ros_arguments import number_or_zero, positive_number, run_program, topic_name

FLUSH_PERIOD, LOOK_PERIOD, TELL_PERIOD, LAST_CALL = 1.0, 0.25, 5.0, 1.0  # seconds
IDLE_TURNS = 8  # of the executor, which also serves timers, without a message: the queues are empty


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the program's arguments."""
    parser.add_argument("out", nargs="?", help="folder to make (default: recording_YYYY_MM_DD-HH_MM_SS)")
    parser.add_argument(
        "--topics",
        nargs="+",
        type=topic_name,
        default=[],
        metavar="TOPIC",
        help="names (default: every image, camera_info, odometry and TF that is or comes to be published)",
    )
    parser.add_argument(
        "--min-motion",
        type=positive_number,
        metavar="PX",
        help="keep a frame only when the view moved by so many pixels since the last one kept (default: keep all)",
    )
    parser.add_argument(
        "--motion-topic", type=topic_name, metavar="TOPIC", help="images to watch for motion (default: the first)"
    )
    parser.add_argument(
        "--split-size", type=number_or_zero, default=0.0, metavar="MB", help="begin a new file after so many megabytes"
    )
    parser.add_argument(
        "--split-duration", type=number_or_zero, default=0.0, metavar="S", help="begin a new file after so many seconds"
    )
    parser.add_argument("--duration", type=positive_number, metavar="S", help="end after so many seconds")
    parser.add_argument(
        "--min-free",
        type=number_or_zero,
        default=200.0,
        metavar="MB",
        help="end, in order, when the disk has less room left (default: %(default)g)",
    )
    parser.add_argument("--compress", action="store_true", help="zstd; for raw images on a fast processor")
    parser.add_argument("--json", action="store_true", help="print the final counts as JSON")


def run(args: argparse.Namespace) -> int:
    """Record with an initialised rclpy until asked to end; prints the counts.

    Raises:
        BagError: when the recording cannot be written, or nothing came to be recorded.
        ConfigError: for a setting outside its range.
    """
    node = rclpy.create_node("record_node")
    try:
        return _record(node, args)
    finally:
        node.destroy_node()


def _record(node, args: argparse.Namespace) -> int:
    names = [node.resolve_topic_name(name) for name in args.topics]
    gate = _gate(args, names, node)
    writer = BagWriter(
        args.out or time.strftime("recording_%Y_%m_%d-%H_%M_%S"),
        args.compress,
        split_bytes=int(args.split_size * MEGABYTE),
        split_seconds=args.split_duration,
        keep_on_error=True,
    )
    try:
        with writer:
            session = RecordingSession(writer, gate)
            recorder = _Recorder(node, writer, session, names, args)
            if shortage := recorder.shortage():
                writer.discard()
                raise BagError(f"'{writer.path}' cannot be recorded: {shortage}")
            reason = recorder.spin()
            session.finish()
            if not session.counts.written:
                writer.discard()
                raise _nothing_came(recorder, session)
    except OSError as error:
        kept = ": what came before is in it, up to the last chunk, and can be read where it is"
        raise BagError(
            f"'{writer.partial}' could not be written ({error.strerror or error}){kept * writer.partial.exists()}"
        ) from error
    _tell_end(args, writer, session, recorder, reason)
    return 1 if recorder.unwatchable else 0


def _gate(args: argparse.Namespace, names: list[str], node) -> MotionGate | None:
    """The motion gate, if wanted."""
    watched = node.resolve_topic_name(args.motion_topic) if args.motion_topic else None
    if watched and not args.min_motion:
        raise ConfigError(f"--motion-topic {watched} says what to watch, --min-motion has to say for how many pixels")
    if watched and names and watched not in names:
        raise ConfigError(f"--motion-topic {watched} is not recorded – add it to --topics {' '.join(names)}")
    return MotionGate(args.min_motion, watched, node.get_logger().warning) if args.min_motion else None


class _Recorder:
    """The node's life: look for topics, flush, watch the disk, tell.

    Attributes:
        unwatchable: a sentence once the topic to watch for motion turned out to carry no images.
    """

    def __init__(self, node, writer: BagWriter, session: RecordingSession, names: list[str], args: argparse.Namespace):
        self._node, self._writer, self._session, self._args = node, writer, session, args
        self.names = names
        self.topics = TopicRecorder(node, session.take, sources_alone=True)
        session.counts.lost = self.topics.lost
        self.unwatchable = ""
        self._losses: list[str] = []
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._reason = ""
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock may stand still
        for period, work in ((LOOK_PERIOD, self._look), (FLUSH_PERIOD, self._flush), (TELL_PERIOD, self._tell)):
            node.create_timer(period, work, clock=steady)
        if args.duration:
            node.create_timer(args.duration, lambda: self._end(f"{args.duration:g} s are over"), clock=steady)
        node.get_logger().info(f"recording to {writer.partial}")

    def spin(self) -> str:
        """Record until told to end; returns why it ended. A signal never cuts a message or the index short."""
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, lambda *_: self._end("asked to end"))
        while not self._reason:
            self._executor.spin_once(timeout_sec=0.2)
        self._take_what_has_arrived()
        self._executor.shutdown()
        return self._reason

    def _take_what_has_arrived(self) -> None:
        """Empty the subscriptions' queues; a second at most, because a camera goes on."""
        end, idle = time.monotonic() + LAST_CALL, 0
        while time.monotonic() < end and idle < IDLE_TURNS:
            before = self._session.counts.received.total()
            self._executor.spin_once(timeout_sec=0.0)
            idle = idle + 1 if self._session.counts.received.total() == before else 0

    def shortage(self) -> str:
        """A sentence when the disk has less room left than wanted, or nothing."""
        free = self._session.free_bytes() / MEGABYTE
        wanted = self._args.min_free
        return f"the disk has {free:.0f} MB left, --min-free asks for {wanted:g}" if free < wanted else ""

    def missing(self) -> list[str]:
        """Topics asked for by name, to record or to watch, that never were published."""
        asked = dict.fromkeys([*self.names, *filter(None, [self._session.watched])])
        return [name for name in asked if name not in self.topics.topics and name not in self.topics.refused]

    def undated(self) -> str:
        """A sentence while nothing can be recorded, because time is that of a simulation that did not begin."""
        if self._node.get_clock().now().nanoseconds:
            return ""
        return "nothing came on /clock yet, and use_sim_time is true – start the simulation, or leave use_sim_time out"

    def _look(self) -> None:
        if self.undated():
            return
        self.unwatchable = self._type_trouble()
        if self.unwatchable:
            self._node.get_logger().error(f"recording ends: {self.unwatchable}")
            self._end(self.unwatchable)
            return
        for topic in self.topics.subscribe_to_published(self.names, self._writer.add_topic):
            self._node.get_logger().info(f"recording {topic} ({self.topics.topics[topic]})")

    def _type_trouble(self) -> str:
        """A sentence when the topic to watch for motion is published as something that is no image."""
        watched = self._session.watched
        infos = self._node.get_publishers_info_by_topic(watched) if watched else []
        wrong = next((info.topic_type for info in infos if info.topic_type not in IMAGE_TYPES), "")
        return f"--motion-topic {watched} carries {wrong}, expected {' or '.join(IMAGE_TYPES)}" if wrong else ""

    def _flush(self) -> None:
        self._writer.flush()
        if shortage := self.shortage():
            self._node.get_logger().error(f"recording ends: {shortage}")
            self._end(shortage)

    def _tell(self) -> None:
        self._node.get_logger().info(self._session.counts.line())
        known, self._losses = self._losses, self._session.counts.losses()
        for sentence in self._losses:
            if sentence not in known:
                self._node.get_logger().warning(sentence)
        if undated := self.undated():
            self._node.get_logger().warning(undated)
        elif missing := self.missing():
            self._node.get_logger().warning(f"nobody publishes {', '.join(missing)} yet")

    def _end(self, reason: str) -> None:
        self._reason = reason


def _nothing_came(recorder: _Recorder, session: RecordingSession) -> BagError:
    """The sentence for an empty recording."""
    why = recorder.unwatchable or recorder.undated() or recorder.topics.why_nothing_came(recorder.names)
    why = f"nothing was recorded: {why}"
    return BagError("; ".join([why, *session.counts.losses()]))


def _tell_end(args: argparse.Namespace, writer: BagWriter, session: RecordingSession, recorder, reason: str) -> None:
    """The counts, for people or for a program."""
    counts = session.counts
    summary = {
        "bag": str(writer.path),
        "ended": reason,
        "files": writer.files,
        "bytes": counts.bytes,
        "unreadable": session.unreadable,
        "unwatched": session.unwatched,
        "topics": counts.by_topic(),
        "missing": recorder.missing(),
        "refused": recorder.topics.refused,
        "losses": counts.losses(),
    }
    if args.json:
        print(json.dumps(summary, indent=2))
        return
    for topic, numbers in summary["topics"].items():
        print(f"{topic}: " + ", ".join(f"{number} {what}" for what, number in numbers.items()))
    for topic, why in summary["refused"].items():
        print(f"{topic}: not recorded, {why}")
    if session.unreadable:
        print(f"{session.unreadable} frames could not be decoded, so the motion gate kept them")
    for topic in summary["missing"]:
        print(f"{topic}: nobody published it")
    if session.unwatched:
        print(session.unwatched)
    for sentence in summary["losses"]:
        print(sentence)
    print(f"{writer.path}: {counts.line()}, {writer.files} file{'s' * (writer.files > 1)}; {reason}")


def main(arguments: list[str] | None = None) -> int:
    """A known error becomes one line and exit status 1. `--ros-args` are understood."""
    return run_program(
        "record_node", __doc__, add_arguments, run, arguments, signal_handler_options=SignalHandlerOptions.NO
    )


if __name__ == "__main__":
    sys.exit(main())
