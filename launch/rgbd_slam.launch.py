"""RGB-D SLAM on a plain camera: depth_node, and RTAB-Map or ORB-SLAM3 on what it publishes.

ros2 launch scdepth_ros rgbd_slam.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info
ros2 launch scdepth_ros rgbd_slam.launch.py slam:=orbslam3 vocabulary:=ORBvoc.txt settings:=orb_slam3.yaml image:=...

RTAB-Map needs TF from frame_id to the camera's optical frame. Depth should be metric: set the scale first.
Works unchanged with ROS 2 Humble, Jazzy and Kilted.
"""

from functools import partial

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from scdepth_core.share import share_file
from scdepth_ros.launch_arguments import BOOLEAN, boolean, existing_file, launch_argument, or_empty
from scdepth_ros.ros_arguments import namespace, topic_name
from scdepth_ros.ros_packages import require_packages
from scdepth_ros.slam import SYSTEMS, slam_nodes
from scdepth_ros.transport_env import transport_env

FOR_DEPTH = ("params_file", "image", "camera_info", "image_transport", "namespace", "use_sim_time", "weights")


def generate_launch_description():
    """The arguments, and a function that makes the nodes of their values."""
    arguments = [
        DeclareLaunchArgument("slam", default_value=SYSTEMS[0], choices=list(SYSTEMS), description="Which system."),
        DeclareLaunchArgument(
            "params_file",
            default_value=str(share_file("config/depth_node.yaml")),
            description="YAML file with the parameters of depth_node, such as how its scale is measured.",
        ),
        DeclareLaunchArgument("depth", default_value="true", choices=BOOLEAN, description="Start depth_node as well."),
        DeclareLaunchArgument("image", default_value="image", description="Topic of the camera's images."),
        DeclareLaunchArgument(
            "camera_info", default_value="camera_info", description="Topic of the camera's calibration."
        ),
        DeclareLaunchArgument(
            "image_transport",
            default_value="",
            choices=["", "raw", "compressed"],
            description="compressed reads `image/compressed`; empty keeps what params_file says.",
        ),
        DeclareLaunchArgument("weights", default_value="", description="Weights file of depth_node."),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of depth_node."),
        DeclareLaunchArgument("use_sim_time", default_value="false", choices=BOOLEAN, description="Use /clock."),
        DeclareLaunchArgument("frame_id", default_value="base_link", description="The robot's frame, for RTAB-Map."),
        DeclareLaunchArgument(
            "odom_topic", default_value="", description="The robot's odometry, for RTAB-Map; empty takes the images'."
        ),
        DeclareLaunchArgument("vocabulary", default_value="", description="ORB-SLAM3's ORBvoc.txt."),
        DeclareLaunchArgument(
            "settings", default_value="", description="ORB-SLAM3's camera file, as scdepth export-tum writes it."
        ),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context):
    """depth_node if wanted, and the nodes of the system."""
    value = partial(launch_argument, context)
    nodes = slam_nodes(
        value("slam"),
        value("namespace", namespace),
        value("frame_id"),
        value("odom_topic", or_empty(topic_name)),
        *(value(name, or_empty(existing_file)) for name in ("vocabulary", "settings")),
        use_sim_time=value("use_sim_time", boolean),
    )
    require_packages(f"slam:={value('slam')}", *(node.package for node in nodes))
    environment = transport_env(context.environment)
    actions = [
        Node(
            package=node.package,
            executable=node.executable,
            arguments=node.arguments,
            parameters=[node.parameters],
            remappings=node.remappings,
            additional_env=environment,
            output="screen",
        )
        for node in nodes
    ]
    if value("depth", boolean):
        depth = PythonLaunchDescriptionSource(str(share_file("launch/depth.launch.py")))
        arguments = [(name, value(name)) for name in FOR_DEPTH]
        actions.insert(0, IncludeLaunchDescription(depth, launch_arguments=arguments))
    return actions
