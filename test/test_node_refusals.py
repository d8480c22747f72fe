"""What depth_node cannot begin with, and how it says so; no network is loaded."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.parameter import Parameter

from scdepth_core.errors import ConfigError
from scdepth_ros.depth_node import DepthNode
from scdepth_ros.transitions import FAILURE, SUCCESS

pytestmark = pytest.mark.timeout(90)


def make_node(bench, **values):
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return DepthNode(context=bench.context, parameter_overrides=overrides)


@pytest.mark.parametrize(
    "name, value, words",
    [
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


@pytest.mark.parametrize("topic", ["image", "camera_info"])
def test_an_activate_that_fails_is_said_and_leaves_the_node_inactive(bench, monkeypatch, topic):
    node = make_node(bench, **{f"qos_overrides./{topic}.subscription.reliability": "bogus"})
    work = dict.fromkeys(("apply", "open", "close", "handle"), lambda *_: None)
    pipeline = SimpleNamespace(is_metric=True, scale=1.0)
    monkeypatch.setattr(
        node, "_load_processor", lambda: SimpleNamespace(pipeline=pipeline, scale=None, stages={}, **work)
    )
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
