"""depth_node with each backend over real DDS: the same depth, and the diagnostics say what computes it."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import numpy as np
import torch
from ros_harness import RosProcess, running_node
from sensor_msgs.msg import Image

from scdepth_core.inference import DepthEstimator
from scdepth_core.inference.backends import KINDS
from scdepth_core.inference.backends.libraries import is_installed
from scdepth_core.machine import cpu_features
from scdepth_core.networks import DepthNet, PoseNet
from scdepth_ros.messages import decode_depth, decode_image

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("backend", "precision", "tolerance"),
    [
        ("torch", "bfloat16", 2e-2),
        ("onnxruntime", "float32", 1e-4),
        ("openvino", "float32", 1e-4),
        ("openvino", "bfloat16", 2e-2),
        ("ncnn", "float32", 1e-4),
    ],
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


def refused(weights, sentence, *options):
    """Start a node that cannot be configured, and see that it says so."""
    given = [word for option in (f"weights:={weights}", "device:=cpu", *options) for word in ("-p", option)]
    node = RosProcess("scdepth_ros.depth_node", "--ros-args", "-r", "__node:=chosen", *given)
    try:
        node.wait_for_output(f"cannot configure: {sentence}", timeout=60)
        assert "Traceback" not in node.output
    finally:
        node.stop()


def test_a_backend_that_is_not_there_is_one_sentence(untrained_weights):
    refused(untrained_weights, "backend cuda-graph runs on CUDA only", "backend:=cuda-graph")


def test_a_posenet_of_another_training_is_one_sentence(untrained_weights, tmp_path):
    networks = {"depth_net.": DepthNet("resnet18"), "pose_net.": PoseNet()}
    state = {prefix + name: value for prefix, net in networks.items() for name, value in net.state_dict().items()}
    samples = {"height": 64, "width": 96}
    torch.save({"state_dict": state, "datamodule_hyper_parameters": samples}, tmp_path / "other.ckpt")
    options = ("backend:=torch", "temporal_tolerance:=0.1", f"motion_weights:={tmp_path / 'other.ckpt'}")
    refused(untrained_weights, f"the PoseNet of '{tmp_path / 'other.ckpt'}' was trained with DepthNet", *options)
