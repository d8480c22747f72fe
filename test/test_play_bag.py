"""play_bag over DDS: everything arrives as recorded, in time, and what cannot be played is named."""

import re
import signal
import struct
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from bag_samples import OPTICAL, ROS1, SECOND, START, camera_info, image, text, write_bag
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path as PathMessage
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from ros_harness import RELIABLE, Bench, RosProcess
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from scdepth_core.errors import BagError
from scdepth_ros.bag import BagReader
from scdepth_ros.messages.classes import message_class
from scdepth_ros.play_bag import Pace, main
from scdepth_ros.recorded_qos import topic_qos
from scdepth_ros.stamp_shift import shift_stamps

pytestmark = pytest.mark.timeout(60)
MS = 10**6
K = [[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]]


@pytest.fixture(scope="module")
def bench():
    bench = Bench("listener")
    yield bench
    bench.close()


def walk(count=12, step_ns=50 * MS, store=None):
    """Images that differ and their calibration, 20 a second."""
    kind = {} if store is None else {"store": store}
    for k in range(count):
        when = START + k * step_ns
        yield "/cam/image", image(np.full((48, 64, 3), 10 * k, np.uint8), when, **kind), when
        yield "/cam/info", camera_info(K, (64, 48), when, **kind), when


def play(*arguments):
    return RosProcess("scdepth_ros.play_bag", *map(str, arguments))


def stamp_ns(msg):
    return msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec


@pytest.mark.parametrize("kind", ["mcap", "ros1"])
def test_everything_arrives_as_recorded_and_in_time(tmp_path, bench, kind):
    bag = write_bag(tmp_path / "walk", walk(store=ROS1 if kind == "ros1" else None), kind)
    images, arrived = [], []
    topic = f"/{kind}/image"

    def keep(msg):
        images.append(msg)
        arrived.append(time.monotonic())

    subscription = bench.node.create_subscription(Image, topic, keep, RELIABLE)
    infos = []
    other = bench.node.create_subscription(CameraInfo, "/cam/info", infos.append, RELIABLE)
    process = play(bag, "--remap", f"/cam/image:={topic}", "--wait-for-subscribers", 20)
    bench.wait_for(lambda: process.process.poll() is not None and len(images) == 12, what="all images")
    assert process.process.returncode == 0, process.output
    assert [stamp_ns(msg) for msg in images] == [START + k * 50 * MS for k in range(12)]
    assert [bytes(msg.data[:1]) for msg in images] == [bytes([10 * k]) for k in range(12)]
    assert images[0].header.frame_id == OPTICAL and len(infos) == 12
    assert 0.45 < arrived[-1] - arrived[0] < 0.9  # 11 steps of 50 ms
    assert f"{topic}: 12 messages" in process.output and "/cam/info: 12 messages" in process.output
    for one in (subscription, other):
        bench.node.destroy_subscription(one)


def test_it_waits_for_as_many_subscribers_as_it_is_told(tmp_path, bench):
    bag = write_bag(tmp_path / "walk", walk(count=2))
    images, more = [], []
    one = bench.node.create_subscription(Image, "/cam/image", images.append, RELIABLE)
    waiting = ("--topics", "/cam/image", "--wait-for-subscribers", 20, "--subscribers", 2)
    process = play(bag, *waiting)
    bench.wait_for(lambda: bench.node.count_publishers("/cam/image"), what="the player")
    bench.spin_for(1.0)
    assert process.process.poll() is None and not images
    other = bench.node.create_subscription(Image, "/cam/image", more.append, RELIABLE)
    bench.wait_for(lambda: process.process.poll() is not None and len(images) == len(more) == 2, what="all images")
    for subscription in (one, other):
        bench.node.destroy_subscription(subscription)
    process = play(bag, "--topics", "/cam/image", "--wait-for-subscribers", 0.1, "--subscribers", 2)
    assert process.process.wait(20) == 0
    assert "fewer than 2 subscribe to /cam/image, playing anyway" in process.output


