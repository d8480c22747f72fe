"""record_node over DDS: what came is in the recording, byte for byte, whatever ends it; the motion gate."""

import argparse
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import nav_msgs.msg
import rclpy
from bag_samples import ROS2, SECOND, START, camera_info, compressed, image
from extract_samples import SIZE, K, flat_scene, view
from rclpy.qos import QoSProfile
from ros_harness import RELIABLE, TEST_MODULES, Bench, RosProcess
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosReliability
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float64, String

from scdepth_core.errors import ConfigError
from scdepth_ros.bag import BagReader
from scdepth_ros.record_node import add_arguments, main
from scdepth_ros.recording import command
from scdepth_ros.recording.command import RecordSettings, record_command, takes_rosbag2
from scdepth_ros.recording.motion_gate import MotionGate
from scdepth_ros.recording.serialized import Serialized, header_stamp
from scdepth_ros.recording.session import RecordingSession
from scdepth_ros.recording.topic_recorder import TopicRecorder

pytestmark = pytest.mark.timeout(90)
PERIOD = SECOND // 20


def serialized(topic, message, received_ns=None):
    name = message.__msgtype__
    data = bytes(ROS2.serialize_cdr(message, name))
    return Serialized(topic, name, data, header_stamp(data) if received_ns is None else received_ns)


def sift(gate, messages):
    """(topic, stamp, kept) of everything, in the order in which it was decided."""
    decided = [decision for message in messages for decision in gate.sift(message)]
    return [(m.topic, m.stamp_ns, keep) for m, keep in [*decided, *gate.rest()]]


# The motion gate


@pytest.mark.parametrize(
    "pack", [image, lambda pixels, ns: compressed(pixels, ns, ".png", "rgb8; png compressed bgr8")]
)
def test_frames_are_kept_when_the_view_has_moved(pack):
    """`view` moves by 4 pixels a step: with 10 pixels every third frame is kept."""
    steps = [0, 0, 0, *range(1, 10), 9, 9]
    frames = [serialized("/cam", pack(view(flat_scene(), step), START + k * PERIOD)) for k, step in enumerate(steps)]
    kept = [steps[round((when - START) / PERIOD)] for _, when, keep in sift(MotionGate(10.0), frames) if keep]
    assert kept == [0, 3, 6, 9]


def test_large_images_are_compared_small_but_in_their_own_pixels():
    large = [np.repeat(np.repeat(view(flat_scene(), step), 4, axis=0), 4, axis=1) for step in range(7)]  # 16 px a step
    frames = [serialized("/cam", image(pixels, START + k * PERIOD)) for k, pixels in enumerate(large)]
    assert [keep for *_, keep in sift(MotionGate(40.0), frames)] == [True, False, False, True, False, False, True]


def test_a_camera_that_comes_back_with_another_size_goes_on():
    """The first image of each size is kept; from then on, motion counts in pixels of that size."""
    steps = [0, 1, 2, 3]  # 4 pixels each, at twice the size 8
    small = [view(flat_scene(), step) for step in steps]
    large = [np.repeat(np.repeat(view(flat_scene(), step), 2, axis=0), 2, axis=1) for step in steps]
    frames = [serialized("/cam", image(p, START + k * PERIOD)) for k, p in enumerate([*small, *large, small[0][:80]])]
    kept = [keep for *_, keep in sift(MotionGate(10.0), frames)]
    assert kept == [True, False, False, True, True, False, True, False, True]


def test_what_belongs_to_a_frame_goes_with_it_and_the_rest_passes():
    messages = []
    for k, step in enumerate([0, 0, 5, 5]):
        when = START + k * PERIOD
        messages += [
            serialized("/info", camera_info(K, SIZE, when)),  # before its image
            serialized("/cam", image(view(flat_scene(), step), when)),
            serialized("/depth", image(np.ones((120, 160), np.float32), when + 1000, "32FC1")),  # just behind it
            Serialized("/words", "std_msgs/msg/String", b"\0\1\0\0", when),
        ]
    gate = MotionGate(10.0)
    decided = [decision for message in messages for decision in gate.sift(message)]
    decided += gate.rest()
    kept = {topic: [m.received_ns for m, keep in decided if keep and m.topic == topic] for topic in ("/cam", "/info")}
    assert kept["/cam"] == kept["/info"] == [START, START + 2 * PERIOD]
    assert [m.received_ns for m, keep in decided if m.topic == "/depth" and keep] == [
        START + 1000,
        START + 2 * PERIOD + 1000,
    ]
    assert sum(m.topic == "/words" and keep for m, keep in decided) == 4
    assert len(decided) == len(messages) and gate.watched == "/cam"


