"""depth_node with TF over DDS, where tf2_msgs is installed: travel, height and the place of a lidar."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("tf2_msgs.msg", reason="tf2_msgs is not installed; it is on no registry and comes with ROS 2")

from geometry_msgs.msg import TransformStamped
from noise_samples import measured_depth
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from ros_harness import BEST_EFFORT, PICTURE, RELIABLE, running_node
from sensor_msgs.msg import Image, PointCloud2
from test_node_scale import cloud
from tf2_msgs.msg import TFMessage

from scdepth_core.inference import DepthEstimator
from scdepth_ros.messages import decode_depth
from scdepth_ros.messages.encode import fill

pytestmark = pytest.mark.timeout(180)

CAMERA_FRAME = "camera_color_optical_frame"
LATCHED = QoSProfile(
    depth=10, reliability=QoSReliabilityPolicy.RELIABLE, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL
)


def transform(parent, child, translation, stamp=None):
    entry = TransformStamped(child_frame_id=child)
    entry.header.frame_id = parent
    if stamp is not None:
        entry.header.stamp = stamp
    t = entry.transform.translation
    t.x, t.y, t.z = map(float, translation)
    entry.transform.rotation.w = 1.0
    return entry


@pytest.fixture(scope="module")
def transforms(bench):
    """Publishers of /tf and /tf_static; the latter has told where camera and lidar are."""
    moving, fixed = (
        bench.node.create_publisher(TFMessage, *topic) for topic in (("/tf", RELIABLE), ("/tf_static", LATCHED))
    )
    camera = transform("base_link", CAMERA_FRAME, (0.3, 0, 0.5))
    fixed.publish(TFMessage(transforms=[camera, transform(CAMERA_FRAME, "lidar", (0, -0.2, 0.1))]))
    return moving, fixed


def frames(bench, depths, count, publish):
    for index in range(count):
        msg = bench.picture()
        publish(index, msg.header.stamp)
        depth = bench.answer(depths, bench.send(msg, bench.info()))
    return decode_depth(depth)


def scale_of(bench):
    return bench.diagnostics()["scale"][2]


def test_travel_comes_from_transforms(bench, transforms, untrained_weights):
    moving, _ = transforms
    with running_node(bench, untrained_weights, "scale.source:=odometry", "scale.fixed_frame:=odom") as node:
        depths = bench.listen("depth/image_rect", Image)
        bench.wait_for(moving.get_subscription_count, what="a subscription to /tf")

        def drive(index, stamp):
            moving.publish(TFMessage(transforms=[transform("odom", "base_link", (0.001 * index, 0, 0), stamp)]))

        frames(bench, depths, 6, drive)
        values = scale_of(bench)
        assert values["topic"] == "/tf" and "no_transform" not in node.output
        assert int(values["refused: not far enough from the last key frame"]) >= 3, values
        bench.ignore("depth/image_rect")


def test_lidar_points_are_placed_by_transforms(bench, transforms, untrained_weights):
    parameters = ("scale.source:=reference_depth", "scale.reference:=points", "scale.max_step:=0.1")
    with running_node(bench, untrained_weights, *parameters):
        depths = bench.listen("depth/image_rect", Image)
        publisher = bench.node.create_publisher(PointCloud2, "reference_points", BEST_EFFORT)
        bench.wait_for(publisher.get_subscription_count, what="a subscription to reference_points")
        units = DepthEstimator.load(untrained_weights, "cpu").predict(PICTURE)
        message, scanned = cloud(measured_depth(units, 3)), PointCloud2()
        points = np.frombuffer(message.data, np.float32).reshape(-1, 3) - np.float32([0, -0.2, 0.1])
        fill(scanned.data, points.astype(np.float32))
        message.data = scanned.data
        message.header.frame_id = "lidar"

        def scan(index, stamp):
            message.header.stamp = stamp
            publisher.publish(message)

        np.testing.assert_allclose(frames(bench, depths, 12, scan), 3 * units, rtol=0.02)
        bench.ignore("depth/image_rect")


def test_height_comes_from_transforms(bench, transforms, untrained_weights):
    """The untrained network sees no ground, and says so: the pose over it has come."""
    moving, _ = transforms
    with running_node(bench, untrained_weights, "scale.source:=camera_height", "scale.ground_frame:=base_link"):
        depths = bench.listen("depth/image_rect", Image)
        bench.wait_for(moving.get_subscription_count, what="a subscription to /tf")
        frames(bench, depths, 4, lambda index, stamp: bench.spin_for(0.1))
        refused = {name: int(count) for name, count in scale_of(bench).items() if name.startswith("refused")}
        assert refused and "refused: no transform to the ground at the image's stamp" not in refused, refused
        bench.ignore("depth/image_rect")
