"""play_bag: publish a recording over ROS in real time, where rosbag2's player is not installed.

    play_bag recording --rate 0.5 --remap /camera/image_raw:=/image --wait-for-subscribers 10

Messages go out as they were recorded, stamps included. With --loop the stamps of every further round are moved on by
the recording's length, so that time never jumps back. ROS 1 bags play as well.
"""

from __future__ import annotations

import argparse
import sys
import time

import rclpy
from rclpy.executors import ExternalShutdownException
from rosgraph_msgs.msg import Clock

from scdepth_core.errors import BagError, ConfigError
from scdepth_ros.bag import BagReader
from scdepth_ros.bag_player import BagPlayer
from scdepth_ros.ros_arguments import number_or_zero, positive_number, run_program, topic_name
from scdepth_ros.shutdown import until_shutdown

SECOND = 10**9
CLOCK_TYPE = "rosgraph_msgs/msg/Clock"
CLOCK_PERIOD = 0.01  # seconds between two /clock messages
LAST_CALL = 2.0  # seconds that reliable subscribers get at the end


class Pace:
    """Maps times of recording to times of day, `rate` times as fast, and tells them on /clock if wanted.

    Args:
        start_ns: time of recording that is at `began`.
        offset_ns: added to the time on /clock.
        began: monotonic time in seconds; now by default.
    """

    def __init__(self, start_ns: int, rate: float, offset_ns: int, clock_publisher=None, began: float | None = None):
        self._start_ns, self._rate, self._offset_ns = start_ns, rate, offset_ns
        self._clock = clock_publisher
        self._began = time.monotonic() if began is None else began

    def due(self, stamp_ns: int) -> float:
        """The monotonic time that belongs to a time of recording."""
        return self._began + (stamp_ns - self._start_ns) / SECOND / self._rate

    def wait_until(self, stamp_ns: int) -> float:
        """Sleep until this time of recording has come; returns how late it is, seconds."""
        due = self.due(stamp_ns)
        while (left := due - time.monotonic()) > 0:
            self._tick()
            time.sleep(min(left, CLOCK_PERIOD) if self._clock else min(left, 0.1))
            if not rclpy.ok():
                raise ExternalShutdownException
        self._tick()
        return -left

    def _tick(self) -> None:
        if self._clock is not None:
            now = self._start_ns + int((time.monotonic() - self._began) * self._rate * SECOND) + self._offset_ns
            msg = Clock()
            msg.clock.sec, msg.clock.nanosec = divmod(now, SECOND)
            self._clock.publish(msg)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bag", help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag")
    parser.add_argument("--rate", type=positive_number, default=1.0, help="speed, 1 as recorded (default: %(default)s)")
    parser.add_argument("--loop", action="store_true", help="begin again at the end, with stamps that go on")
    parser.add_argument("--start", type=number_or_zero, default=0.0, metavar="S", help="skip the first S seconds")
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="play these alone (default: all)")
    parser.add_argument("--remap", nargs="+", default=[], metavar="FROM:=TO", help="publish topics under other names")
    parser.add_argument(
        "--wait-for-subscribers",
        type=number_or_zero,
        default=0.0,
        metavar="S",
        help="wait up to S seconds until every topic has a subscriber (default: start at once)",
    )
    parser.add_argument(
        "--subscribers",
        type=int,
        default=1,
        metavar="N",
        help="how many to wait for, each topic (default: %(default)s)",
    )
    parser.add_argument("--clock", action="store_true", help="publish the time of recording on /clock")


def run(args: argparse.Namespace) -> int:
    """Play with an initialised rclpy; prints what was published to stderr.

    Raises:
        BagError: when the bag cannot be read, or an argument does not fit it. ConfigError: for an impossible argument.
    """
    if args.subscribers < 1:
        raise ConfigError(f"--subscribers is {args.subscribers}, expected at least 1")
    node = rclpy.create_node("play_bag", start_parameter_services=False)
    try:
        with BagReader(args.bag) as bag:
            topics, names = _chosen(bag, args), _names(bag, args.remap)
            _check_types(bag, topics, names, args.clock)
            player = BagPlayer(node, bag, topics, names)
            if not player.publishers:
                raise BagError("; ".join(player.played.reasons.values()))
            ended = False
            with until_shutdown():
                _play(node, bag, player, args)
                ended = True
            if not ended:
                print("play_bag: interrupted", file=sys.stderr)
            _tell(bag, player)
    finally:
        node.destroy_node()
    return 0


