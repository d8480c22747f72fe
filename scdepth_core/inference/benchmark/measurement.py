"""How fast candidates are, and how much memory they need.

They take turns with the baseline: ResNet-18 as it is trained, eager, float32, in a process where nothing else is. What
a candidate brings along, such as threads of its own, must not change what all are compared with.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from scdepth_core.errors import ScDepthError, first_line
from scdepth_core.inference.backends.base import Backend, Source
from scdepth_core.inference.benchmark.candidates import Candidate, Network
from scdepth_core.inference.parity import depth_change, random_frames
from scdepth_core.inference.threads import limit_threads
from scdepth_core.machine import MemoryMeter, cpu_features, keep_freed_memory
from scdepth_core.measuring import Timing, Turn, memory_alone, take_turns, timed

WARM_UP = 3


@dataclass
class Row(Timing):
    """One way to run a network, in the table.

    Attributes:
        name: backend and precision, or the exported file's name; with the network's where there are several.
        network: which one.
        load_s: seconds until ready.
        max_error, mean_error: relative, of depth, against the same network in plain PyTorch.
        abs_rel, abs_rel_set: against ground truth, with a scale for each image, and one for the set.
        abs_rel_change: relative, of abs_rel, against the same network in plain PyTorch.
        reason: why there are no figures.
    """

    name: str
    network: str = ""
    load_s: float | None = None
    max_error: float | None = None
    mean_error: float | None = None
    abs_rel: float | None = None
    abs_rel_set: float | None = None
    abs_rel_change: float | None = None
    reason: str = ""


class Plain:
    """A network as it is trained: with its batch norms and float32, normalised outside, no compiler."""

    def __init__(self, source: Source, device: torch.device):
        self.network = source.network.to(device, memory_format=torch.channels_last).eval()
        self.device, self.mean, self.std = device, source.metadata.mean, source.metadata.std

    @torch.inference_mode()
    def predict(self, pixels: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        return self.network(image.mul_(1 / (255 * self.std)).sub_(self.mean / self.std))[:, 0].cpu().numpy()


def load_row(candidate: Candidate) -> tuple[Row, Backend | None]:
    """A row and its backend, which has predicted once; where it cannot run here, the reason and None."""
    row = Row(candidate.name, candidate.reference.name)
    if candidate.is_int8 and "int8" not in cpu_features():
        row.reason = "this CPU has no instructions for int8 (VNNI or AMX)"
    elif candidate.precision == "int8" and not (candidate.frames or candidate.data):
        row.reason = "int8 is calibrated on frames of your own camera – give a folder of images with --frames"
    if row.reason:
        return row, None
    started = time.perf_counter()
    try:
        ready = candidate.load()
        row.load_s = time.perf_counter() - started
        ready.predict(np.zeros(candidate.network.open().shape, np.uint8))
    except (ScDepthError, RuntimeError) as error:  # such as no memory left on the device
        row.reason = first_line(error)
        return row, None
    return row, ready


def plain_of(network: Network, device: str) -> Plain:
    """A network as plain PyTorch runs it."""
    return Plain(network.open(), torch.device(device))


def plain_turn(network: Network, device: str, threads: int, index: int) -> Turn:
    """A turn of the baseline; for a process of its own, which loads the network at the first."""
    return timed(_plain_run(network, device, threads), index)


@cache
def _plain_run(network: Network, device: str, threads: int) -> Callable[[int], np.ndarray]:
    limit_threads(threads)
    keep_freed_memory()  # left alone, PyTorch has it in every second process, and takes a sixth longer in the others
    return frame_by_frame(plain_of(network, device), network.open().shape[1:3])


def measure(
    baseline: Callable[[int], object], runs: dict[str, Backend], rows: dict[str, Row], rounds: int, size
) -> Row:
    """Fill the rows: every round runs the baseline, then each candidate, on the same frame; returns the baseline's.

    Args:
        baseline: called with the number of the round.
        runs, rows: by the same names; rows without a run are left as they are.
        size: (height, width) of the input.
    """
    everyone = {"": baseline, **{name: frame_by_frame(ready, size) for name, ready in runs.items()}}
    turns = take_turns(everyone, rounds, WARM_UP)
    first = Row("plain PyTorch, eager float32", ratio=1.0)
    for name, row in {"": first, **rows}.items():
        if name in turns:
            row.note(turns[name], turns[""])
    return first


def frame_by_frame(ready: Plain | Backend, size) -> Callable[[int], np.ndarray]:
    """What predicts one of a few frames of (height, width), by number."""
    frames = random_frames(*size)
    return lambda index: ready.predict(frames[index % len(frames)])


def note_depth_change(row: Row, plain: Plain, ready: Backend, size) -> None:
    """How far a row's depth is from that of its network in plain PyTorch, on frames that no camera takes."""
    change = depth_change(plain.predict, ready.predict, random_frames(*size))
    row.max_error, row.mean_error = change.max, change.mean


def memory_of(row: Row, load: Callable[[], Plain | Backend], device: str, shape: tuple[int, ...]) -> float | None:
    """Peak memory, MB, of a fresh process that loads what a row shows and runs three frames; None if it is unknown."""
    return memory_alone(row.name, _peak_of_run, load, device, shape, torch.get_num_threads())


def _peak_of_run(load: Callable[[], Plain | Backend], device: str, shape: tuple[int, ...], threads: int) -> float:
    limit_threads(threads)
    memory = MemoryMeter(torch.device(device))
    ready = load()
    for _ in range(WARM_UP):
        ready.predict(np.zeros(shape, np.uint8))
    return memory.peak(ready.device)
