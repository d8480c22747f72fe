"""The node's scale over DDS: measured while it runs, frozen, forgotten and saved."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from nav_msgs.msg import Odometry
from noise_samples import measured_depth
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_harness import BEST_EFFORT, CAMERA, PICTURE, TEST_MODULES, RosProcess, running_node
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Float64
from std_srvs.srv import SetBool, Trigger

from scdepth_core.checkpoint import load_weights, save_weights
from scdepth_core.inference import DepthEstimator
from scdepth_core.weights_metadata import WeightsMetadata
from scdepth_ros.messages import decode_depth, encode_depth
from scdepth_ros.messages.encode import fill

pytestmark = pytest.mark.timeout(180)

OK, WARN = 0, 1
SCALE = 3.0


@pytest.fixture(scope="module")
def weights(tmp_path_factory, untrained_network):
    """Random weights that nobody knows the scale of."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, untrained_network.state_dict(), WeightsMetadata(height=64, width=96))
    return path


@pytest.fixture
def known_scale(weights):
    """From the next configure on, the weights say the scale, whichever tests ran before."""
    state, metadata = load_weights(weights)
    save_weights(weights, state, replace(metadata, metres_per_unit=SCALE))


@pytest.fixture(scope="module")
def node(weights, bench):
    with running_node(bench, weights, "scale.source:=reference_depth", "scale.max_step:=0.1") as process:
        yield process


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


def measure_by_reference(bench, depths, units, scale):
    """Twelve frames beside a reference depth that makes a unit `scale` metres; returns the depth of the last one."""
    publisher = bench.node.create_publisher(Image, "reference_depth", BEST_EFFORT)
    bench.wait_for(publisher.get_subscription_count, what="a subscription to reference_depth")
    reference = encode_depth(measured_depth(units, scale), bench.header())
    for _ in range(12):
        metres = send(bench, depths, reference, publisher)
    bench.node.destroy_publisher(publisher)
    return metres


def test_reference_depth_that_never_comes_is_said_with_the_reason(node, bench):
    wrong = bench.node.create_publisher(PointCloud2, "reference_depth", BEST_EFFORT)
    said = "s on /reference_depth: it carries sensor_msgs/msg/PointCloud2, not sensor_msgs/msg/Image; "
    node.wait_for_output(said)
    cure = "remap reference_depth:=TOPIC, and let scale.reference say what comes on it"
    level, sentence, _ = bench.diagnostics()["scale"]
    bench.node.destroy_publisher(wrong)
    assert level == WARN and "nothing comes on /reference_depth: it carries" in sentence and sentence.endswith(cure)


def test_depth_becomes_metric_by_reference_depth(node, bench, depths, units, weights):
    assert "depth is not metric" in node.output
    np.testing.assert_allclose(send(bench, depths), units, rtol=1e-3)
    assert ask(bench, "save_scale") == (False, "the scale is not known yet, so there is nothing to save")
    level, sentence, values = bench.diagnostics()["scale"]
    assert level == WARN and sentence.startswith("not metric") and values["source"] == "reference_depth"
    scales = bench.listen("/depth_node/scale", Float64)
    np.testing.assert_allclose(measure_by_reference(bench, depths, units, SCALE), SCALE * units, rtol=2e-3)
    bench.wait_for(lambda: scales and abs(scales[-1].data - SCALE) < 0.01, what="~/scale")
    level, sentence, values = bench.diagnostics()["scale"]
    assert level == OK and sentence.startswith("metric, 3 metres per unit ±") and values["frozen"] == "false"
    assert float(values["metres_per_unit"]) == pytest.approx(SCALE, rel=2e-3) and int(values["measurements"]) >= 5


def test_a_frozen_scale_stays_and_is_saved(node, bench, depths, units, weights):
    measure_by_reference(bench, depths, units, SCALE)
    success, message = ask(bench, "freeze_scale", SetBool, data=True)
    assert success and message.startswith("the scale is frozen at 3")
    np.testing.assert_allclose(measure_by_reference(bench, depths, units, 3 * SCALE), SCALE * units, rtol=2e-3)
    assert bench.diagnostics()["scale"][2]["frozen"] == "true"
    success, message = ask(bench, "save_scale")
    assert success and message.endswith(f"metres per unit written into '{weights}'")
    assert load_weights(weights)[1].metres_per_unit == pytest.approx(SCALE, rel=2e-3)
    assert ask(bench, "freeze_scale", SetBool, data=False)[0]
    success, message = ask(bench, "reset_scale")
    assert success and "starts from nothing" in message
    np.testing.assert_allclose(send(bench, depths), units, rtol=1e-3)


def test_what_the_scale_would_be_measured_with_and_is_lost_is_counted(node, bench):
    depth_camera = RosProcess("large_images", "/reference_depth", env=TEST_MODULES)
    try:
        sentence = "messages of /reference_depth, which measures the scale, were lost on the way: most often the shared"
        bench.wait_for(lambda: sentence in node.output, what="a sentence about lost reference depth")
    finally:
        depth_camera.stop()
    bench.wait_for(lambda: int(bench.diagnostics()["scale"][2]["scale_inputs_lost"]) >= 1, what="a count of them")