def test_rounds_go_on_in_time_until_interrupted(tmp_path, bench):
    bag = write_bag(tmp_path / "walk", walk(count=4))
    images = []
    subscription = bench.node.create_subscription(Image, "/cam/image", images.append, RELIABLE)
    clocks = []
    clock = bench.node.create_subscription(Clock, "/clock", clocks.append, RELIABLE)
    process = play(bag, "--loop", "--clock", "--rate", 2, "--topics", "/cam/image", "--wait-for-subscribers", 20)
    bench.wait_for(lambda: len(images) >= 10, what="three rounds")
    assert process.stop(signal.SIGINT) < 2 and process.process.returncode == 0
    assert "Traceback" not in process.output and "interrupted" in process.output, process.output
    stamps = [stamp_ns(msg) for msg in images]
    assert all(b > a for a, b in pairwise(stamps)) and stamps[4] == START + 200 * MS + 1  # end_ns lies just behind
    told = [c.clock.sec * 10**9 + c.clock.nanosec for c in clocks]
    assert len(told) > 10 and all(b >= a for a, b in pairwise(told)) and told[0] >= START
    for one in (subscription, clock):
        bench.node.destroy_subscription(one)


def test_start_skips_the_beginning(tmp_path, bench):
    bag = write_bag(tmp_path / "walk", walk())
    process = play(bag, "--start", 0.42, "--rate", 4)
    assert process.process.wait(20) == 0
    process.stop()
    assert "/cam/image: 3 messages" in process.output  # those at 450, 500 and 550 ms
    process = play(bag, "--start", 9)
    assert process.process.wait(20) == 1
    process.stop()
    assert "only 0.6 s long" in process.output and "Traceback" not in process.output


QOS = Qos(
    history=QosHistory.KEEP_LAST,
    depth=3,
    reliability=QosReliability.BEST_EFFORT,
    durability=QosDurability.TRANSIENT_LOCAL,
    deadline=QosTime(sec=2147483647, nsec=4294967295),
    lifespan=QosTime(sec=2147483647, nsec=4294967295),
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=QosTime(sec=2147483647, nsec=4294967295),
    avoid_ros_namespace_conventions=False,
)


