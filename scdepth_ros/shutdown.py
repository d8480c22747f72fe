"""How the end of ROS reaches what is running, and how a process ends after it."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

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


def end_process(status: int) -> NoReturn:
    """End this process now, after its nodes have been closed.

    What Python does at its end is left out: PyTorch and OpenVINO take themselves apart for one to two seconds, for
    memory that the system takes back at once, and a network that is still running would be waited for.
    """
    gc.collect()  # a closed node is full of cycles, and its shared memory stays behind with it
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
