"""depth_node with each backend over real DDS: the same depth, and the diagnostics say what computes it."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import numpy as np
from ros_harness import RosProcess, running_node
from sensor_msgs.msg import Image

from scdepth_core.inference import DepthEstimator
from scdepth_core.inference.backends import KINDS
from scdepth_core.inference.backends.libraries import is_installed
from scdepth_core.machine import cpu_features
from scdepth_ros.messages import decode_depth, decode_image

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("backend", "precision", "tolerance"),
    [("torch", "bfloat16", 2e-2), ("onnxruntime", "float32", 1e-4), ("openvino", "bfloat16", 2e-2)],
)
def test_the_node_runs_each_backend(untrained_weights, bench, backend, precision, tolerance):
    if not is_installed(*KINDS[backend].needs):
        pytest.skip(f"{', '.join(KINDS[backend].needs)} is not installed")
    if precision not in {"float32", *cpu_features()}:
        pytest.skip("this CPU has no bfloat16 instructions")
    options = ("device:=cpu", f"backend:={backend}", f"precision:={precision}")
    with running_node(bench, untrained_weights, *options, name="chosen") as node:
        assert f", {backend} {precision} on cpu" in node.output
        depth = bench.listen("depth/image_rect", Image)
        sent = None

        def answered():
            nonlocal sent
            sent = bench.send(info=bench.info())
            bench.spin_for(0.2)
            return depth

        bench.wait_for(answered, what="depth")
        expected = DepthEstimator.load(untrained_weights, "cpu", "torch").predict(decode_image(sent))
        assert np.abs(decode_depth(depth[-1]) / expected - 1).max() < tolerance
        bench.ignore("depth/image_rect")


def test_a_backend_that_is_not_there_is_one_sentence(untrained_weights):
    options = (f"weights:={untrained_weights}", "device:=cpu", "backend:=cuda-graph")
    given = [word for option in options for word in ("-p", option)]
    node = RosProcess("scdepth_ros.depth_node", "--ros-args", "-r", "__node:=chosen", *given)
    try:
        node.wait_for_output("cannot configure: backend cuda-graph runs on CUDA only", timeout=60)
        assert "Traceback" not in node.output
    finally:
        node.stop()
