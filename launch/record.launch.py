"""Record a camera: with rosbag2 (`ros2 bag record -s mcap`) where it is installed, with record_node where it is not.

ros2 launch scdepth_ros record.launch.py out:=drive topics:="/camera/image_raw /camera/camera_info"

Without topics, every image, camera_info, odometry and TF. `min_motion` is record_node's alone.
Works unchanged with ROS 2 Humble, Jazzy and Kilted.
"""

import os
from functools import partial

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction

from scdepth_ros.launch_arguments import launch_argument, words
from scdepth_ros.recording.command import RecordSettings, record_command, takes_rosbag2
from scdepth_ros.ros_arguments import number_or_zero, topic_name
from scdepth_ros.transport_env import transport_env


def generate_launch_description():
    """The arguments, and a function that makes the process of their values."""
    arguments = [
        DeclareLaunchArgument("out", default_value="", description="Folder to make; empty names it by the time."),
        DeclareLaunchArgument("topics", default_value="", description="Topics, separated by spaces; empty finds them."),
        DeclareLaunchArgument(
            "min_motion", default_value="0", description="Keep frames whose view moved by so many pixels; 0 keeps all."
        ),
        DeclareLaunchArgument("split_size", default_value="0", description="Megabytes of a file; 0 never splits."),
        DeclareLaunchArgument("split_duration", default_value="0", description="Seconds of a file; 0 never splits."),
        DeclareLaunchArgument(
            "recorder",
            default_value="auto",
            choices=["auto", "rosbag2", "record_node"],
            description="auto takes rosbag2 where it is installed.",
        ),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_recorder)])


def _recorder(context):
    """The recording process. It ends on Ctrl-C, and gets ten seconds to write its index."""
    value = partial(launch_argument, context)
    settings = RecordSettings(
        os.path.expanduser(value("out")),
        value("topics", words(topic_name)),
        *(value(name, number_or_zero) for name in ("min_motion", "split_size", "split_duration")),
    )
    command = record_command(settings, takes_rosbag2(value("recorder"), settings))
    process = ExecuteProcess(
        cmd=command, additional_env=transport_env(context.environment), output="screen", sigterm_timeout="10"
    )
    return [LogInfo(msg=f"recording with {' '.join(command)}"), process]
