"""How the end of ROS reaches what is running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException


@contextmanager
def until_shutdown() -> Iterator[None]:
    """What is inside ends quietly at SIGINT, SIGTERM (as KeyboardInterrupt) or a shutdown of ROS from elsewhere.

    rclpy ends its context in a thread of its own, in the middle of whatever runs: what needs the context next, a wait
    of the executor or a publisher, raises an RCLError, which is a RuntimeError.
    """
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        if rclpy.ok():
            raise