def test_a_silent_or_broken_camera_never_costs_anything():
    said = []
    gate = MotionGate(10.0, complain=said.append)
    infos = [serialized("/info", camera_info(K, SIZE, START + k * SECOND)) for k in range(4)]
    assert [keep for *_, keep in sift(gate, infos)] == [True] * 4
    broken = image(view(flat_scene(), 0), START)
    broken.encoding = "nonsense"
    assert [keep for *_, keep in sift(gate, [serialized("/cam", broken)] * 2)] == [True, True]
    assert gate.unreadable == 2 and len(said) == 1
    assert said[0].startswith("frames of /cam that cannot be decoded are all recorded: ") and "nonsense" in said[0]
    with pytest.raises(ConfigError, match="min-motion is 0 pixels"):
        MotionGate(0.0)


# The node


@pytest.fixture(scope="module")
def bench():
    bench = Bench("camera")
    yield bench
    bench.close()


def record(path, *arguments):
    return RosProcess("scdepth_ros.record_node", str(path), *map(str, arguments))


def wait_until_recorded(bench, process, *publishers):
    for publisher in publishers:
        bench.wait_for(publisher.get_subscription_count, what=f"a subscriber of {publisher.topic_name}")
    process.wait_for_output("recording /")


def ros_image(pixels, number):
    msg = Image(height=pixels.shape[0], width=pixels.shape[1], step=pixels.shape[1] * 3, encoding="rgb8")
    msg.header.stamp.sec, msg.header.frame_id = 100 + number, "camera_color_optical_frame"
    msg.data.frombytes(pixels.tobytes())
    return msg


def test_everything_found_is_recorded_as_it_came_until_interrupted(tmp_path, bench):
    images = bench.node.create_publisher(Image, "/found/image", RELIABLE)
    infos = bench.node.create_publisher(CameraInfo, "/found/camera_info", 10)
    words = bench.node.create_publisher(String, "/found/words", 10)
    process = record(tmp_path / "drive", "--json", "--split-size", 0.05)
    wait_until_recorded(bench, process, images, infos)
    for number in range(10):
        images.publish(ros_image(view(flat_scene(), number), number))
        infos.publish(CameraInfo(width=160, height=120, k=K.ravel()))
        words.publish(String(data="not an image"))
        bench.spin_for(0.05)
    process.wait_for_output("20 messages received, 20 written")
    process.stop(signal.SIGINT)
    assert process.process.returncode == 0, process.output
    assert "Traceback" not in process.output
    summary = json.loads(process.output[process.output.index("{\n") :])
    assert summary["topics"]["/found/image"] == {
        "received": 10,
        "written": 10,
        "gated": 0,
        "lost": 0,
        "overflowed": 0,
    }
    assert "/found/words" not in summary["topics"] and summary["files"] >= 10 and summary["ended"] == "asked to end"
    assert not (tmp_path / "drive.partial").exists()
    with AnyReader([tmp_path / "drive"]) as reader:
        kept = [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages() if c.topic == "/found/image"]
        offered = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
    assert offered["/found/image"][0].reliability == QosReliability.RELIABLE
    assert [message.header.stamp.sec for message in kept] == [100 + number for number in range(10)]
    for number, message in enumerate(kept):
        assert np.array_equal(message.data.reshape(120, 160, 3), view(flat_scene(), number))
    with BagReader(tmp_path / "drive") as bag:
        assert bag.truncated is None and bag.counts == {"/found/image": 10, "/found/camera_info": 10}
        assert abs(bag.start_ns / 1e9 - time.time()) < 60  # time of arrival, not the camera's stamp
    for publisher in (images, infos, words):
        bench.node.destroy_publisher(publisher)


def test_what_is_lost_on_the_way_is_counted_with_its_cure(tmp_path):
    camera = RosProcess("large_images", "/lost/image", env=TEST_MODULES)
    process = record(tmp_path / "drive", "--topics", "/lost/image", "--json")
    try:
        process.wait_for_output("messages were lost on the way, ")
    finally:
        camera.stop()
        process.stop(signal.SIGINT)
    assert process.process.returncode == 0, process.output
    summary = json.loads(process.output[process.output.index("{\n") :])
    counts = summary["topics"]["/lost/image"]
    assert counts["lost"] >= 1 and counts["received"] == counts["written"] >= 1
    assert "start the camera driver with the transport profile: eval" in summary["losses"][0]