@pytest.fixture
def odd_bag(tmp_path):
    """One text under recorded QoS, one in `tf_static`'s place, two messages of a package that nobody has."""
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg("int32 number", "nowhere_msgs/msg/Odd"))
    with Writer(tmp_path / "odd", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        said = writer.add_connection("/said", "std_msgs/msg/String", typestore=store, offered_qos_profiles=[QOS])
        latched = writer.add_connection("/ns/tf_static", "std_msgs/msg/String", typestore=store)
        odd = writer.add_connection("/odd", "nowhere_msgs/msg/Odd", typestore=store)
        writer.write(said, START, bytes(store.serialize_cdr(text("hello"), "std_msgs/msg/String")))
        writer.write(latched, START, bytes(store.serialize_cdr(text("frames"), "std_msgs/msg/String")))
        for k in range(2):
            message = store.types["nowhere_msgs/msg/Odd"](number=k)
            writer.write(odd, START + k * MS, bytes(store.serialize_cdr(message, "nowhere_msgs/msg/Odd")))
    return tmp_path / "odd"


def test_topics_of_missing_packages_are_named_and_the_others_played(odd_bag):
    process = play(odd_bag)
    assert process.process.wait(20) == 0
    process.stop()
    assert "/said: 1 messages" in process.output
    assert "/odd: 2 messages skipped: type 'nowhere_msgs/msg/Odd' is not installed" in process.output
    process = play(odd_bag, "--topics", "/odd")
    assert process.process.wait(20) == 1 and "install the ROS package 'nowhere_msgs'" in process.output
    process.stop()


def test_names_that_ros_2_does_not_take_are_skipped_or_renamed(tmp_path, capsys):
    messages = [(topic, text("hello", ROS1), START) for topic in ("/said", "/cam/0/said")]
    bag = write_bag(tmp_path / "old", messages, "ros1")
    sentence = "'/cam/0/said' is no topic name in ROS 2 – give it another one with --remap"
    assert main([str(bag)]) == 0
    told = capsys.readouterr().err
    assert f"/cam/0/said: 1 messages skipped: {sentence}" in told and "/said: 1 messages\n" in told
    assert main([str(bag), "--topics", "/cam/0/said"]) == 1 and sentence in capsys.readouterr().err
    assert main([str(bag), "--remap", "/cam/0/said:=/cam/left/said"]) == 0
    assert "/cam/left/said: 1 messages\n" in capsys.readouterr().err


def test_a_name_that_its_owner_leaves_is_free(tmp_path, capsys):
    """Two topics that swap names, and one whose name is taken by a topic that is not played."""
    bag = write_bag(tmp_path / "walk", walk(count=1))
    assert main([str(bag), "--remap", "/cam/image:=/cam/info", "/cam/info:=/cam/image"]) == 0
    assert main([str(bag), "--topics", "/cam/image", "--remap", "/cam/image:=/cam/info"]) == 0
    assert capsys.readouterr().err.count("/cam/info: 1 messages\n") == 2


def test_qos_is_the_recorded_one_else_reliable(odd_bag):
    with BagReader(odd_bag) as bag:
        qos = topic_qos(bag)
    assert qos["/said"].reliability == QoSReliabilityPolicy.BEST_EFFORT and qos["/said"].depth == 3
    assert qos["/said"].durability == QoSDurabilityPolicy.TRANSIENT_LOCAL
    assert qos["/ns/tf_static"].durability == QoSDurabilityPolicy.TRANSIENT_LOCAL
    assert qos["/odd"].reliability == QoSReliabilityPolicy.RELIABLE
    assert qos["/odd"].durability == QoSDurabilityPolicy.VOLATILE
    assert isinstance(qos["/odd"], QoSProfile)


def late_listener(bench, topic):
    """Texts of a latched topic that was played before anybody listened."""
    texts = []
    qos = QoSProfile(
        depth=100,
        reliability=QoSReliabilityPolicy.RELIABLE,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
    )
    return texts, bench.node.create_subscription(String, topic, lambda msg: texts.append(msg.data), qos)


def test_what_holds_for_good_is_played_wherever_it_begins_and_kept_for_late_listeners(tmp_path, bench):
    """Fifteen static transforms, each from a publisher of its own, at the beginning of a recording of 60 s."""
    said = [("/late/tf_static", text(f"frame {k}"), START + k * MS) for k in range(15)]
    bag = write_bag(tmp_path / "robot", [*said, *(("/late/word", text("now"), START + s * SECOND) for s in (50, 60))])
    process = play(bag, "--start", 40)
    bench.wait_for(lambda: bench.node.count_publishers("/late/tf_static"), what="the player")
    bench.spin_for(0.5)
    texts, subscription = late_listener(bench, "/late/tf_static")
    bench.wait_for(lambda: len(texts) == 15, what="all static transforms")
    assert texts == [f"frame {k}" for k in range(15)]
    process.stop(signal.SIGINT)
    assert "/late/tf_static: 15 messages" in process.output and "/late/word: 0 messages" in process.output
    bench.node.destroy_subscription(subscription)


def test_a_single_message_comes_once_a_second(tmp_path, bench):
    bag = write_bag(tmp_path / "one", [("/alone/word", text("here"), START)])
    start = time.monotonic()
    process = play(bag, "--loop")
    bench.wait_for(lambda: bench.node.count_publishers("/alone/word"), what="the player")
    bench.spin_for(1.5)
    process.stop(signal.SIGINT)
    seconds = time.monotonic() - start
    count = int(re.search(r"/alone/word: (\d+) messages", process.output)[1])
    assert 1 <= count <= seconds + 1 and "behind" not in process.output


def test_a_broken_message_is_skipped_in_every_round(tmp_path, bench):
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer(tmp_path / "broken", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        pose = writer.add_connection("/broken/pose", "geometry_msgs/msg/PoseStamped", typestore=store)
        path = writer.add_connection("/broken/path", "nav_msgs/msg/Path", typestore=store)
        for connection in (pose, path):
            writer.write(connection, START, b"\0\1\0\0")
    process = play(tmp_path / "broken", "--loop", "--rate", 4)
    bench.wait_for(lambda: bench.node.count_publishers("/broken/path"), what="the player")
    bench.spin_for(1.5)
    process.stop(signal.SIGINT)
    assert "Traceback" not in process.output and process.process.returncode == 0, process.output
    for topic, name in (("pose", "PoseStamped"), ("path", "Path")):
        assert re.search(rf"/broken/{topic}: \d+ messages skipped: a message of 4 bytes is no {name}", process.output)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["/no/bag"], "does not exist"),
        (["BAG", "--topics", "/nope"], "has no topic /nope, it has"),
        (["BAG", "--remap", "/cam/image"], "expected FROM:=TO"),
        (["BAG", "--remap", "/nope:=/image"], "/nope, the bag has"),
        (["BAG", "--remap", "/cam/image:=/1 bad"], "--remap is '/cam/image:=/1 bad': '/1 bad' is not a topic"),
        (["BAG", "--remap", "/cam/image:=/x", "/cam/image:=/y"], "gives /cam/image two names, /x and /y"),
        (
            ["BAG", "--remap", "/cam/image:=/cam/info"],
            "/cam/image carries sensor_msgs/msg/Image, /cam/info is published there as sensor_msgs/msg/CameraInfo",
        ),
        (
            ["BAG", "--remap", "/cam/image:=/x", "/cam/info:=x"],
            "/cam/info carries sensor_msgs/msg/CameraInfo, /cam/image is published there as sensor_msgs/msg/Image",
        ),
        (
            ["BAG", "--clock", "--remap", "/cam/image:=/clock"],
            "/cam/image carries sensor_msgs/msg/Image, --clock is published there as rosgraph_msgs/msg/Clock",
        ),
        (["BAG", "--rate", "0"], "'0' is not a number above 0"),
        (["BAG", "--subscribers", "0"], "--subscribers is 0, expected at least 1"),
        (["BAG", "--ros-args", "--log-level", "loud"], "Couldn't parse log level"),
    ],
)
def test_wrong_arguments_are_one_sentence(tmp_path, arguments, words, capsys):
    bag = write_bag(tmp_path / "walk", walk(count=1))
    try:
        status = main([str(bag) if argument == "BAG" else argument for argument in arguments])
    except SystemExit as end:  # argparse
        status = end.code
    assert status in (1, 2) and words in capsys.readouterr().err


