"""Real nodes in processes of their own, real DDS between them: start, talk, listen, stop, leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from scdepth_core.geometry.camera import Camera
from scdepth_ros.child_process import end
from scdepth_ros.messages import encode_camera_info, encode_color

DOMAIN = 1 + os.getpid() % 100  # one per test run, so that two runs on a machine do not hear each other
TEST_MODULES = {"PYTHONPATH": os.pathsep.join(filter(None, (os.path.dirname(__file__), os.environ.get("PYTHONPATH"))))}
BEST_EFFORT = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=50, reliability=QoSReliabilityPolicy.RELIABLE)
WIDTH, HEIGHT = 96, 64
CAMERA = Camera(WIDTH, HEIGHT, np.array([[90.0, 0, 47.5], [0, 90.0, 31.5], [0, 0, 1]]))

PICTURE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def wait_for(condition, timeout=20.0, step=lambda: time.sleep(0.02), what="the condition"):
    """Call `step` until `condition()` is true and return its value; fail the test when it never is."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if value := condition():
            return value
        step()
    raise AssertionError(f"{what} did not come true within {timeout} s")


class RosProcess:
    """`python -m MODULE ARGUMENTS` in this run's ROS domain, its output collected line by line.

    Attributes:
        running: all that were started and not stopped; what a test that failed leaves of them, conftest stops.
    """

    running: ClassVar[list[RosProcess]] = []

    def __init__(self, module: str, *arguments: str, env: dict[str, str] | None = None):
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(DOMAIN),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.running.append(self)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for_output(self, words: str, timeout=30.0) -> None:
        """A process that does not say so is stopped: a fixture that fails here never comes to its end."""

        def seen():
            assert words in self.output or self.process.poll() is None, f"the process ended:\n{self.output}"
            return words in self.output

        try:
            wait_for(seen, timeout, what=f"'{words}' in the output")
        except AssertionError:
            self.stop()
            raise

    def stop(self, with_signal=signal.SIGINT, timeout=5.0) -> float:
        """Ask the process to end, kill it when it does not; returns the seconds that it took."""
        started = time.monotonic()
        end(self.process, with_signal, timeout)
        self._reader.join(2)
        if self in self.running:
            self.running.remove(self)
        return time.monotonic() - started

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)


class Bench:
    """The other end: a node that plays the camera and keeps what depth_node publishes.

    Attributes:
        received: messages by topic, in order of arrival.
    """

    def __init__(self, name="bench"):
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node(name, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.received: dict[str, list] = {}
        self._subscriptions: dict[str, object] = {}
        self.images = self.node.create_publisher(Image, "image", BEST_EFFORT)
        self.infos = self.node.create_publisher(CameraInfo, "camera_info", BEST_EFFORT)
        self.stamp = 0

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def spin(self, seconds=0.02) -> None:
        self.executor.spin_once(timeout_sec=seconds)

    def spin_for(self, seconds) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.spin()

    def wait_for(self, condition, timeout=20.0, what="the condition"):
        return wait_for(condition, timeout, self.spin, what)

    def listen(self, topic, message, qos=RELIABLE) -> list:
        """Subscribe and return the list that messages go to; waits until a publisher is there."""
        self.received[topic] = messages = []
        self._subscriptions[topic] = self.node.create_subscription(message, topic, messages.append, qos)
        self.wait_for(lambda: self.node.count_publishers(topic), what=f"a publisher of {topic}")
        return messages

    def answer(self, messages: list, sent):
        """The message among `messages` that has the stamp of the image `sent`, once it is there."""
        (wanted,) = stamps([sent])
        self.wait_for(lambda: wanted in stamps(messages), what="an answer")
        return messages[stamps(messages).index(wanted)]

    def wait_until_heard(self) -> None:
        """Until a node subscribes to the camera, and knows of it: one side of a match hears of the other first."""
        self.wait_for(lambda: self.images.get_subscription_count() and self.infos.get_subscription_count())
        self.spin_for(0.3)

    def ignore(self, *topics) -> None:
        for topic in topics:
            self.node.destroy_subscription(self._subscriptions.pop(topic))

    def listen_to_results(self) -> dict[str, list]:
        types = {
            "depth/image_rect": Image,
            "depth/camera_info": CameraInfo,
            "points": PointCloud2,
            "depth/colorized": Image,
        }
        return {topic: self.listen(topic, message) for topic, message in types.items()}

    def header(self) -> Header:
        """A header with a stamp that no earlier one had."""
        self.stamp += 1
        header = Header(frame_id="camera_color_optical_frame")
        header.stamp.sec, header.stamp.nanosec = 1000 + self.stamp, 7 * self.stamp
        return header

    def picture(self) -> Image:
        """Always the same picture, under a new stamp."""
        return encode_color(PICTURE, self.header())

    def send(self, msg=None, info: CameraInfo | None = None):
        """Publish an image (a good one by default), after its camera_info if given; returns the image."""
        msg = self.picture() if msg is None else msg
        if info is not None:
            info.header = msg.header
            self.infos.publish(info)
        self.images.publish(msg)
        return msg

    def info(self) -> CameraInfo:
        return encode_camera_info(CAMERA, Header())

    def diagnostics(self, timeout=5.0) -> dict[str, tuple[int, str, dict[str, str]]]:
        """The next /diagnostics: (level, message, values) by the part of the node that says it."""
        messages = self.received.get("/diagnostics")
        if messages is None:
            messages = self.listen("/diagnostics", DiagnosticArray)
        seen = len(messages)
        self.wait_for(lambda: len(messages) > seen, timeout, "diagnostics")
        return {
            status.name.partition(": ")[2]: (
                int.from_bytes(status.level, "little"),
                status.message,
                {value.key: value.value for value in status.values},
            )
            for status in messages[-1].status
        }

    def call(self, service, kind, request, timeout=20.0):
        """The answer of a service."""
        client = self.node.create_client(kind, service)
        self.wait_for(client.service_is_ready, what=f"service {service}")
        future = client.call_async(request)
        self.wait_for(future.done, timeout, f"an answer of {service}")
        self.node.destroy_client(client)
        return future.result()

    def change_state(self, name: str, node="/depth_node") -> bool:
        """Whether a lifecycle transition such as "CONFIGURE" went well."""
        request = ChangeState.Request(transition=Transition(id=getattr(Transition, f"TRANSITION_{name}")))
        return self.call(f"{node}/change_state", ChangeState, request, timeout=60).success


def stamps(messages) -> list[tuple[int, int]]:
    return [(m.header.stamp.sec, m.header.stamp.nanosec) for m in messages]


@pytest.fixture(scope="module")
def bench(request):
    """The other end of the nodes of a test module."""
    bench = Bench(f"{request.module.__name__}_bench")
    yield bench
    bench.close()


@contextmanager
def running_node(bench: Bench, weights, *parameters: str, name="depth_node", env: dict[str, str] | None = None):
    """An active depth_node that hears the bench; in the end it has to go without an error.

    Args:
        parameters: such as "camera_info_sync:=exact".
    """
    given = [word for parameter in (f"weights:={weights}", *parameters) for word in ("-p", parameter)]
    process = RosProcess("scdepth_ros.depth_node", "--ros-args", "-r", f"__node:={name}", *given, env=env)
    try:
        process.wait_for_output("waiting for images", timeout=60)
        bench.wait_until_heard()
        yield process
    finally:
        process.stop()
    assert process.process.returncode == 0, f"exit status {process.process.returncode}:\n{process.output}"
    assert "Traceback" not in process.output, process.output
