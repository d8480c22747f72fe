"""Programs run beside this one: in a ROS graph of their own, asked to end, and nothing left of them."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scdepth_ros.transport_env import transport_env

END_TIMEOUT = 10.0  # seconds between being asked to end and being killed
_SHARED_MEMORY = re.compile(r"/dev/shm/\S*fastrtps_\S+")


@contextmanager
def private_ros_environment() -> Iterator[None]:
    """Keep what is started, while this lasts, on this machine and out of everybody else's ROS graph."""
    before = dict(os.environ)
    domain = before.get("ROS_DOMAIN_ID") or str(random.SystemRandom().randint(1, 101))
    os.environ.update(transport_env() | {"ROS_DOMAIN_ID": domain, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen]:
    """A child process, asked to end when the block ends, and made to when it does not."""
    child = None
    try:
        with _signals_wait():  # one that came while the child starts would leave it without anybody who knows it
            child = subprocess.Popen(command, env=os.environ | transport_env())
        yield child
    finally:
        if child is not None:
            end(child)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """What SIGINT and SIGTERM have Python do, they do when the block has ended."""
    came: list[int] = []
    reached = threading.current_thread() is threading.main_thread()  # by signals; no other thread is
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if reached}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in ours:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    for number in came:
        signal.raise_signal(number)


def end(child: subprocess.Popen, with_signal: int = signal.SIGTERM, timeout: float = END_TIMEOUT) -> None:
    """Ask a process to end, and kill one that does not; shared memory that only it held, and left behind, is freed.

    By SIGTERM, which our programs take like Ctrl-C: SIGINT is ignored in whatever a shell started in the background,
    and is a traceback in a program that still imports.
    """
    segments = _shared_memory_of(child.pid) if child.poll() is None else set()
    if child.poll() is None:
        child.send_signal(with_signal)
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        segments |= _shared_memory_of(child.pid)
        child.kill()
        child.wait()
    for segment in {segment for segment in segments if Path(segment).exists()} - held_by_the_living():
        Path(segment).unlink(missing_ok=True)


def _shared_memory_of(pid: int | str) -> set[str]:
    """Files of Fast DDS's shared memory that a process has mapped; none when it is gone, or not ours to look at."""
    try:
        return set(_SHARED_MEMORY.findall(Path(f"/proc/{pid}/maps").read_text()))
    except OSError:
        return set()


def held_by_the_living() -> set[str]:
    """Files of Fast DDS's shared memory that any process has mapped."""
    return set().union(*(_shared_memory_of(folder.name) for folder in Path("/proc").glob("[0-9]*")))