def test_what_overflows_the_queue_is_told_from_what_is_lost_on_the_way(bench):
    class Writer:  # a slow disk
        def write(self, *_):
            time.sleep(0.05)

    node, session = rclpy.create_node("slow", context=bench.context), RecordingSession(Writer())
    recorder = TopicRecorder(node, session.take)
    session.counts.lost = recorder.lost
    words = bench.node.create_publisher(String, "/slow/words", RELIABLE)
    recorder.subscribe("/slow/words", "std_msgs/msg/String", QoSProfile(depth=5))
    bench.executor.add_node(node)
    received = session.counts.received
    bench.wait_for(words.get_subscription_count)
    words.publish(String(data="first"))
    bench.wait_for(received.total, what="the first message")
    for _ in range(20):
        words.publish(String(data="more"))
    bench.wait_for(lambda: received.total() == 6, what="what the queue holds")
    assert session.counts.by_topic() == {
        "/slow/words": {"received": 6, "written": 6, "gated": 0, "lost": 0, "overflowed": 15}
    }
    assert session.counts.line().endswith("0 lost on the way, 15 in the queue")
    (sentence,) = session.counts.losses()
    assert sentence.startswith("messages were lost in the queue, 15 of /slow/words: they came faster than")
    bench.executor.remove_node(node)
    node.destroy_node()
    bench.node.destroy_publisher(words)


def test_what_depth_node_makes_is_recorded_by_name_alone(bench):
    camera, maker = (rclpy.create_node(name, context=bench.context, namespace="robot") for name in ("eye", "maker"))
    ends = [camera.create_publisher(Image, "image_raw", RELIABLE), maker.create_publisher(Image, "depth", RELIABLE)]
    ends += [maker.create_publisher(Float64, "~/scale", RELIABLE)]
    bench.wait_for(lambda: all(bench.node.count_publishers(end.topic_name) for end in ends), what="both nodes")

    def recorded(names=(), **options):
        return TopicRecorder(bench.node, lambda _: None, **options).subscribe_to_published(names, lambda *_: None)

    by_default = recorded(sources_alone=True)
    assert "/robot/image_raw" in by_default and "/robot/depth" not in by_default
    assert recorded(["/robot/depth"], sources_alone=True) == ["/robot/depth"]
    assert {"/robot/image_raw", "/robot/depth"} <= set(recorded())
    for node in (camera, maker):
        node.destroy_node()


def test_killed_it_leaves_all_but_the_last_second(tmp_path, bench):
    images = bench.node.create_publisher(Image, "/killed/image", RELIABLE)
    process = record(tmp_path / "drive", "--topics", "/killed/image")
    wait_until_recorded(bench, process, images)
    for number in range(8):
        images.publish(ros_image(view(flat_scene(), number), number))
        bench.spin_for(0.02)
    bench.spin_for(2.5)  # more than one flush
    process.process.kill()
    process.process.wait()
    process.stop()
    with BagReader(tmp_path / "drive.partial") as bag:
        kept = [message.decode() for message in bag.messages(["/killed/image"])]
        assert "breaks off" in bag.truncated
    assert [message.header.stamp.sec for message in kept] == [100 + number for number in range(8)]
    again = record(tmp_path / "drive", "--topics", "/killed/image")
    assert again.process.wait(20) == 1
    again.stop()
    assert "drive.partial' exists: a run is writing it, or one was killed" in again.output
    bench.node.destroy_publisher(images)


def test_the_gate_is_counted_and_absent_topics_are_named(tmp_path, bench):
    images = bench.node.create_publisher(CompressedImage, "/gated/image/compressed", RELIABLE)
    process = record(
        tmp_path / "drive", "--topics", "/gated/image/compressed", "/never/there", "--min-motion", 10, "--duration", 8
    )
    wait_until_recorded(bench, process, images)
    for number, step in enumerate([0, 0, 0, 5, 5, 10]):
        packed = compressed(view(flat_scene(), step), START, ".jpg", "rgb8; jpeg compressed bgr8")
        msg = CompressedImage(format=packed.format)
        msg.header.stamp.sec = 100 + number
        msg.data.frombytes(packed.data.tobytes())
        images.publish(msg)
        bench.spin_for(0.05)
    assert process.process.wait(30) == 0
    process.stop()
    assert "/gated/image/compressed: 6 received, 3 written, 3 gated" in process.output, process.output
    assert "/never/there: nobody published it" in process.output and "8 s are over" in process.output
    with BagReader(tmp_path / "drive") as bag:
        kept = [message.decode().header.stamp.sec for message in bag.messages()]
    assert kept == [100, 103, 105]
    bench.node.destroy_publisher(images)


