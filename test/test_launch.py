"""The launch file under the real launch library (where it is installed), the DDS profile, the RViz view."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from scdepth_core import share
from scdepth_core.errors import ConfigError
from scdepth_ros import ros_packages
from scdepth_ros.slam import slam_nodes
from scdepth_ros.transport_env import PROFILES_FILE_VARIABLES, transport_env

ROOT = Path(__file__).parents[1]
LAUNCH_FILE = ROOT / "launch" / "depth.launch.py"
needs_ros = pytest.mark.skipif(importlib.util.find_spec("rclpy") is None, reason="ROS 2 is not installed")


def launch_is_installed():
    """The launch library, not this project's folder of that name, which Python takes for a package too."""
    try:
        return importlib.util.find_spec("launch.actions") is not None and importlib.util.find_spec("launch_ros")
    except ImportError:
        return False


needs_launch = pytest.mark.skipif(
    not launch_is_installed(), reason="launch and launch_ros are not installed (they come with a ROS 2 installation)"
)


# Shipped files, found from a checkout and from an installation


def test_files_are_found_beside_the_source():
    assert share.share_file("config/fastdds_camera.xml") == ROOT / "config" / "fastdds_camera.xml"
    with pytest.raises(ConfigError, match="config/nothing.xml' of scdepth_ros is missing"):
        share.share_file("config/nothing.xml")


def test_files_are_found_in_an_installation(tmp_path, monkeypatch):
    (tmp_path / "lib" / "python").mkdir(parents=True)
    file = tmp_path / "share" / "scdepth_ros" / "config" / "depth.rviz"
    file.parent.mkdir(parents=True)
    file.write_text("")
    monkeypatch.setattr(share, "__file__", str(tmp_path / "lib" / "python" / "scdepth_core" / "share.py"))
    monkeypatch.setattr(share.sys, "prefix", str(tmp_path))
    assert share.share_file("config/depth.rviz") == file  # pip install
    monkeypatch.setattr(share.sys, "prefix", "/nowhere")
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(["/opt/ros/other", str(tmp_path)]))
    assert share.share_file("config/depth.rviz") == file  # colcon build


# Transport


def test_the_users_own_transport_settings_win():
    added = transport_env({})
    assert {added[name] for name in PROFILES_FILE_VARIABLES} == {str(ROOT / "config" / "fastdds_camera.xml")}
    assert added["MALLOC_MMAP_THRESHOLD_"] == "33554432" and added["MALLOC_TRIM_THRESHOLD_"] == "1073741824"
    assert added["RMW_FASTRTPS_PUBLICATION_MODE"] == "ASYNCHRONOUS"
    for name in PROFILES_FILE_VARIABLES:  # either name keeps ours away
        assert not set(PROFILES_FILE_VARIABLES) & set(transport_env({name: "/their/own.xml"}))
    assert transport_env(dict.fromkeys(added, "theirs")) == {}


def test_transport_settings_as_shell_lines():
    lines = subprocess.run([sys.executable, "-m", "scdepth_ros.transport_env"], capture_output=True, text=True).stdout
    assert f"export FASTRTPS_DEFAULT_PROFILES_FILE={ROOT}/config/fastdds_camera.xml" in lines


