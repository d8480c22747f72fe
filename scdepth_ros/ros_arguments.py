"""Command lines of programs that understand `--ros-args` beside arguments of their own."""

from __future__ import annotations

import argparse


def split_ros_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Our arguments, and those between --ros-args and -- (or the end). A FROM:=TO of ours is not for rclpy's eyes."""
    if "--ros-args" not in arguments:
        return arguments, []
    begin = arguments.index("--ros-args")
    end = arguments.index("--", begin) if "--" in arguments[begin:] else len(arguments)
    return arguments[:begin] + arguments[end + 1 :], arguments[begin:end]


def positive_number(text: str) -> float:
    """An argparse type: a number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def number_or_zero(text: str) -> float:
    """An argparse type: a number of 0 or more."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value
