"""What depth_node cannot begin with, and how it says so; no network is loaded."""

import traceback
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo

from scdepth_core.errors import CameraError, ConfigError
from scdepth_core.scale import ScaleSettings
from scdepth_ros import scale_inputs
from scdepth_ros.depth_node import DepthNode
from scdepth_ros.inputs import Calibration
from scdepth_ros.transitions import FAILURE, SUCCESS

pytestmark = pytest.mark.timeout(90)


def make_node(bench, **values):
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return DepthNode(context=bench.context, parameter_overrides=overrides)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("cloud_layout", "xyz", "cloud_layout is 'xyz', expected pcl or packed"),
        ("cloud_decimation", 0, "cloud_decimation is 0, expected 1 to 64"),
        ("cloud_decimation", "abc", "cloud_decimation is 'abc', expected an integer"),
        ("max_depth", -5.0, "max_depth is -5.0, expected 0 to 10000"),
        ("max_depth", "far", "max_depth is 'far', expected a number"),
        ("edge_slope", float("nan"), "edge_slope is nan, expected 0 to 1000"),
        ("weights", 5, "weights is 5, expected text"),
        ("autostart", 3, "autostart is 3, expected true or false"),
        ("scale.min_travel", 0.0, "scale.min_travel is 0.0, expected 0.001 to 100"),
        (
            "qos_overrides./diagnostics.publisher.reliability",
            "bogus",
            "the publisher of '/diagnostics' cannot be made: .*bogus.* – leave out "
            r"qos_overrides./diagnostics.publisher.\*, or set .*reliability to reliable or best_effort",
        ),
        (
            "qos_overrides./diagnostics.publisher.depth",
            -3,
            "the publisher of '/diagnostics' cannot be made: .*depth to",
        ),
        (
            "qos_overrides./diagnostics.publisher.depth",
            "x",
            "'/diagnostics' cannot be made: .*expecting type 'INTEGER'",
        ),
    ],
)
def test_an_initial_value_that_is_not_allowed_is_one_sentence(bench, name, value, words):
    with pytest.raises(ConfigError, match=words) as caught:
        make_node(bench, **{name: value})
    assert "\n" not in str(caught.value)


def loaded(node, monkeypatch):
    """Let it configure without a network."""
    work = dict.fromkeys(("apply", "open", "close", "handle"), lambda *_: None)
    pipeline = SimpleNamespace(is_metric=True, scale=1.0)
    monkeypatch.setattr(
        node, "_load_processor", lambda: SimpleNamespace(pipeline=pipeline, scale=None, stages={}, **work)
    )


@pytest.mark.parametrize("topic", ["image", "camera_info"])
def test_an_activate_that_fails_is_said_and_leaves_the_node_inactive(bench, monkeypatch, topic):
    node = make_node(bench, **{f"qos_overrides./{topic}.subscription.reliability": "bogus"})
    loaded(node, monkeypatch)
    bench.executor.add_node(node)
    try:
        assert node.trigger_configure() == SUCCESS
        for _ in range(2):
            assert node.trigger_activate() == FAILURE
        level, sentence, _ = bench.diagnostics()["depth"]
        assert level == 2 and sentence.startswith(f"activate failed: the subscription of '/{topic}' cannot be made: ")
        assert bench.diagnostics()["input"][1] == "inactive, no images expected"
        assert not bench.images.get_subscription_count() and not bench.infos.get_subscription_count()
        assert node.trigger_cleanup() == SUCCESS
        assert bench.diagnostics()["depth"][1] == "unconfigured"
    finally:
        bench.executor.remove_node(node)
        node.close()


def test_a_configure_that_fails_leaves_no_publisher(bench, monkeypatch):
    node = make_node(bench, **{"qos_overrides./rgb/image_rect_color.publisher.durability": "bogus"})
    loaded(node, monkeypatch)
    try:
        for _ in range(2):
            assert node.trigger_configure() == FAILURE
        names = {publisher.topic_name for publisher in node.publishers}
        assert not names & {"/depth/image_rect", "/points", "/rgb/image_rect_color"}
    finally:
        node.close()


def test_scale_inputs_that_cannot_be_had_leave_no_subscription(bench, monkeypatch):
    """Lidar points with an impossible QoS, where TF is listened to first."""
    closed = []
    listener = SimpleNamespace(close=lambda: closed.append(True))
    monkeypatch.setattr(scale_inputs, "has_transforms", lambda: True)
    monkeypatch.setattr(scale_inputs, "TransformListener", lambda *_: listener)
    overrides = [Parameter("qos_overrides./reference_points.subscription.durability", value="bogus")]
    node = rclpy.create_node("scale", context=bench.context, parameter_overrides=overrides)
    settings = ScaleSettings("reference_depth", reference=scale_inputs.POINTS)
    try:
        with pytest.raises(ConfigError, match="the subscription of '/reference_points' cannot be made"):
            scale_inputs.ScaleInputs(node, settings, lambda *_: None)
        assert closed and not list(node.subscriptions)
    finally:
        node.destroy_node()


def test_a_camera_without_calibration_keeps_no_frame_alive():
    """The same error for every frame; what it passed on its way stays in none of them."""
    calibration, lengths = Calibration(), []
    for _ in range(5):
        with pytest.raises(CameraError) as caught:
            calibration.camera(CameraInfo(width=64, height=48))
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert lengths[1:] == lengths[1:2] * 4
