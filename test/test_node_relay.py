"""The picture that belongs to the depth, calibrations of the very stamp, drivers that restart, double transitions."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from ros_harness import BEST_EFFORT, CAMERA, PICTURE, running_node, stamps
from sensor_msgs.msg import CameraInfo, Image

from scdepth_ros.messages import decode_image
from scdepth_ros.topics import DEPTH, RGB, RGB_INFO

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def node(untrained_weights, bench):
    """On a simulated clock that nobody drives: stamps count, the time of day does not."""
    with running_node(bench, untrained_weights, "camera_info_sync:=exact", "use_sim_time:=true") as process:
        yield process


def test_the_relay_alone_does_not_run_the_network(node, bench):
    rgb, info = bench.listen(RGB, Image), bench.listen(RGB_INFO, CameraInfo)
    sent = bench.send(info=bench.info())
    assert np.array_equal(decode_image(bench.answer(rgb, sent)), PICTURE)
    assert list(bench.answer(info, sent).k) == CAMERA.K.ravel().tolist()
    values = bench.diagnostics()["depth"][2]
    assert values["frames_relayed"] == "1" and values["frames_out"] == "0"


def test_picture_calibration_and_depth_have_one_header(node, bench):
    topics = {RGB: Image, RGB_INFO: CameraInfo, DEPTH: Image, "depth/camera_info": CameraInfo}
    bench.ignore(RGB, RGB_INFO)
    received = {topic: bench.listen(topic, kind) for topic, kind in topics.items()}
    for _ in range(3):
        sent = bench.send(info=bench.info())
        headers = [bench.answer(messages, sent).header for messages in received.values()]
        assert all(header == sent.header for header in headers)


def test_with_exact_sync_only_the_calibration_of_the_same_stamp_counts(node, bench):
    depth, info = bench.received[DEPTH], bench.received["depth/camera_info"]
    sent = bench.send()  # the camera_info that came last has another stamp
    bench.answer(depth, sent)
    bench.spin_for(0.2)
    assert stamps([sent])[0] not in stamps(info)
    assert "no camera_info" in node.output
    late = bench.picture()
    bench.images.publish(late)  # and one that travels behind its image is waited for
    bench.spin_for(0.05)
    behind = bench.info()
    behind.header = late.header
    bench.infos.publish(behind)
    bench.answer(info, late)


def test_a_driver_that_restarts_is_heard_again(node, bench):
    depth = bench.received[DEPTH]
    for publisher in (bench.images, bench.infos):
        bench.node.destroy_publisher(publisher)
    bench.spin_for(0.3)
    bench.images = bench.node.create_publisher(Image, "image", BEST_EFFORT)
    bench.infos = bench.node.create_publisher(CameraInfo, "camera_info", BEST_EFFORT)
    bench.wait_until_heard()
    bench.stamp += 5000  # its clock runs on
    bench.answer(depth, bench.send(info=bench.info()))
    bench.stamp = 3000  # stamps jump back, as in a bag that is played again
    bench.answer(depth, bench.send(info=bench.info()))


def test_every_transition_twice_and_in_the_middle_of_a_frame(node, bench):
    """The first of each pair works, the second is refused, and the node answers afterwards as before."""
    for _ in range(10):
        bench.send(info=bench.info())
    for transition in ("DEACTIVATE", "CLEANUP", "CONFIGURE", "ACTIVATE"):
        assert [bench.change_state(transition) for _ in range(2)] == [True, False], transition
    bench.wait_for(lambda: bench.node.count_publishers(DEPTH))
    bench.wait_until_heard()
    bench.answer(bench.received[DEPTH], bench.send(info=bench.info()))