def test_pace_is_rate_times_real_time(monkeypatch):
    monkeypatch.setattr("scdepth_ros.play_bag.rclpy", SimpleNamespace(ok=lambda: True))
    pace = Pace(START, rate=10, offset_ns=0)
    began = time.monotonic()
    lag = pace.wait_until(START + 10**9)
    assert 0.095 < time.monotonic() - began < 0.2 and 0 <= lag < 0.1
    assert pace.wait_until(START) > 0.09  # long due: not a moment lost


def test_stamps_are_shifted_wherever_they_are():
    header = Header(frame_id="map")
    header.stamp.sec, header.stamp.nanosec = 7, 999_999_999
    path = PathMessage(header=header, poses=[PoseStamped(header=header), PoseStamped(header=header)])
    shifted = deserialize_message(shift_stamps(serialize_message(path), PathMessage, 2 * 10**9 + 1), PathMessage)
    for where in (shifted.header, *(pose.header for pose in shifted.poses)):
        assert (where.stamp.sec, where.stamp.nanosec, where.frame_id) == (10, 0, "map")
    picture = Image(header=header, height=1, width=2, data=b"ab")
    shifted = deserialize_message(shift_stamps(serialize_message(picture), Image, -(10**9)), Image)
    picture.header.stamp.sec = 6
    assert shifted == picture
    words = serialize_message(String(data="no stamp"))
    assert shift_stamps(words, String, 5) is words


def test_big_endian_recordings_are_shifted_too():
    cdr = b"\0\0\0\0" + struct.pack(">iI", 3, 5) + b"rest"
    assert shift_stamps(cdr, Image, 10**9) == b"\0\0\0\0" + struct.pack(">iI", 4, 5) + b"rest"


def test_message_classes_by_name():
    assert message_class("sensor_msgs/msg/Image") is Image
    with pytest.raises(BagError, match="install the ROS package 'nowhere_msgs'"):
        message_class("nowhere_msgs/msg/Odd")
    with pytest.raises(BagError, match="not installed"):
        message_class("sensor_msgs/msg/NoSuchThing")
