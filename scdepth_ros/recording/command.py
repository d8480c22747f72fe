"""The command that records: rosbag2's own where it is installed, record_node where it is not."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from scdepth_core.errors import ConfigError
from scdepth_ros.recording.session import MEGABYTE
from scdepth_ros.ros_packages import package_prefix

ROSBAG2_PACKAGES = ("ros2bag", "rosbag2_storage_mcap")
# rosbag2 chooses by name where record_node looks at types: image topics, their calibration, odometry and TF.
FOUND_BY_NAME = ".*(image|camera_info|odom|/tf).*"


@dataclass(frozen=True)
class RecordSettings:
    """What to record.

    Attributes:
        out: folder to make.
        topics: names; none for every image, camera_info, odometry and TF.
        min_motion: pixels for the motion gate, which only record_node has; 0 keeps all.
        split_size, split_duration: megabytes and seconds of a file; 0 never splits.
    """

    out: str
    topics: tuple[str, ...] = ()
    min_motion: float = 0.0
    split_size: float = 0.0
    split_duration: float = 0.0


def has_rosbag2() -> bool:
    """Whether `ros2 bag record -s mcap` can be run here."""
    return all(package_prefix(package) for package in ROSBAG2_PACKAGES)


def takes_rosbag2(recorder: str, settings: RecordSettings) -> bool:
    """Whether rosbag2 records: 'auto' takes it where it is installed and can do what is wanted.

    Args:
        recorder: auto, rosbag2 or record_node.

    Raises:
        ConfigError: for 'rosbag2' where it is not installed, or with the motion gate, which it does not have.
    """
    if recorder == "rosbag2" and settings.min_motion:
        raise ConfigError(
            f"min_motion is {settings.min_motion:g}, which rosbag2 cannot do – leave recorder out, or say record_node"
        )
    if recorder == "rosbag2" and not has_rosbag2():
        packages = " and ".join(ROSBAG2_PACKAGES)
        raise ConfigError(f"recorder is rosbag2, which is not installed – install {packages}, or leave recorder out")
    return recorder == "rosbag2" or (recorder == "auto" and not settings.min_motion and has_rosbag2())


def record_command(settings: RecordSettings, rosbag2: bool, python: str = sys.executable) -> list[str]:
    """The command line of rosbag2's recorder, or of record_node."""
    if rosbag2:
        return _rosbag2_command(settings)
    command = [python, "-m", "scdepth_ros.record_node"]
    command += [settings.out] if settings.out else []
    for option in ("min_motion", "split_size", "split_duration"):
        if value := getattr(settings, option):
            command += [f"--{option.replace('_', '-')}", f"{value:g}"]
    return [*command, "--topics", *settings.topics] if settings.topics else command


def _rosbag2_command(settings: RecordSettings) -> list[str]:
    """Options that Humble, Jazzy and Kilted share: a list of names is positional in one and an option in the other."""
    names = "|".join(re.escape(topic if topic.startswith("/") else f"/{topic}") for topic in settings.topics)
    command = ["ros2", "bag", "record", "-s", "mcap", "-e", f"^({names})$" if names else FOUND_BY_NAME]
    if settings.out:
        command += ["-o", str(Path(settings.out))]
    if settings.split_size:
        command += ["-b", str(round(settings.split_size * MEGABYTE))]
    if settings.split_duration:
        command += ["-d", str(max(1, round(settings.split_duration)))]  # whole seconds; 0 would never split
    return command
