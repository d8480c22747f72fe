"""A camera that never arrives: the log says why, once, and what to do."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from nav_msgs.msg import Odometry
from ros_harness import Bench
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from scdepth_ros.silence import SilenceWatch, why_silent, why_unmeasured

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


@pytest.fixture
def camera(bench):
    """Another node, and a way to let it publish."""
    node = rclpy.create_node("camera", context=bench.context)

    def publish(kind, topic):
        node.create_publisher(kind, topic, 1)
        bench.wait_for(lambda: bench.node.count_publishers(topic), what=f"a publisher of {topic}")

    yield publish
    node.destroy_node()


@pytest.mark.parametrize(
    "kind, topic, wanted, words",
    [
        (
            CompressedImage,
            "/a/compressed",
            RAW,
            f"it carries {COMPRESSED}, not {RAW} – set image_transport:=compressed and image:=/a",
        ),
        (CompressedImage, "/b", RAW, "– set image_transport:=compressed and image/compressed:=/b"),
        (Image, "/c/compressed", COMPRESSED, "– set image_transport:=raw and image:=/c/compressed"),
        (PointCloud2, "/d", RAW, "it carries sensor_msgs/msg/PointCloud2, not sensor_msgs/msg/Image; "),
        (Image, "/e", RAW, "it is published, but nothing comes – see whether the camera sends: ros2 topic hz /e"),
    ],
)
def test_a_topic_of_another_type_is_named_with_the_way_out(bench, camera, kind, topic, wanted, words):
    camera(kind, topic)
    assert words in why_silent(bench.node, topic, wanted)


def test_where_nobody_publishes_other_image_topics_are_named(bench, camera):
    for kind, topic in ((Image, "/left/image"), (CompressedImage, "/left/image/compressed"), (PointCloud2, "/points")):
        camera(kind, topic)
    sentence = why_silent(bench.node, "/nothing", RAW)
    assert sentence.startswith("nobody publishes it; images are on ")
    assert "/left/image, /left/image (compressed)" in sentence and "/points" not in sentence
    assert bench.images.topic_name not in sentence.split()  # what the node itself publishes is no camera


ODOMETRY = "nav_msgs/msg/Odometry"


@pytest.fixture
def listener():
    """A node that waits for odometry on /odom, with a DDS participant of its own."""
    other = Bench("listener")
    other.node.create_subscription(Odometry, "/odom", print, 1)
    yield other
    other.close()


def test_what_the_scale_would_be_measured_with_is_looked_for(bench, camera, listener):
    cure = "remap odom:=TOPIC"
    nobody = f"nobody publishes it; no {ODOMETRY} is published elsewhere – {cure}"
    assert why_unmeasured(bench.node, "/odom", ODOMETRY, cure) == nobody
    bench.wait_for(lambda: bench.node.count_subscribers("/odom"), what="the listener")
    camera(PointCloud2, "/odom")
    camera(Odometry, "/wheels")
    wrong = f"it carries sensor_msgs/msg/PointCloud2, not {ODOMETRY}; {ODOMETRY} is on /wheels – {cure}"
    assert why_unmeasured(bench.node, "/odom", ODOMETRY, cure) == wrong
    assert "ros2 topic hz /wheels" in why_unmeasured(bench.node, "/wheels", ODOMETRY, cure)


def test_the_log_says_once_that_the_scale_cannot_be_measured(bench, capfd):
    watch = SilenceWatch(bench.node)
    inputs = SimpleNamespace(topic="/tf", message_type="", cure="", since_message=60.0)
    assert watch.look_at_scale(None) == watch.look_at_scale(inputs) == ""
    inputs = SimpleNamespace(topic="/depth", message_type=RAW, cure="remap it", since_message=4.9)
    assert watch.look_at_scale(inputs) == ""
    inputs.since_message = 5.0
    assert watch.look_at_scale(inputs) and watch.look_at_scale(inputs)
    said = "nothing to measure the scale with for 5 s on /depth: nobody publishes it; "
    assert capfd.readouterr().err.count(said) == 1


def test_the_log_says_it_once_and_again_when_the_cause_changes_or_images_stop_once_more(bench, camera, capfd):
    watch, inputs = SilenceWatch(bench.node), SimpleNamespace(image_topic="/late", image_type=RAW)

    def said():
        return capfd.readouterr().err.count("no image for ")

    assert [watch.look(None, 60.0), watch.look(inputs, 4.9), said()] == ["", "", 0]
    assert watch.look(inputs, 5.0).startswith("nobody publishes it") and watch.look(inputs, 6.0) and said() == 1
    camera(CompressedImage, "/late")
    assert watch.look(inputs, 7.0).startswith("it carries") and watch.look(inputs, 8.0) and said() == 1
    assert watch.look(inputs, 0.1) == "" and watch.look(inputs, 5.0) and said() == 1
