"""The node's scale over DDS: measured while it runs, frozen, forgotten and saved."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_harness import BEST_EFFORT, PICTURE, Bench, RosProcess
from sensor_msgs.msg import Image
from std_msgs.msg import Float64
from std_srvs.srv import SetBool, Trigger

from scdepth_core.checkpoint import load_weights, save_weights
from scdepth_core.inference import DepthEstimator
from scdepth_core.weights_metadata import WeightsMetadata
from scdepth_ros.messages import decode_depth, encode_depth

pytestmark = pytest.mark.timeout(180)

OK, WARN = 0, 1
SCALE = 3.0


@pytest.fixture(scope="module")
def weights(tmp_path_factory, untrained_network):
    """Random weights that nobody knows the scale of."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, untrained_network.state_dict(), WeightsMetadata(height=64, width=96))
    return path


@pytest.fixture(scope="module")
def bench():
    bench = Bench("scale_bench")
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def node(weights, bench):
    options = ("-p", f"weights:={weights}", "-p", "scale.source:=reference_depth", "-p", "scale.max_step:=0.1")
    process = RosProcess("scdepth_ros.depth_node", "--ros-args", *options)
    process.wait_for_output("waiting for images")
    bench.wait_for(lambda: bench.images.get_subscription_count() and bench.infos.get_subscription_count())
    yield process
    process.stop()
    assert process.process.returncode == 0 and "Traceback" not in process.output, process.output


@pytest.fixture(scope="module")
def depths(node, bench):
    return bench.listen("depth/image_rect", Image)


@pytest.fixture(scope="module")
def units(weights):
    return DepthEstimator.load(weights, "cpu").predict(PICTURE)


def send(bench, depths, companion=None, publisher=None):
    """One image, after the message that is measured with; returns the depth that comes of it."""
    seen, msg = len(depths), bench.picture()
    if publisher is not None:
        companion.header = msg.header
        publisher.publish(companion)
    bench.send(msg, bench.info())
    bench.wait_for(lambda: len(depths) > seen, what="depth")
    return decode_depth(depths[-1])


def ask(bench, service, kind=Trigger, **request):
    answer = bench.call(f"/depth_node/{service}", kind, kind.Request(**request))
    return answer.success, answer.message


def test_depth_becomes_metric_by_reference_depth(node, bench, depths, units, weights):
    assert "depth is not metric" in node.output
    np.testing.assert_allclose(send(bench, depths), units, rtol=1e-3)
    assert ask(bench, "save_scale") == (False, "the scale is not known yet, so there is nothing to save")
    level, sentence, values = bench.diagnostics()["scale"]
    assert level == WARN and sentence.startswith("not metric") and values["source"] == "reference_depth"
    scales = bench.listen("/depth_node/scale", Float64)
    publisher = bench.node.create_publisher(Image, "reference_depth", BEST_EFFORT)
    bench.wait_for(publisher.get_subscription_count, what="a subscription to reference_depth")
    reference = encode_depth((SCALE * units).astype(np.float32), bench.header())
    for _ in range(12):
        metres = send(bench, depths, reference, publisher)
    np.testing.assert_allclose(metres, SCALE * units, rtol=2e-3)
    bench.wait_for(lambda: scales and abs(scales[-1].data - SCALE) < 0.01, what="~/scale")
    level, sentence, values = bench.diagnostics()["scale"]
    assert level == OK and sentence.startswith("metric, 3 metres per unit ±") and values["frozen"] == "false"
    assert float(values["metres_per_unit"]) == pytest.approx(SCALE, rel=2e-3) and int(values["measurements"]) >= 5


def test_a_frozen_scale_stays_and_is_saved(node, bench, depths, units, weights):
    success, message = ask(bench, "freeze_scale", SetBool, data=True)
    assert success and message.startswith("the scale is frozen at 3")
    publisher = bench.node.create_publisher(Image, "reference_depth", BEST_EFFORT)
    bench.wait_for(publisher.get_subscription_count, what="a subscription to reference_depth")
    for _ in range(8):
        metres = send(bench, depths, encode_depth((9 * units).astype(np.float32), bench.header()), publisher)
    np.testing.assert_allclose(metres, SCALE * units, rtol=2e-3)
    assert bench.diagnostics()["scale"][2]["frozen"] == "true"
    success, message = ask(bench, "save_scale")
    assert success and message.endswith(f"metres per unit written into '{weights}'")
    assert load_weights(weights)[1].metres_per_unit == pytest.approx(SCALE, rel=2e-3)
    assert ask(bench, "freeze_scale", SetBool, data=False)[0]
    success, message = ask(bench, "reset_scale")
    assert success and "starts from nothing" in message
    np.testing.assert_allclose(send(bench, depths), units, rtol=1e-3)


def change(bench, *transitions):
    for name in transitions:
        request = ChangeState.Request(transition=Transition(id=getattr(Transition, f"TRANSITION_{name}")))
        assert bench.call("/depth_node/change_state", ChangeState, request, timeout=60).success


def test_odometry_is_found_by_its_stamp(node, bench, depths, units):
    change(bench, "DEACTIVATE", "CLEANUP")
    assert ask(bench, "reset_scale") == (False, "the node is not configured, so there is no scale yet")
    request = SetParameters.Request(parameters=[Parameter("scale.source", value="odometry").to_parameter_msg()])
    assert bench.call("/depth_node/set_parameters", SetParameters, request).results[0].successful
    change(bench, "CONFIGURE", "ACTIVATE")
    publisher = bench.node.create_publisher(Odometry, "odom", BEST_EFFORT)
    bench.wait_for(publisher.get_subscription_count, what="a subscription to odom")
    still = Odometry()
    still.pose.pose.orientation.w = 1.0
    for _ in range(3):
        metres = send(bench, depths, still, publisher)
    np.testing.assert_allclose(metres, SCALE * units, rtol=2e-3)  # begins with what was saved
    _, sentence, values = bench.diagnostics()["scale"]
    assert values["source"] == "odometry" and values["topic"] == "/odom" and values["measured"] == "false"
    assert int(values["refused: not far enough from the last key frame"]) >= 1, values
    assert "not measured yet" in sentence


def test_with_a_fixed_scale_there_is_nothing_to_freeze(node, bench):
    change(bench, "DEACTIVATE", "CLEANUP")
    request = SetParameters.Request(parameters=[Parameter("scale.source", value="fixed").to_parameter_msg()])
    assert bench.call("/depth_node/set_parameters", SetParameters, request).results[0].successful
    change(bench, "CONFIGURE", "ACTIVATE")
    success, message = ask(bench, "freeze_scale", SetBool, data=True)
    assert not success and message.startswith("scale.source is fixed")
    assert bench.diagnostics()["scale"][1] == "metric, 3 metres per unit"
