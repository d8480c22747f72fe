"""Start depth_node beside a camera driver, with the transport settings that camera images need.

ros2 launch scdepth_ros depth.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info rviz:=true

Start the camera driver with the same transport settings: eval "$(python3 -m scdepth_ros.transport_env)".
Works unchanged with ROS 2 Humble, Jazzy and Kilted.
"""

import sys
from functools import partial
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

from scdepth_core.share import share_file
from scdepth_ros.launch_arguments import BOOLEAN, boolean, existing_file, launch_argument
from scdepth_ros.ros_arguments import namespace, topic_name
from scdepth_ros.ros_packages import package_prefix, require_packages
from scdepth_ros.topics import CLOUD, COLOR, DEPTH, INFO, RGB
from scdepth_ros.transport_env import transport_env

RESULTS = (DEPTH, INFO, CLOUD, COLOR, RGB)


def generate_launch_description():
    """The arguments, and a function that makes the nodes of their values."""
    arguments = [
        DeclareLaunchArgument(
            "params_file",
            default_value=str(share_file("config/depth_node.yaml")),
            description="YAML file with the parameters of depth_node.",
        ),
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node and its topics."),
        DeclareLaunchArgument("use_sim_time", default_value="false", choices=BOOLEAN, description="Use /clock."),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="Least severity that is logged.",
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            choices=BOOLEAN,
            description="Configure and activate at once; false leaves that to a lifecycle manager.",
        ),
        DeclareLaunchArgument("rviz", default_value="false", choices=BOOLEAN, description="Show the results in RViz."),
        DeclareLaunchArgument(
            "rviz_frame",
            default_value="",
            description="RViz's fixed frame, such as the frame_id of the camera's images; empty keeps what "
            "config/depth.rviz says.",
        ),
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
        DeclareLaunchArgument(
            "weights", default_value="", description="Weights file; empty keeps what params_file says."
        ),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context):
    """depth_node, and RViz if wanted. A function, because what is empty must not overrule the YAML file."""
    value = partial(launch_argument, context)
    parameters = {name: value(name, boolean) for name in ("use_sim_time", "autostart")}
    if value("image_transport"):
        parameters["image_transport"] = value("image_transport")
    if value("weights"):
        parameters["weights"] = str(Path(value("weights")).expanduser())
    environment = transport_env(context.environment)
    depth_node = Node(
        **_executable(["--ros-args", "--log-level", value("log_level")]),
        name="depth_node",
        namespace=value("namespace", namespace),
        parameters=[value("params_file", existing_file), parameters],
        remappings=[(name, value(name, topic_name)) for name in ("image", "camera_info")],
        additional_env=environment,
        output="screen",
    )
    if not value("rviz", boolean):
        return [depth_node]
    require_packages("rviz:=true", "rviz2")
    prefix = f"/{value('namespace')}".rstrip("/").replace("//", "/")
    frame = value("rviz_frame")
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(share_file("config/depth.rviz")), *(["-f", frame] if frame else [])],
        parameters=[{"use_sim_time": parameters["use_sim_time"]}],
        remappings=[(f"/{topic}", f"{prefix}/{topic}") for topic in RESULTS] if prefix else [],
        additional_env=environment,
        output="screen",
    )
    return [depth_node, rviz]


def _executable(arguments):
    """The installed executable; without a colcon installation, this Python and the module."""
    prefix = package_prefix("scdepth_ros")
    if prefix is not None and (prefix / "lib" / "scdepth_ros" / "depth_node").exists():
        return {"package": "scdepth_ros", "executable": "depth_node", "arguments": arguments}
    return {"executable": sys.executable, "arguments": ["-m", "scdepth_ros.depth_node", *arguments]}
