"""The processes of the benchmark, seen from outside: what they say, what they cost, that they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from scdepth_core.errors import BackendError, ConfigError
from scdepth_ros.benchmark.subject import NAMESPACE, NODE, Cloud, Network, View
from scdepth_ros.child_process import end

POLL, START_TIMEOUT = 0.02, 180.0  # seconds
_MODULE = {
    "camera": "scdepth_ros.benchmark.camera",
    "relay": "scdepth_ros.benchmark.relay",
    "receiver": "scdepth_ros.benchmark.receiver",
    "depth_node": "scdepth_ros.depth_node",
}


class Program:
    """One of our programs in the benchmark's namespace, ended and cleaned up after when the block ends.

    Args:
        name: a key of _MODULE.
        options: its own, then those for ROS.

    Attributes:
        said: the objects of its JSON lines on standard output, in order.
    """

    def __init__(self, name: str, options: list[str], ros_options: list[str] | None = None):
        if not Path("/proc/self/stat").exists():
            raise ConfigError(
                "bench node reads CPU time and memory from /proc, which this system lacks – run it on Linux"
            )
        self.name, self.said = name, []
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        ros = ["--ros-args", "-r", f"__ns:={NAMESPACE}", *(ros_options or [])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE[name], *options, *ros],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C in the terminal is for the benchmark, which ends its programs in order
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_) -> None:
        self.end()
        self._log.close()

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raise BackendError, with the last it said, when it has ended with an error."""
        if self._process.poll():
            self._log.seek(0)
            last = " / ".join(self._log.read().strip().splitlines()[-3:])
            raise BackendError(f"{self.name} of the benchmark ended with status {self._process.returncode}: {last}")

    def end(self) -> None:
        """Ask it to end, and read what it says at last."""
        end(self._process)
        self._reader.join(5.0)

    @property
    def cpu_seconds(self) -> float:
        """CPU time that it has used so far, all threads, user and system."""
        fields = self._of_proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_mb(self) -> float:
        """Memory that it holds now, MB."""
        return int(self._of_proc("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _of_proc(self, entry: str) -> str:
        try:
            return Path(f"/proc/{self._process.pid}/{entry}").read_text()
        except OSError:
            self.check()
            raise

    def _read(self) -> None:
        for line in self._process.stdout:
            if line.startswith("{"):
                self.said.append(json.loads(line))


def depth_node(network: Network, cloud: Cloud) -> Program:
    """depth_node with this network and cloud."""
    values = {
        "weights": repr(str(network.weights)),
        "device": network.device,
        "backend": network.backend,
        "precision": network.precision,
        "threads": network.threads,
        "cloud_decimation": cloud.step,
        "cloud_layout": cloud.layout,
    }
    parameters = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
    return Program("depth_node", [], ["-r", f"__node:={NODE}", *parameters])


def camera(view: View, rate: float, seconds: float = 0.0, warm_up: float = 0.0) -> Program:
    """A camera driver, for the seconds of warming up and as many more; seconds 0: until it is ended."""
    size, times = f"{view.width}x{view.height}", ["--seconds", str(seconds), "--warm-up", str(warm_up)]
    return Program(
        "camera", ["--image", size, "--rate", str(rate), *times, *(["--distorted"] if view.distorted else [])]
    )


def wait_until_active(receiver: Program, node: Program) -> None:
    """Wait for depth_node, whose network may have to be converted first, as the receiver of its diagnostics sees it."""

    def active() -> bool:
        return bool(receiver.said) and receiver.said[-1]["diagnostics"]["state"] == "active"

    wait(active, [receiver, node], START_TIMEOUT, "an active depth_node")


def wait(condition, programs: list[Program], seconds: float, what: str):
    """The first true value of condition(); BackendError when a program fails before, or time is out."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        for program in programs:
            program.check()
        if time.monotonic() > until:
            raise BackendError(f"{what} did not come within {seconds:.0f} s – is this machine too busy?")
        time.sleep(POLL)
    return value