def test_a_gate_that_could_not_work_is_refused(capsys):
    for arguments, words in [
        (["--motion-topic", "cam"], "--min-motion has to say"),
        (["--motion-topic", "cam", "--min-motion", "5", "--topics", "/other"], "/cam is not recorded – add it"),
    ]:
        assert main(arguments) == 1
        assert words in capsys.readouterr().err


def test_a_topic_to_watch_that_carries_no_images_ends_the_recording(tmp_path, bench):
    """Whether it is recorded by default, by name, or not at all."""
    infos = bench.node.create_publisher(CameraInfo, "/no/pictures", RELIABLE)
    words = bench.node.create_publisher(String, "/no/pictures/either", RELIABLE)
    for arguments, kind in [
        (["--motion-topic", "/no/pictures"], "sensor_msgs/msg/CameraInfo"),
        (["--motion-topic", "/no/pictures", "--topics", "/no/pictures"], "sensor_msgs/msg/CameraInfo"),
        (["--motion-topic", "/no/pictures/either"], "std_msgs/msg/String"),
    ]:
        process = record(tmp_path / "drive", "--min-motion", 2, *arguments)
        assert process.process.wait(20) == 1
        process.stop()
        sentence = f"{arguments[1]} carries {kind}, expected sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage"
        assert f"nothing was recorded: --motion-topic {sentence}" in process.output, process.output
        assert "Traceback" not in process.output
        assert list(tmp_path.iterdir()) == []
    bench.node.destroy_publisher(infos)
    bench.node.destroy_publisher(words)


def test_a_topic_to_watch_that_never_came_is_named(tmp_path, bench):
    images = bench.node.create_publisher(Image, "/unwatched/image", RELIABLE)
    process = record(tmp_path / "drive", "--min-motion", 2, "--motion-topic", "/nope", "--duration", 4)
    wait_until_recorded(bench, process, images)
    images.publish(ros_image(view(flat_scene(), 0), 0))
    assert process.process.wait(20) == 0
    process.stop()
    assert "/nope: nobody published it" in process.output, process.output
    assert "the motion gate left nothing out: no image came on /nope to watch for motion" in process.output
    bench.node.destroy_publisher(images)


def test_topics_that_are_refused_are_named_with_the_reason(tmp_path, bench):
    if not hasattr(nav_msgs.msg, "Goals"):
        pytest.skip("every message type here is one of ROS 2 Jazzy")
    goals = bench.node.create_publisher(nav_msgs.msg.Goals, "/goals", RELIABLE)
    images = bench.node.create_publisher(Image, "/cam", RELIABLE)
    reason = "type 'nav_msgs/msg/Goals' of /goals is unknown, expected a message type of ROS 2 Jazzy"
    process = record(tmp_path / "drive", "--topics", "/goals", "/cam")
    process.wait_for_output(f"/goals is not recorded: {reason}", timeout=60)
    wait_until_recorded(bench, process, images)
    images.publish(ros_image(view(flat_scene(), 0), 0))
    bench.spin_for(0.3)
    process.stop(timeout=30)
    assert process.process.returncode == 0, process.output
    assert f"/goals: not recorded, {reason}" in process.output and "1 file; asked to end" in process.output
    bench.node.destroy_publisher(images)
    process = record(tmp_path / "nothing", "--topics", "/goals")
    process.wait_for_output(f"/goals is not recorded: {reason}", timeout=60)
    process.stop(timeout=30)
    assert process.process.returncode == 1
    assert f"nothing was recorded: /goals is not recorded: {reason}" in process.output
    bench.node.destroy_publisher(goals)


def test_an_empty_or_impossible_recording_is_one_sentence(tmp_path):
    process = record(tmp_path / "drive", "--topics", "/nobody/here", "--duration", 0.5)
    assert process.process.wait(20) == 1
    process.stop()
    assert "nothing was recorded: nobody published /nobody/here" in process.output
    assert list(tmp_path.iterdir()) == []
    process = record(tmp_path / "drive", "--min-free", 1e9)
    assert process.process.wait(20) == 1
    process.stop()
    assert "MB left, --min-free asks for 1e+09" in process.output
    assert list(tmp_path.iterdir()) == []


