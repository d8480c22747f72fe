"""Command lines of programs that understand `--ros-args` beside arguments of their own, and types of those."""

from __future__ import annotations

import argparse
import math
import re
import signal
import sys
from collections.abc import Callable

from scdepth_core.errors import ConfigError, ScDepthError

_TOKEN = r"([A-Za-z_][A-Za-z0-9_]*|\{(node|ns|namespace)\})"
_TOPIC = re.compile(rf"(/|~/)?{_TOKEN}(/{_TOKEN})*")
_NAMESPACE = re.compile(r"/?([A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*)?")
INTERRUPTED = 130  # exit status, as shells have it for SIGINT


def run_program(
    name: str,
    description: str,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
    arguments: list[str] | None = None,
    **options,
) -> int:
    """Parse a command line, run with an initialised rclpy, and shut that down; returns the exit status.

    A known error becomes one line and exit status 1. SIGTERM ends the program as SIGINT does.

    Args:
        arguments: the command line without the program's name; None takes that of this process.
        options: of rclpy.init.
    """
    import rclpy

    own, ros = split_ros_arguments(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(name, description)
    add_arguments(parser)
    args = parser.parse_args(own)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        init_ros(ros, **options)
        return run(args)
    except KeyboardInterrupt:  # before the program's own work has begun
        return INTERRUPTED
    except ScDepthError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()


def only_ros_arguments(name: str, description: str, arguments: list[str] | None = None) -> list[str]:
    """The --ros-args of a program that has no arguments of its own; --help explains it and ends the process.

    Args:
        arguments: the command line without the program's name; None takes that of this process.

    Raises:
        ConfigError: for anything outside --ros-args.
    """
    own, ros = split_ros_arguments(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(name, description)
    parser.usage = f"{name} [-h] [--ros-args ...]"
    _, strange = parser.parse_known_args(own)
    if strange:
        raise ConfigError(
            f"'{' '.join(strange)}' is not understood – parameters and topics follow --ros-args, as in "
            f"{name} --ros-args -p weights:=FILE -r image:=TOPIC; see {name} --help"
        )
    return ros


def split_ros_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Our arguments, and those between any --ros-args and -- (or the end). A FROM:=TO of ours is not for rclpy's
    eyes.
    """
    own, ros, is_ros = [], [], False
    for word in arguments:
        is_ros = is_ros or word == "--ros-args"
        if not is_ros:
            own.append(word)
        elif word == "--":
            is_ros = False
        else:
            ros.append(word)
    return own, ros


def init_ros(arguments: list[str] | None, **options) -> None:
    """rclpy.init.

    Raises:
        ConfigError: for arguments that ROS does not understand, among them a parameter file that cannot be read.
    """
    import rclpy

    try:
        rclpy.init(args=arguments, **options)
    except RuntimeError as error:  # rclpy's RCLError and UnknownROSArgsError
        reason = re.sub(r"\s*, at \S+:\d+", "", str(error)).removeprefix("failed to initialize rcl: ")
        raise ConfigError(f"--ros-args are not understood: {' '.join(reason.split())}") from error


def positive_number(text: str) -> float:
    """An argparse type: a number above 0."""
    value = _finite(text)
    if value is None or value <= 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return value


def number_or_zero(text: str) -> float:
    """An argparse type: a number of 0 or more."""
    value = _finite(text)
    if value is None or value < 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of 0 or more")
    return value


def topic_name(text: str) -> str:
    """An argparse type: the name of a topic, relative or not."""
    if not _TOPIC.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a topic, expected letters, digits and _ between slashes, such as /camera/image_raw"
        )
    return text


def namespace(text: str) -> str:
    """An argparse type: a namespace of nodes, or nothing."""
    if not _NAMESPACE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a namespace, expected letters, digits and _ between slashes, such as robot/front"
        )
    return text


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _finite(text: str) -> float | None:
    """The number that a text says, None when it says none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
