"""depth_node as users meet it: a process of its own, images and services over DDS, a network with random weights."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import torch
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from ros_harness import BEST_EFFORT, CAMERA, HEIGHT, TEST_MODULES, WIDTH, RosProcess, stamps, wait_for
from sensor_msgs.msg import CompressedImage, Image

from scdepth_core.checkpoint import save_weights
from scdepth_core.inference import DepthEstimator
from scdepth_core.networks import DepthNet
from scdepth_core.weights_metadata import WeightsMetadata
from scdepth_ros.messages import decode_depth, decode_image, decode_points

pytestmark = pytest.mark.timeout(90)

OK, WARN, ERROR = 0, 1, 2


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of a small network input, two metres per unit."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, DepthNet("resnet18").state_dict(), WeightsMetadata(height=64, width=96, metres_per_unit=2.0))
    return path


@pytest.fixture(scope="module")
def node(weights, bench):
    """An active depth_node, which has to survive all tests that use it."""
    process = RosProcess("scdepth_ros.depth_node", "--ros-args", "-p", f"weights:={weights}", "-p", "device:=cpu")
    process.wait_for_output("waiting for images")
    bench.wait_until_heard()
    bench.diagnostics()
    yield process
    seconds = process.stop(signal.SIGTERM)
    assert process.process.returncode == 0 and seconds < 2, process.output


@pytest.fixture(scope="module")
def results(node, bench):
    return bench.listen_to_results()


def answer(bench, results, sent, topic="depth/image_rect"):
    """The message of this topic that belongs to the image `sent`."""
    return bench.answer(results[topic], sent)


def set_parameters(bench, node_name="depth_node", atomically=False, **values):
    parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    if atomically:
        request = SetParametersAtomically.Request(parameters=parameters)
        return bench.call(f"/{node_name}/set_parameters_atomically", SetParametersAtomically, request).result
    request = SetParameters.Request(parameters=parameters)
    return bench.call(f"/{node_name}/set_parameters", SetParameters, request).results[0]


def test_nothing_is_computed_that_nobody_subscribes_to(node, bench):
    for _ in range(5):
        bench.send(info=bench.info())
        bench.spin_for(0.05)
    values = bench.wait_for(lambda: (v := bench.diagnostics()["depth"])[2]["frames_unwanted"] == "5" and v)
    assert values[2]["frames_out"] == "0" and "nobody subscribes" in values[1]


def test_one_image_gives_everything_under_its_own_header(results, bench, weights):
    sent = bench.send(info=bench.info())
    depth, info, points, color = (answer(bench, results, sent, topic) for topic in results)
    for msg in (depth, info, points, color):
        assert msg.header == sent.header
        assert (msg.width, msg.height) == (WIDTH, HEIGHT)
    assert (depth.encoding, depth.step, depth.is_bigendian) == ("32FC1", 4 * WIDTH, 0)
    expected = 2 * DepthEstimator.load(weights, "cpu").predict(decode_image(sent))
    np.testing.assert_allclose(decode_depth(depth), expected, rtol=1e-3)
    assert list(info.k) == CAMERA.K.ravel().tolist() and list(info.d) == [0] * 5
    assert list(info.p) == [*CAMERA.K[0], 0, *CAMERA.K[1], 0, *CAMERA.K[2], 0]
    cloud = np.frombuffer(points.data, np.float32).reshape(HEIGHT, WIDTH, 8)
    np.testing.assert_array_equal(cloud[..., 2], decode_depth(depth))
    assert color.encoding == "rgb8" and len(set(bytes(color.data))) > 1


def test_a_distorted_image_is_rectified(results, bench):
    info = bench.info()
    info.d = [0.3, 0.0, 0.0, 0.0, 0.0]  # pincushion: the rectified image has corners that the camera did not see
    bench.infos.publish(info)
    bench.spin_for(0.2)
    sent = bench.send()
    depth = decode_depth(answer(bench, results, sent))
    assert np.isnan(depth[0, 0]) and np.isfinite(depth[HEIGHT // 2, WIDTH // 2])
    published = answer(bench, results, sent, "depth/camera_info")
    assert not any(published.d) and list(published.k) == list(info.k)
    bench.infos.publish(bench.info())
    bench.spin_for(0.2)


def test_any_stamp_is_answered(results, bench):
    for sec, nanosec in [(0, 0), (-7, 5), (2**31 - 1, 2**32 - 1)]:
        msg = bench.picture()
        msg.header.stamp.sec, msg.header.stamp.nanosec = sec, nanosec
        assert answer(bench, results, bench.send(msg)).header == msg.header


def test_scale_and_rates_are_in_the_diagnostics(results, bench):
    answer(bench, results, bench.send(info=bench.info()))
    said = bench.diagnostics()
    assert said["scale"][:2] == (OK, "metric, 2 metres per unit") and said["camera_info"][1] == "calibrated"
    values = said["depth"][2]
    assert float(values["rate_out_hz"]) > 0 and 0 < float(values["latency_p50_ms"]) <= float(values["latency_p95_ms"])
    assert float(values["network_ms"]) > 0 and values["model"].endswith("on cpu")


def bad_images(bench):
    """Every kind of broken image, by the counter that it must land in."""

    def broken(**changes):
        msg = bench.picture()
        for name, value in changes.items():
            setattr(msg, name, value)
        return msg

    return {
        "wrong_size": broken(height=HEIGHT + 1),
        "wrong_step": broken(step=WIDTH),
        "unknown_encoding": broken(encoding="hdr10"),
        "empty_data": broken(data=[]),
    }


def test_every_kind_of_broken_image_is_counted_and_said_once(results, node, bench):
    for msg in 3 * list(bad_images(bench).values()):
        bench.send(msg)
        bench.spin_for(0.05)
    answer(bench, results, bench.send())  # and the next good one is as welcome as ever
    _, sentence, values = bench.diagnostics()["input"]
    for kind in bad_images(bench):
        assert values[kind] == "3" and node.output.count(f"[{kind}: ") == 1, node.output
    assert values["internal_error"] == "0"
    assert "could not be used" in sentence


def broken_infos(bench):
    """Camera calibrations that no cloud can be made with, by counter."""
    nan, zero, other = bench.info(), bench.info(), bench.info()
    nan.k = [float("nan")] * 9
    zero.k = [0.0] * 9
    other.width *= 2
    return {"bad_camera_info": nan, "uncalibrated": zero, "camera_size_mismatch": other}


def test_without_a_usable_calibration_there_is_depth_but_no_cloud(results, node, bench):
    for kind, info in broken_infos(bench).items():
        bench.infos.publish(info)
        bench.spin_for(0.2)
        sent = bench.send()
        assert np.isfinite(decode_depth(answer(bench, results, sent))).all()
        bench.spin_for(0.2)
        assert stamps([sent])[0] not in stamps(results["points"] + results["depth/camera_info"])
        assert node.output.count(f"[{kind}: ") == 1
    level, sentence, values = bench.diagnostics()["camera_info"]
    assert level == WARN and "no cloud" in sentence and all(int(values[kind]) >= 1 for kind in broken_infos(bench))
    bench.infos.publish(bench.info())
    bench.spin_for(0.2)
    answer(bench, results, bench.send(), "points")


def test_the_newest_frame_wins(results, bench):
    before = bench.diagnostics()["depth"][2]
    first = len(results["depth/image_rect"])
    for _ in range(40):
        sent = bench.send()
        time.sleep(0.002)
    answer(bench, results, sent)
    answered = stamps(results["depth/image_rect"][first:])
    assert answered == sorted(answered) and len(answered) < 40 and answered[-1] == stamps([sent])[0]
    said = bench.diagnostics()
    assert int(said["depth"][2]["frames_replaced"]) > int(before["frames_replaced"])
    counts = {**said["input"][2], **said["depth"][2]}
    unused = sum(int(counts[kind]) for kind in ("wrong_size", "wrong_step", "unknown_encoding", "empty_data"))
    ends = sum(int(counts[name]) for name in ("frames_out", "frames_replaced", "frames_unwanted"))
    assert int(counts["frames_in"]) == ends + unused  # every image ended in one way that is counted


def test_parameters_take_effect_at_once(results, bench):
    metres = decode_depth(answer(bench, results, bench.send()))
    assert set_parameters(bench, metres_per_unit=4).successful  # a whole number does for a double
    np.testing.assert_allclose(decode_depth(answer(bench, results, bench.send())), 2 * metres, rtol=1e-6)
    assert set_parameters(bench, atomically=True, metres_per_unit=0.0, depth_encoding="16UC1").successful
    depth = answer(bench, results, bench.send())
    assert (depth.encoding, depth.step) == ("16UC1", 2 * WIDTH)
    np.testing.assert_allclose(decode_depth(depth), metres, atol=6e-4)
    assert set_parameters(bench, atomically=True, cloud_decimation=2, depth_encoding="32FC1").successful
    padded = answer(bench, results, bench.send(), "points")
    assert (padded.width, padded.point_step) == (WIDTH // 2, 32)
    assert set_parameters(bench, cloud_layout="packed").successful
    packed = answer(bench, results, bench.send(), "points")
    assert (packed.width, packed.point_step, len(packed.data)) == (WIDTH // 2, 16, len(padded.data) // 2)
    np.testing.assert_array_equal(decode_points(packed), decode_points(padded))
    assert set_parameters(bench, atomically=True, cloud_decimation=1, cloud_layout="pcl").successful


def test_a_batch_with_a_wrong_value_changes_nothing(results, bench):
    metres = decode_depth(answer(bench, results, bench.send()))
    for values, words in [
        ({"metres_per_unit": 3.0, "min_depth": 9.0, "max_depth": 4.0}, "min_depth is 9 and max_depth is 4"),
        ({"metres_per_unit": 3.0, "depth_encoding": "64FC1"}, "32FC1 or 16UC1"),
        ({"metres_per_unit": -3.0}, "metres_per_unit"),
        ({"metres_per_unit": 3.0, "device": "auto"}, "deactivate and clean it up first"),
        ({"autostart": False}, "read-only"),
    ]:
        result = set_parameters(bench, atomically=True, **values)
        assert not result.successful and words in result.reason
    np.testing.assert_array_equal(decode_depth(answer(bench, results, bench.send())), metres)


def test_a_mismatched_subscriber_is_told_how_to_match(node, bench):
    late = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    subscription = bench.node.create_subscription(Image, "depth/image_rect", lambda _: None, late)
    fix = "qos_overrides./depth/image_rect.publisher.durability:=transient_local"
    bench.wait_for(lambda: fix in node.output, what="a hint at the fix")
    bench.node.destroy_subscription(subscription)


def test_images_lost_on_the_way_are_counted_and_said_with_the_cure(node, bench):
    camera = RosProcess("large_images", "/image", env=TEST_MODULES)
    cure = "images of /image were lost on the way: most often the shared-memory segment of the sender is too small"
    try:
        bench.wait_for(lambda: cure in node.output, what="a sentence about lost images")
    finally:
        camera.stop()
    assert "start the camera driver with the transport profile: eval" in node.output

    def counted():  # diagnostics of before may still be on their way
        return int(bench.diagnostics()["input"][2]["frames_lost"]) >= 1

    bench.wait_for(counted, what="a count of lost images")


# A node that goes through its lifecycle by hand


class Lifecycle:
    """The lifecycle services of /second/depth_node."""

    def __init__(self, bench):
        self.bench = bench

    @property
    def state(self):
        return self.bench.call("/second/depth_node/get_state", GetState, GetState.Request()).current_state.label

    def change(self, name):
        return self.bench.change_state(name.upper(), node="/second/depth_node")


def test_the_lifecycle_in_every_sensible_order(weights, bench, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nonsense")
    process = RosProcess(
        "scdepth_ros.depth_node",
        *("--ros-args", "-p", f"weights:={broken}", "-p", "max_dept:=3.0"),
        *("-r", "__ns:=/second", "-r", "/second/image:=/image", "-r", "/second/camera_info:=/camera_info"),
    )
    node = Lifecycle(bench)
    others = bench.images.get_subscription_count()

    def subscribed():
        return bench.images.get_subscription_count() > others

    try:
        process.wait_for_output("cannot configure: ")  # autostart came as far as this file, and the node lives on
        assert node.state == "unconfigured"
        assert str(broken) in process.output and "'max_dept' is not one of" in process.output
        assert not node.change("activate") and node.state == "unconfigured"  # rclpy alone would die of this
        assert not node.change("configure") and node.state == "unconfigured"
        assert process.output.count("cannot configure: ") == 2 and "Traceback" not in process.output
        assert set_parameters(bench, "second/depth_node", weights=str(weights)).successful
        assert node.change("configure") and node.state == "inactive" and not subscribed()
        depth = bench.listen("/second/depth/image_rect", Image)
        for _ in range(2):
            assert node.change("activate") and node.state == "active"
            bench.wait_for(subscribed)
            bench.spin_for(0.2)
            answer(bench, {"depth": depth}, bench.send(), "depth")
            assert node.change("deactivate") and node.state == "inactive"
            bench.wait_for(lambda: not subscribed())
        assert not set_parameters(bench, "second/depth_node", image_transport="compressed").successful
        assert node.change("cleanup") and node.state == "unconfigured"
        assert set_parameters(bench, "second/depth_node", image_transport="compressed").successful
        assert node.change("configure") and node.change("activate")
        jpegs = bench.node.create_publisher(CompressedImage, "/image/compressed", BEST_EFFORT)
        bench.wait_for(jpegs.get_subscription_count, what="a subscription to /image/compressed")
        msg = CompressedImage(header=bench.header(), format="jpeg")
        msg.data = cv2.imencode(".jpg", decode_image(bench.picture()))[1].tobytes()
        bench.spin_for(0.2)
        jpegs.publish(msg)
        answer(bench, {"depth": depth}, msg, "depth")
        assert node.change("active_shutdown") and node.state == "finalized"
    finally:
        seconds = process.stop(signal.SIGINT)
    assert process.process.returncode == 0 and seconds < 2, process.output


# Starting and ending


def test_a_wrong_parameter_at_start_is_one_sentence():
    process = RosProcess("scdepth_ros.depth_node", "--ros-args", "-p", "device:=toaster")
    assert process.process.wait(20) == 1
    wait_for(lambda: "device is 'toaster', expected auto, cpu, cuda or cuda:N" in process.output, 2)
    assert "Traceback" not in process.output


def test_asked_to_end_while_pytorch_is_being_imported(weights):
    process = RosProcess("scdepth_ros.depth_node", "--ros-args", "-r", "__node:=fourth", "-p", f"weights:={weights}")
    maps = Path(f"/proc/{process.process.pid}/maps")
    wait_for(lambda: "libtorch" in maps.read_text(), step=lambda: time.sleep(0.005), what="the import of torch")
    assert process.stop(signal.SIGTERM) < 2
    assert process.process.returncode == 0 and "Traceback" not in process.output, process.output


def segments_of(process: int | str) -> set[str]:
    """Fast DDS's shared-memory segments that a process has mapped."""
    return set(re.findall(r"/dev/shm/fastrtps_[0-9a-f]{16}", Path(f"/proc/{process}/maps").read_text()))


def test_its_end_leaves_no_shared_memory(weights):
    ours = segments_of("self")
    process = RosProcess("scdepth_ros.depth_node", "--ros-args", "-r", "__node:=fifth", "-p", f"weights:={weights}")
    try:
        process.wait_for_output("waiting for images")
        own = segments_of(process.process.pid) - ours
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(5) == 0
        assert own and not [segment for segment in own if Path(segment).exists()]
    finally:
        process.stop()


def test_importing_the_node_does_not_import_pytorch():
    code = "import sys, scdepth_ros.depth_node; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