def test_a_simulation_that_has_not_begun_is_waited_for(tmp_path, bench):
    """Without a time there is no date for what comes; the first /clock begins the recording."""
    words = bench.node.create_publisher(String, "/sim/words", RELIABLE)
    clock = bench.node.create_publisher(Clock, "/clock", RELIABLE)
    simulated = ("--topics", "/sim/words", "--ros-args", "-p", "use_sim_time:=true")
    process = record(tmp_path / "never", "--duration", 1, *simulated)
    assert process.process.wait(20) == 1
    process.stop()
    assert "nothing was recorded: nothing came on /clock yet, and use_sim_time is true" in process.output
    process = record(tmp_path / "drive", *simulated)
    process.wait_for_output("nothing came on /clock yet", timeout=30)
    assert not words.get_subscription_count()
    now = Clock()
    now.clock.sec = 1_700_000_000

    def heard():
        clock.publish(now)
        return words.get_subscription_count()

    bench.wait_for(heard, what="the recorder, after a /clock")
    process.wait_for_output("recording /")
    for _ in range(3):
        words.publish(String(data="dated"))
    bench.spin_for(0.5)
    process.stop(timeout=30)
    with BagReader(tmp_path / "drive") as bag:
        assert {message.stamp_ns for message in bag.messages()} == {1_700_000_000 * SECOND}
        assert bag.counts["/sim/words"] == 3
    for publisher in (words, clock):
        bench.node.destroy_publisher(publisher)


# The launch file's choice


def test_rosbag2_records_where_it_is_installed():
    settings = RecordSettings("drive", ("/cam/image_raw", "cam/camera_info"), split_size=1500, split_duration=60)
    assert record_command(settings, rosbag2=True) == [
        *("ros2", "bag", "record", "-s", "mcap", "-e", "^(/cam/image_raw|/cam/camera_info)$", "-o", "drive"),
        *("-b", "1500000000", "-d", "60"),
    ]
    assert record_command(RecordSettings("drive", split_duration=0.4), rosbag2=True)[-2:] == ["-d", "1"]
    found = re.compile(record_command(RecordSettings(""), rosbag2=True)[-1])
    assert all(
        found.fullmatch(name) for name in ("/cam/image_raw/compressed", "/cam/camera_info", "/odom", "/tf_static")
    )
    assert not found.fullmatch("/points")


def test_record_node_records_where_it_is_not_or_motion_matters(monkeypatch, capsys):
    moving = RecordSettings("drive", ("/cam/image_raw",), min_motion=8)
    monkeypatch.setattr(command, "has_rosbag2", lambda: True)
    assert not takes_rosbag2("auto", moving) and takes_rosbag2("rosbag2", RecordSettings("drive"))
    with pytest.raises(ConfigError, match="min_motion is 8, which rosbag2 cannot do"):
        takes_rosbag2("rosbag2", moving)
    monkeypatch.setattr(command, "has_rosbag2", lambda: False)
    assert not takes_rosbag2("auto", RecordSettings("drive"))
    with pytest.raises(ConfigError, match="not installed – install ros2bag and rosbag2_storage_mcap, or leave"):
        takes_rosbag2("rosbag2", RecordSettings("drive"))
    ours = record_command(moving, rosbag2=False, python="python")
    assert ours == [
        "python",
        "-m",
        "scdepth_ros.record_node",
        "drive",
        "--min-motion",
        "8",
        "--topics",
        "/cam/image_raw",
    ]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(ours[3:])
    with pytest.raises(SystemExit):
        parser.parse_args(["drive", "--topics", "a-b"])
    assert "'a-b' is not a topic" in capsys.readouterr().err
    assert args.out == "drive" and args.topics == ["/cam/image_raw"] and args.min_motion == 8
    assert record_command(RecordSettings(""), rosbag2=False)[1:] == ["-m", "scdepth_ros.record_node"]


def test_recording_and_reading_bags_need_no_pytorch():
    """A robot that records must not wait seconds for a library that it does not use."""
    modules = "scdepth_ros.record_node, scdepth_ros.export_tum, scdepth_ros.view, scdepth_ros.play_bag"
    check = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