def _play(node, bag: BagReader, player: BagPlayer, args: argparse.Namespace) -> None:
    start_ns = bag.start_ns + int(args.start * SECOND)
    if start_ns >= bag.end_ns:
        length = (bag.end_ns - bag.start_ns) / SECOND
        raise BagError(f"--start is {args.start:g} s, the recording '{args.bag}' is only {length:.1f} s long")
    clock = node.create_publisher(Clock, "/clock", 10) if args.clock else None
    _wait_for_subscribers(player, args.wait_for_subscribers, args.subscribers)
    end_ns = bag.end_ns + (_period_ns(bag, player) if args.loop else 0)
    offset_ns, began = 0, None
    while True:
        pace = Pace(start_ns, args.rate, offset_ns, clock, began)
        player.play(start_ns, offset_ns, pace.wait_until)
        pace.wait_until(end_ns)
        if not args.loop:
            break
        offset_ns, began = offset_ns + end_ns - start_ns, pace.due(end_ns)  # no step back
    player.finish(LAST_CALL)


def _period_ns(bag: BagReader, player: BagPlayer) -> int:
    """Between two messages of the busiest topic: what lies between the last message of a round and the next round."""
    most = max(bag.counts[topic] for topic in player.publishers)
    return (bag.end_ns - bag.start_ns) // (most - 1) if most > 1 else SECOND


def _wait_for_subscribers(player: BagPlayer, seconds: float, listeners: int) -> None:
    end = time.monotonic() + seconds
    while (unheard := player.unheard(listeners)) and time.monotonic() < end:
        time.sleep(0.02)
    if seconds and unheard:
        few = "nobody subscribes" if listeners == 1 else f"fewer than {listeners} subscribe"
        print(f"play_bag: {few} to {', '.join(unheard)}, playing anyway", file=sys.stderr)


def _tell(bag: BagReader, player: BagPlayer) -> None:
    """The counts, for people."""
    played = player.played
    for topic, publisher in player.publishers.items():
        print(f"{publisher.topic_name}: {played.published[topic]} messages", file=sys.stderr)
    for topic, reason in played.reasons.items():
        print(f"{topic}: {played.skipped[topic]} messages skipped: {reason}", file=sys.stderr)
    if played.lag > 0.1:
        print(f"play_bag: up to {played.lag:.1f} s behind, a lower --rate keeps up", file=sys.stderr)
    if bag.truncated:
        print(f"play_bag: the recording is damaged: {bag.truncated}", file=sys.stderr)


def _chosen(bag: BagReader, args: argparse.Namespace) -> list[str]:
    """The topics to play; the recorded /clock gives way to ours."""
    wanted = args.topics or list(bag.topics)
    if unknown := set(wanted) - set(bag.topics):
        raise BagError(f"bag '{args.bag}' has no topic {', '.join(sorted(unknown))}, it has {', '.join(bag.topics)}")
    return [topic for topic in wanted if not (args.clock and topic == "/clock")]


def _names(bag: BagReader, rules: list[str]) -> dict[str, str]:
    """Other names by recorded topic."""
    names = {}
    for rule in rules:
        source, separator, target = rule.partition(":=")
        if not separator or not target:
            raise BagError(f"--remap is '{rule}', expected FROM:=TO, such as /camera/image_raw:=/image")
        if source not in bag.topics:
            raise BagError(f"--remap names the topic {source}, the bag has {', '.join(bag.topics)}")
        if source in names:
            raise BagError(f"--remap gives {source} two names, {names[source]} and {target} – leave one out")
        try:
            names[source] = topic_name(target)
        except argparse.ArgumentTypeError as error:
            raise BagError(f"--remap is '{rule}': {error}") from error
    return names


def _check_types(bag: BagReader, topics: list[str], names: dict[str, str], clock: bool) -> None:
    """Refuse other names by which one topic would have messages of two types."""
    places = {"/clock": ("--clock", CLOCK_TYPE)} if clock else {}
    for topic in sorted(topics, key=lambda topic: topic in names):  # those that keep their name come first
        name = "/" + names.get(topic, topic).lstrip("/")
        other, type_name = places.setdefault(name, (topic, bag.topics[topic]))
        if type_name != bag.topics[topic]:
            raise BagError(
                f"--remap {topic}:={names.get(topic, topic)} mixes types: {topic} carries {bag.topics[topic]}, {other} "
                f"is published there as {type_name} – give one of them another name"
            )


def main(arguments: list[str] | None = None) -> int:
    """A known error becomes one line and exit status 1. `--ros-args` are understood."""
    return run_program("play_bag", __doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