def test_an_image_fits_into_the_shared_memory_many_times_over():
    tree = ElementTree.parse(ROOT / "config" / "fastdds_camera.xml")
    spaces = {"": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    assert int(tree.find(".//segment_size", spaces).text) >= 16 * 1920 * 1080
    assert tree.find(".//participant", spaces).get("is_default_profile") == "true"


RELAY = """
import sys, time, array, rclpy
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "image", QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT))
while not publisher.get_subscription_count():
    time.sleep(0.02)
time.sleep(0.3)
image = Image(height=480, width=640, step=1920, encoding="rgb8")
image.data = array.array("B", bytes(640 * 480 * 3))
for k in range(60):
    publisher.publish(image)
    time.sleep(1 / 30)
time.sleep(0.5)
"""
COUNT = """
import sys, rclpy, subprocess
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
camera = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
rclpy.init()
node = rclpy.create_node("viewer")
got = []
qos = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
subscription = node.create_subscription(Image, "image", lambda msg: got.append(len(msg.data)), qos)
while camera.poll() is None:
    rclpy.spin_once(node, timeout_sec=0.1)
print(len(got))
node.destroy_node()
rclpy.shutdown()
"""


@needs_ros
def test_with_the_profile_camera_images_arrive():
    """640x480 colour at 30 Hz, best effort, between two processes: without the profile a quarter gets through."""
    from ros_harness import DOMAIN

    given = {name: value for name, value in os.environ.items() if name not in PROFILES_FILE_VARIABLES}
    env = {**given, **transport_env(given), "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    run = subprocess.run([sys.executable, "-c", COUNT, RELAY], env=env, capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 54, f"{run.stdout} of 60 images arrived\n{run.stderr}"


# RViz


@needs_ros
def test_the_rviz_view_shows_our_topics():
    from scdepth_ros import topics

    view = yaml.safe_load((ROOT / "config" / "depth.rviz").read_text())["Visualization Manager"]
    displays = {d["Name"]: d for d in view["Displays"]}
    shown = {d["Topic"]["Value"] for d in displays.values() if "Topic" in d}
    assert shown == {f"/{topic}" for topic in (topics.DEPTH, topics.CLOUD, topics.COLOR)}
    assert displays["Depth"]["Normalize Range"] is False and displays["Depth"]["Max Value"] == 10
    assert view["Global Options"]["Fixed Frame"] == "camera_color_optical_frame"


# The launch file


@pytest.mark.parametrize("file", sorted((ROOT / "launch").glob("*.py")), ids=lambda file: file.name)
def test_launch_files_are_python(file):
    compile(file.read_text(), str(file), "exec")
    assert share.share_file(f"launch/{file.name}") == file


LAUNCH = """
import sys
from pathlib import Path
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription, RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessIO
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = [tuple(argument.split(":=")) for argument in sys.argv[2:]]
def seen(event):
    sys.stderr.write(event.text.decode())
    if b"waiting for images" in event.text:
        sys.stderr.write(Path(f"/proc/{event.pid}/environ").read_text().replace(chr(0), chr(10)))
    if b"waiting for images" in event.text or b"cannot configure" in event.text:
        return [Shutdown(reason="seen enough")]
service = LaunchService()
service.include_launch_description(LaunchDescription([
    RegisterEventHandler(OnProcessIO(on_stdout=seen, on_stderr=seen)),
    IncludeLaunchDescription(PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments),
]))
sys.exit(service.run())
"""


def started_by_launch(folder, *arguments) -> str:
    """What a launched node says until it is active or cannot configure, then its environment where it is active."""
    from ros_harness import DOMAIN

    run = subprocess.run(
        [sys.executable, "-c", LAUNCH, str(LAUNCH_FILE), *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_LOG_DIR": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    return run.stderr


@needs_ros
@needs_launch
def test_the_launch_file_starts_a_configured_node(tmp_path):
    missing = tmp_path / "missing.safetensors"
    said = started_by_launch(tmp_path, f"weights:={missing}", "namespace:=robot", "log_level:=warn")
    assert f"[robot.depth_node]: cannot configure: weights '{missing}' do not exist" in said, said


@needs_ros
@needs_launch
def test_the_launched_node_has_its_topics_and_the_transport_settings(tmp_path, untrained_weights):
    said = started_by_launch(tmp_path, f"weights:={untrained_weights}", "namespace:=robot", "image:=/cam/image_raw")
    assert "[robot.depth_node]: waiting for images on /cam/image_raw" in said, said
    for name, value in transport_env({}).items():
        assert f"\n{name}={os.environ.get(name, value)}\n" in said, said


@needs_launch
def test_the_arguments_of_the_launch_file():
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    description = PythonLaunchDescriptionSource(str(LAUNCH_FILE)).get_launch_description(LaunchContext())
    arguments = {a.name: "".join(s.text for s in a.default_value) for a in description.get_launch_arguments()}
    for name in (
        "params_file",
        "namespace",
        "use_sim_time",
        "log_level",
        "autostart",
        "rviz",
        "weights",
        "image_transport",
    ):
        assert name in arguments
    assert arguments["image"] == "image" and arguments["camera_info"] == "camera_info"
    assert Path(arguments["params_file"]).is_file()


@pytest.fixture
def all_packages(monkeypatch):
    """As if every ROS package were installed."""
    monkeypatch.setattr(ros_packages, "package_prefix", lambda name: Path("/opt/ros"))


@needs_launch
def test_without_weights_the_yaml_file_decides(all_packages):
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    for weights, rviz, nodes in [("", "false", 1), ("/w.safetensors", "True", 2)]:
        context = LaunchContext()
        description = PythonLaunchDescriptionSource(str(LAUNCH_FILE)).get_launch_description(context)
        context.launch_configurations.update(weights=weights, rviz=rviz, namespace="robot")
        actions = []
        for entity in description.entities:
            actions += entity.visit(context) or []
        assert len(actions) == nodes
        parameters = actions[0]._Node__parameters[1]
        assert (len(parameters) == 3) == bool(weights)


# Consumers


@needs_ros
def test_slam_gets_the_relay_and_the_depth_of_the_same_stamp():
    from scdepth_ros import topics

    odometry, slam = slam_nodes("rtabmap", namespace="/robot/")
    assert (odometry.package, odometry.executable) == ("rtabmap_odom", "rgbd_odometry")
    assert (slam.package, slam.executable) == ("rtabmap_slam", "rtabmap")
    for node in (odometry, slam):
        assert node.remappings == [
            ("rgb/image", "/robot/rgb/image_rect_color"),
            ("depth/image", f"/robot/{topics.DEPTH}"),
            ("rgb/camera_info", "/robot/rgb/camera_info"),
        ]
        assert node.parameters["approx_sync"] is False and node.parameters["subscribe_depth"] is True
        assert node.parameters["frame_id"] == "base_link"


def test_the_robots_own_odometry_replaces_that_of_the_images():
    (slam,) = slam_nodes("rtabmap", odom_topic="/odom", use_sim_time=True)
    assert slam.executable == "rtabmap" and ("odom", "/odom") in slam.remappings
    assert slam.parameters["approx_sync"] is True and slam.parameters["use_sim_time"] is True
    assert ("rgb/image", "/rgb/image_rect_color") in slam.remappings


def test_orb_slam3_gets_its_files():
    (node,) = slam_nodes("orbslam3", vocabulary="ORBvoc.txt", settings="camera.yaml")
    assert (node.package, node.executable, node.arguments) == ("orbslam3", "rgbd", ["ORBvoc.txt", "camera.yaml"])
    assert node.remappings == [("camera/rgb", "/rgb/image_rect_color"), ("camera/depth", "/depth/image_rect")]
    with pytest.raises(ConfigError, match="needs two files"):
        slam_nodes("orbslam3", vocabulary="ORBvoc.txt")
    with pytest.raises(ConfigError, match="slam is 'vins', expected one of rtabmap, orbslam3"):
        slam_nodes("vins")


@needs_ros
def test_the_nav2_recipe_fits_the_node():
    from scdepth_ros import topics
    from scdepth_ros.parameters import PARAMETERS

    recipe = yaml.safe_load((ROOT / "config" / "nav2_depth.yaml").read_text())
    ours = recipe.pop("/**/depth_node")["ros__parameters"]
    table = {parameter.name: parameter for parameter in PARAMETERS}
    for name, value in ours.items():
        assert table[name].checked(value) == value
    for costmap in recipe.values():
        layers = costmap["ros__parameters"]
        assert all(layers[name]["plugin"].startswith("nav2_costmap_2d::") for name in layers["plugins"])
        source = next(layer["depth_node"] for layer in layers.values() if "depth_node" in layer)
        assert source["topic"] == f"/{topics.CLOUD}" and source["data_type"] == "PointCloud2"
        assert source["obstacle_max_range"] < source["raytrace_max_range"] <= ours["max_depth"]
    voxels = recipe["/**/local_costmap/local_costmap"]["ros__parameters"]["voxel_layer"]
    assert voxels["z_voxels"] * voxels["z_resolution"] == voxels["max_obstacle_height"] and voxels["z_voxels"] <= 16


def launched(file, **values):
    """The actions that a launch file makes of these arguments."""
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    context = LaunchContext()
    description = PythonLaunchDescriptionSource(str(ROOT / "launch" / file)).get_launch_description(context)
    for argument in description.get_launch_arguments():
        context.launch_configurations[argument.name] = "".join(part.text for part in argument.default_value)
    context.launch_configurations.update(values)
    return [action for entity in description.entities[-1:] for action in entity.visit(context) or []]


@needs_launch
def test_rviz_stands_in_the_frame_that_it_is_told(all_packages):
    def options(**values):
        _, rviz = launched("depth.launch.py", rviz="true", **values)
        return rviz._Node__arguments

    assert options()[0] == "-d" and len(options()) == 2
    assert options(rviz_frame="left_optical") == [*options(), "-f", "left_optical"]


@needs_launch
@pytest.mark.parametrize("given", ["", "compressed"])
def test_the_transport_of_images_is_that_of_the_yaml_file_unless_it_is_given(all_packages, given):
    (node,) = launched("depth.launch.py", image_transport=given)
    values = {name[0].text: value for name, value in node._Node__parameters[1].items()}
    assert ("image_transport" in values) == bool(given)
    depth, *_ = launched("rgbd_slam.launch.py", image_transport=given)
    assert ("image_transport", given) in depth.launch_arguments


@needs_launch
def test_slam_is_launched_with_or_without_the_depth_node(all_packages):
    assert len(launched("rgbd_slam.launch.py")) == 3
    assert len(launched("rgbd_slam.launch.py", depth="false", odom_topic="/odom")) == 1
    with pytest.raises(ConfigError, match="needs two files"):
        launched("rgbd_slam.launch.py", slam="orbslam3")


@needs_launch
def test_nothing_is_launched_beside_a_node_that_is_not_installed(monkeypatch):
    """launch would start depth_node, stumble over the other one, and leave depth_node running."""
    monkeypatch.setattr(ros_packages, "package_prefix", lambda name: None)
    with pytest.raises(ConfigError, match="^rviz:=true needs the ROS package rviz2, not found – "):
        launched("depth.launch.py", rviz="true")
    with pytest.raises(ConfigError, match="^slam:=rtabmap needs the ROS packages rtabmap_odom, rtabmap_slam, "):
        launched("rgbd_slam.launch.py")


@needs_launch
def test_recording_is_launched():
    said, process = launched("record.launch.py", out="drive", topics="/a /b", recorder="record_node")
    command = ["".join(part.text for part in word) for word in process.cmd]
    assert command[1:] == ["-m", "scdepth_ros.record_node", "drive", "--topics", "/a", "/b"]


@needs_launch
@pytest.mark.parametrize(
    "file, values",
    [
        ("record.launch.py", {"min_motion": "abc"}),
        ("record.launch.py", {"split_size": "-1"}),
        ("record.launch.py", {"split_duration": ""}),
        ("record.launch.py", {"topics": "/camera/image-raw"}),
        ("depth.launch.py", {"params_file": "/no/such.yaml"}),
        ("depth.launch.py", {"namespace": "my robot"}),
        ("depth.launch.py", {"image": "my image"}),
        ("depth.launch.py", {"camera_info": ""}),
        ("rgbd_slam.launch.py", {"namespace": "robot/"}),
        ("rgbd_slam.launch.py", {"odom_topic": "my odom"}),
        ("rgbd_slam.launch.py", {"slam": "orbslam3", "vocabulary": "/no/ORBvoc.txt", "settings": "/no/cam.yaml"}),
    ],
)
def test_an_argument_that_cannot_be_used_is_one_sentence(file, values):
    names = "|".join(values)
    with pytest.raises(ConfigError, match=rf"^launch argument ({names}): '.*' is not a .*$"):
        launched(file, **values)
