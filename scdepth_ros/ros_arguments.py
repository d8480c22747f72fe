"""Command lines of programs that understand `--ros-args` beside arguments of their own."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable

from scdepth_core.errors import ScDepthError

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
    parser = argparse.ArgumentParser(
        prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    args = parser.parse_args(own)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rclpy.init(args=ros, **options)
    try:
        return run(args)
    except KeyboardInterrupt:  # before the program's own work has begun
        return INTERRUPTED
    except ScDepthError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()


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