def change(bench, *transitions):
    for name in transitions:
        assert bench.change_state(name)


def measure_by(bench, topic, message, **parameters):
    """Configure the node anew with these parameters; returns a publisher of what it then listens to."""
    change(bench, "DEACTIVATE", "CLEANUP")
    assert ask(bench, "reset_scale") == (False, "the node is not configured, so there is no scale yet")
    changes = [Parameter(f"scale.{name}", value=value).to_parameter_msg() for name, value in parameters.items()]
    request = SetParameters.Request(parameters=changes)
    assert all(result.successful for result in bench.call("/depth_node/set_parameters", SetParameters, request).results)
    change(bench, "CONFIGURE", "ACTIVATE")
    bench.wait_until_heard()
    publisher = bench.node.create_publisher(message, topic, BEST_EFFORT)
    bench.wait_for(publisher.get_subscription_count, what=f"a subscription to {topic}")
    return publisher


def test_odometry_is_found_by_its_stamp(node, bench, depths, units, known_scale):
    publisher = measure_by(bench, "odom", Odometry, source="odometry")
    still = Odometry()
    still.pose.pose.orientation.w = 1.0
    for _ in range(3):
        metres = send(bench, depths, still, publisher)
    np.testing.assert_allclose(metres, SCALE * units, rtol=2e-3)  # begins with what the weights say
    _, sentence, values = bench.diagnostics()["scale"]
    assert values["source"] == "odometry" and values["topic"] == "/odom" and values["measured"] == "false"
    assert int(values["refused: not far enough from the last key frame"]) >= 1, values
    assert "not measured yet" in sentence


def test_with_a_fixed_scale_there_is_nothing_to_freeze(node, bench, known_scale):
    change(bench, "DEACTIVATE", "CLEANUP")
    request = SetParameters.Request(parameters=[Parameter("scale.source", value="fixed").to_parameter_msg()])
    assert bench.call("/depth_node/set_parameters", SetParameters, request).results[0].successful
    change(bench, "CONFIGURE", "ACTIVATE")
    success, message = ask(bench, "freeze_scale", SetBool, data=True)
    assert not success and message.startswith("scale.source is fixed")
    assert bench.diagnostics()["scale"][1] == "metric, 3 metres per unit"


def test_depth_as_png_is_reference_depth_too(node, bench, depths, units):
    kind = {"source": "reference_depth", "reference": "compressed"}
    publisher = measure_by(bench, "reference_depth/compressed", CompressedImage, **kind)
    png = cv2.imencode(".png", np.rint(measured_depth(units, 3500)).astype(np.uint16))[1]
    for _ in range(10):
        message = CompressedImage(format="16UC1; png")
        fill(message.data, png)
        metres = send(bench, depths, message, publisher)
    np.testing.assert_allclose(metres, 3.5 * units, rtol=0.01)
    assert bench.diagnostics()["scale"][2]["topic"] == "/reference_depth/compressed"


def cloud(depth):
    """A PointCloud2 of the bench's camera, in its own frame."""
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    points = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(CAMERA.K).T * depth[..., None]
    fields = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")]
    size = {"height": 1, "width": depth.size, "point_step": 12, "row_step": 12 * depth.size}
    message = PointCloud2(fields=fields, **size)
    fill(message.data, points.astype(np.float32))
    return message


def test_points_are_reference_depth_too_where_their_frame_is_known(node, bench, depths, units):
    publisher = measure_by(bench, "reference_points", PointCloud2, reference="points")
    points = cloud(measured_depth(units, 2.5))
    for _ in range(12):
        metres = send(bench, depths, points, publisher)
    np.testing.assert_allclose(metres, 2.5 * units, rtol=0.01)
    assert bench.diagnostics()["scale"][2]["topic"] == "/reference_points"
    for _ in range(2):
        msg = bench.picture()
        points.header.stamp, points.header.frame_id = msg.header.stamp, "roof_lidar"
        publisher.publish(points)
        bench.answer(depths, bench.send(msg, bench.info()))
    bench.wait_for(lambda: "no transform names the frame" in node.output, what="a sentence about the frame")


def test_transforms_need_their_message_package(node, bench):
    from scdepth_ros.transform_listener import has_transforms

    if has_transforms():
        pytest.skip("tf2_msgs is installed")
    change(bench, "DEACTIVATE", "CLEANUP")
    changes = {"scale.source": "odometry", "scale.fixed_frame": "odom"}
    request = SetParameters.Request(parameters=[Parameter(n, value=v).to_parameter_msg() for n, v in changes.items()])
    assert all(result.successful for result in bench.call("/depth_node/set_parameters", SetParameters, request).results)
    assert not bench.change_state("CONFIGURE")
    bench.wait_for(lambda: "cannot configure: scale.fixed_frame needs TF, and its message package" in node.output)
