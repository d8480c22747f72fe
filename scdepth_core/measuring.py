"""Measuring on a machine that others use, too: what is compared takes turns, and each round gives one ratio.

Another program slows everything, so a time says little and the ratio of two times of the same round says much.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from scdepth_core.errors import BackendError, ScDepthError
from scdepth_core.machine import page_faults

logger = logging.getLogger(__name__)

PAUSE = 0.02  # seconds before a turn: until then the OpenMP threads of the one before spin, and take its cores
FEW_FAULTS = 5000  # pages of 4 kB that a round may still take: 20 MB, some 20 ms
LONGEST_WARM_UP = 6  # times the fewest rounds


class Turn(NamedTuple):
    """How long one call took: of the clock, and of all threads of its process together."""

    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True)
class Turns:
    """How long a candidate took, round by round.

    Attributes:
        wall_ms, cpu_ms: (rounds,) of the clock, and of all threads of the process together.
    """

    wall_ms: np.ndarray
    cpu_ms: np.ndarray


def take_turns(candidates: dict[str, Callable[[int], object]], rounds: int, warm_up: int) -> dict[str, Turns]:
    """Times of the candidates by name; every round calls each of them once, with the number of the round.

    Args:
        candidates: one that runs in another process measures there, and returns its Turn.
        warm_up: rounds before, at least; more of them until the process has all its memory.
    """
    _warm_up(candidates, warm_up)
    turns = {name: [] for name in candidates}
    for index in tqdm(range(rounds), unit="round", desc="measuring", disable=None):
        for name, run in candidates.items():
            time.sleep(PAUSE)
            turns[name].append(timed(run, index))
    return {name: Turns(*np.array(of_one).T) for name, of_one in turns.items()}


def timed(run: Callable[[int], object], index: int) -> Turn:
    """How long a call takes here, or the Turn that it returns."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = run(index)
    if isinstance(answer, Turn):
        return answer
    return Turn((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3)


def _warm_up(candidates: dict[str, Callable[[int], object]], fewest: int) -> None:
    """Rounds until one of them takes hardly any new memory from the system.

    Candidates leave their freed blocks to each other, and it takes rounds until everyone finds room there. Up to then
    the one that needs most memory pays: a training step of 6 s took 1.4 s longer.
    """
    for number in tqdm(range(LONGEST_WARM_UP * fewest), unit="round", desc="warming up", disable=None):
        before = page_faults()
        for run in candidates.values():
            run(0)
        if number + 1 >= fewest and page_faults() - before < FEW_FAULTS:
            break


class Spread(NamedTuple):
    """10th percentile, median and 90th percentile."""

    low: float
    median: float
    high: float


def spread(values: np.ndarray) -> Spread:
    """The spread of measurements (N,)."""
    return Spread(*np.percentile(np.asarray(values, float), (10, 50, 90)).tolist())


@dataclass(kw_only=True)
class Timing:
    """What a row of a benchmark says of its time; None before it is measured.

    Attributes:
        median_ms, low_ms, high_ms: of one turn; low and high are the 10th and 90th percentile.
        ratio, ratio_low, ratio_high: times faster than the baseline in the same round, same percentiles.
        cpu_ms: median CPU time of one turn, all threads.
        memory_mb: peak of a process that runs this alone.
    """

    median_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    cpu_ms: float | None = None
    memory_mb: float | None = None

    def note(self, turns: Turns, baseline: Turns) -> None:
        """Take in how long it took, and how long the baseline did in the same rounds."""
        self.low_ms, self.median_ms, self.high_ms = spread(turns.wall_ms)
        self.ratio_low, self.ratio, self.ratio_high = spread(baseline.wall_ms / turns.wall_ms)
        self.cpu_ms = float(np.median(turns.cpu_ms))

    def cells(self) -> tuple[str, str, str]:
        """Milliseconds, ratio and memory for a table."""
        return (
            f"{self.median_ms:.1f} ({self.low_ms:.1f} – {self.high_ms:.1f})",
            f"{self.ratio:.2f} ({self.ratio_low:.2f} – {self.ratio_high:.2f})",
            "" if self.memory_mb is None else f"{self.memory_mb:.0f} MB",
        )


class OwnProcess:
    """A fresh process, with its memory to itself and the environment of this moment; a context manager.

    It lives as long as the `with` block and is deaf to Ctrl-C, so that there is one traceback and not two.
    """

    def __enter__(self) -> OwnProcess:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._child = context.Process(target=_serve, args=(there,), daemon=True)
        self._child.start()
        there.close()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is not None:
            self._child.kill()
        self._here.close()
        self._child.join()

    def call(self, function: Callable, *arguments):
        """What a function returns there; what it keeps in its module, the next call finds.

        Raises:
            ScDepthError: as the function does. BackendError: also when the process ends without an answer, most often
                because there was not enough memory.
        """
        try:
            self._here.send((function, arguments))
            error, result = self._here.recv()
        except (EOFError, OSError):
            self._child.join()
            raise BackendError(f"the process that measures {_ending(self._child.exitcode)}") from None
        if error is not None:
            raise error
        return result


def in_own_process(function: Callable, *arguments):
    """What a function returns in an OwnProcess of its own; raises as OwnProcess.call does."""
    with OwnProcess() as process:
        return process.call(function, *arguments)


def memory_alone(what: str, function: Callable, *arguments) -> float | None:
    """Peak memory, MB, that a function returns in a fresh process; None, and a warning, where that one fails."""
    try:
        return in_own_process(function, *arguments)
    except ScDepthError as error:
        logger.warning("the memory of %s is not known: %s", what, error)
        return None


def _serve(there: Connection) -> None:
    """In the fresh process, until nobody calls any more; a bug ends it with the traceback on stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            function, arguments = there.recv()
        except EOFError:
            return
        try:
            answer = (None, function(*arguments))
        except ScDepthError as error:
            answer = (error, None)
        there.send(answer)


def _ending(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name} – is there enough memory? Measure something smaller"
    return f"ended with exit status {code} – what it said stands above"
