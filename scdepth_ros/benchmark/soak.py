"""A node that runs for long: its memory, second by second, must stay where it is."""

from __future__ import annotations

import time

import numpy as np
from tqdm import tqdm

from scdepth_core.errors import BackendError
from scdepth_ros.benchmark.program import Program, camera, depth_node, wait_until_active
from scdepth_ros.benchmark.subject import Cloud, Network, View
from scdepth_ros.child_process import private_ros_environment

PERIOD, STALL = 1.0, 60.0  # seconds between two samples; without a frame until it is given up
WARM_UP_SHARE = 0.1  # of the frames: buffers reach their size, the allocator finds its rhythm
TOLERANCE = 0.02


def soak(network: Network, view: View, frames: int, rate: float, cloud: Cloud) -> dict:
    """Send frames at a rate (0: as fast as possible) until the node has made depth of so many.

    Returns:
        log: seconds, frames_in, frames_out and memory_mb by sample; the verdict's figures, see `verdict`.

    Raises:
        BackendError: a program ended, or the node made nothing for a minute.
    """
    log: list[dict] = []
    with (
        private_ros_environment(),
        Program("receiver", ["--forget"]) as receiver,
        depth_node(network, cloud) as node,
        camera(view, rate) as driver,
        tqdm(total=frames, unit="frame", desc="soak", disable=None) as bar,
    ):
        programs = [receiver, node, driver]
        wait_until_active(receiver, node)
        began = advanced = time.monotonic()
        done = 0
        while done < frames:
            time.sleep(PERIOD)
            for program in programs:
                program.check()
            values, now = receiver.said[-1]["diagnostics"], time.monotonic()
            log.append(
                {
                    "seconds": round(now - began, 1),
                    "frames_in": int(values["frames_in"]),
                    "frames_out": int(values["frames_out"]),
                    "memory_mb": round(node.resident_mb, 2),
                }
            )
            if log[-1]["frames_out"] > done:
                advanced = now
            bar.update(log[-1]["frames_out"] - done)
            done = log[-1]["frames_out"]
            if now > advanced + STALL:
                raise BackendError(f"the node made depth of {done} frames and then of none for {STALL:g} s")
    return {"frames": frames, "log": log, **verdict(log, frames)}


def verdict(log: list[dict], frames: int) -> dict:
    """Whether memory stayed within TOLERANCE of its median, once a tenth of the frames was through."""
    after = [sample["memory_mb"] for sample in log if sample["frames_out"] >= WARM_UP_SHARE * frames]
    median = float(np.median(after))
    deviation = max(abs(megabytes / median - 1) for megabytes in after)
    return {
        "median_mb": median,
        "lowest_mb": min(after),
        "highest_mb": max(after),
        "largest_deviation": deviation,
        "flat": deviation <= TOLERANCE,
    }
