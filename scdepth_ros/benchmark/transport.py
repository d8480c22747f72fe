"""depth_node over DDS: a camera, the node and a consumer, each a process, with the settings that the launch files use.

Afterwards the same without a network: what a relay of equal messages needs is the transport's share of the latency.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scdepth_core.errors import BackendError
from scdepth_ros.benchmark.program import START_TIMEOUT, Program, camera, depth_node, wait, wait_until_active
from scdepth_ros.benchmark.subject import Cloud, Network, View
from scdepth_ros.child_process import private_ros_environment
from scdepth_ros.topics import CLOUD, DEPTH

WARM_UP = 1.0  # seconds of frames that are not measured
STAGE = "network_ms"  # of the node's diagnostics: resizing and the network


@dataclass
class Spell:
    """What happened while the camera sent at one rate.

    Attributes:
        rate: Hz; 0 for as fast as possible.
        sent: frames, those of the warm-up included; `measured`: stamps of those after it, nanoseconds.
        reached, done: of those sent, how many the node received and how many depth images it published.
        cpu_seconds: of the node, for the frames that are `done`.
        network_ms: resizing and network in single frames, as the node's diagnostics say.
    """

    rate: float
    sent: int
    measured: list[int]
    reached: int | None = None
    done: int | None = None
    cpu_seconds: float | None = None
    network_ms: list[float] = field(default_factory=list)

    def figures(self, arrivals: dict[str, list[tuple[int, int]]]) -> dict:
        """The row of the report, with what the receiver got.

        Raises:
            BackendError: that is nothing.
        """
        stamps = set(self.measured)
        depth, clouds = ([pair for pair in arrivals[topic] if pair[0] in stamps] for topic in (DEPTH, CLOUD))
        if not depth or len(self.measured) < 2:
            known = "" if self.reached is None else f" ({self.reached} reached the node, {self.done} left it)"
            raise BackendError(
                f"no depth came of the last {len(self.measured)} of {self.sent} frames at {self.rate:g} Hz{known} – is "
                "this machine too busy? Measure for longer with --seconds"
            )
        seconds = 1e-9 * (self.measured[-1] - self.measured[0]) * len(stamps) / (len(stamps) - 1)
        p50, p95 = np.percentile([1e-6 * (received - stamp) for stamp, received in depth], (50, 95)).tolist()
        return {
            "rate": self.rate,
            "sent": self.sent,
            "sent_hz": len(stamps) / seconds,
            "reached_share": None if self.reached is None else self.reached / self.sent,
            "depth_hz": len(depth) / seconds,
            "cloud_hz": len(clouds) / seconds,
            "latency_p50_ms": p50,
            "latency_p95_ms": p95,
            "cpu_ms": 1e3 * self.cpu_seconds / self.done if self.done else None,
            "network_in_node_ms": float(np.median(self.network_ms)) if self.network_ms else None,
        }


def measure_transport(network: Network, view: View, rates: list[float], seconds: float, cloud: Cloud) -> dict:
    """The node at every rate, and the relay at the lowest.

    Returns:
        node: a row for each rate, relay: one row, see Spell.figures.

    Raises:
        BackendError: a program ended, or no depth came in time.
    """
    rates = sorted(rates, key=lambda rate: rate or float("inf"))
    with private_ros_environment(), Program("receiver", []) as receiver:
        with depth_node(network, cloud) as node:
            wait_until_active(receiver, node)
            of_node = [_spell_of_node(receiver, node, view, rate, seconds) for rate in rates]
        with Program("relay", ["--cloud", str(cloud.step), "--cloud-layout", cloud.layout]) as relay:
            of_relay = _spell([receiver, relay], view, rates[0], seconds)
        receiver.end()
        arrivals = receiver.said[-1]["arrivals"]
    return {
        "cloud_decimation": cloud.step,
        "cloud_layout": cloud.layout,
        "node": [spell.figures(arrivals) for spell in of_node],
        "relay": of_relay.figures(arrivals),
    }


def _spell(programs: list[Program], view: View, rate: float, seconds: float) -> Spell:
    with camera(view, rate, seconds, WARM_UP) as driver:
        wait(lambda: not driver.runs, [driver, *programs], START_TIMEOUT + seconds, "the end of the camera's frames")
        driver.check()
    return Spell(rate, **driver.said[-1])


def _spell_of_node(receiver: Program, node: Program, view: View, rate: float, seconds: float) -> Spell:
    """A spell with what the node says and costs; it has to be idle before, and is afterwards."""
    before, cpu_before, seen = receiver.said[-1]["diagnostics"], node.cpu_seconds, len(receiver.said)
    spell = _spell([receiver, node], view, rate, seconds)
    ended = len(receiver.said)  # the second diagnostics from now know of every frame
    wait(lambda: len(receiver.said) >= ended + 2, [receiver, node], START_TIMEOUT, "/diagnostics of the node")
    said = [message["diagnostics"] for message in receiver.said[seen:]]
    spell.cpu_seconds = node.cpu_seconds - cpu_before
    spell.reached, spell.done = (int(said[-1][name]) - int(before[name]) for name in ("frames_in", "frames_out"))
    spell.network_ms = [float(values[STAGE]) for values in said if STAGE in values]
    return spell
