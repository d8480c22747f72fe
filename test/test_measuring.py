"""Candidates that take turns, and a function in a process of its own: what it gives back, and how it fails."""

import os
import signal

import numpy as np
import pytest
import torch

from scdepth_core import measuring
from scdepth_core.errors import BackendError
from scdepth_core.machine import MemoryMeter, page_faults, resolve_device
from scdepth_core.measuring import OwnProcess, Turn, in_own_process, memory_alone, take_turns

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("faults", "warm_up", "rounds_before"),
    [
        ([900_000, 100, 0], 2, 2),
        ([900_000, 80_000, 7_000, 30, 0], 2, 4),
        ([30] * 5, 3, 3),
        ([7_000] * 99, 2, 12),  # it never settles
    ],
)
def test_candidates_take_turns_once_the_process_has_its_memory(monkeypatch, faults, warm_up, rounds_before):
    taken, calls = iter(faults), []
    count = [0]

    def first(_):
        calls.append("first")
        count[0] += next(taken, 0)

    monkeypatch.setattr(measuring, "page_faults", lambda: count[0])
    turns = take_turns({"first": first, "second": lambda index: calls.append("second")}, 3, warm_up)
    assert calls == ["first", "second"] * (rounds_before + 3)
    assert {name: len(turn.wall_ms) for name, turn in turns.items()} == {"first": 3, "second": 3}


def test_a_turn_begins_when_the_threads_of_the_one_before_are_idle(monkeypatch):
    """OpenMP's go on for some milliseconds, here until somebody waits for ten."""
    spinning, seen = [], []
    monkeypatch.setattr(measuring.time, "sleep", lambda seconds: spinning.clear() if seconds >= 0.01 else None)
    take_turns({"first": spinning.append, "second": lambda _: seen.append(len(spinning))}, 5, 0)
    assert seen == [0] * 5


def test_a_turn_in_another_process_is_what_that_one_measured():
    turns = take_turns({"there": lambda index: Turn(wall_ms=4.0 + index, cpu_ms=7.0)}, 2, 1)["there"]
    assert turns.wall_ms.tolist() == [4, 5] and turns.cpu_ms.tolist() == [7, 7]


def test_new_memory_is_counted_in_pages():
    """In a process that has freed none, and whatever a page is: of Linux's the largest in use has 2 MB."""
    assert in_own_process(_page_faults_of, 64) >= 32


def _page_faults_of(megabytes: int) -> int:
    before = page_faults()
    kept = np.ones(megabytes * 2**17)
    return page_faults() - before if kept.all() else 0


def test_the_result_is_that_of_another_process():
    assert in_own_process(os.getpid) != os.getpid()


def test_one_process_answers_call_after_call_also_after_an_error_for_people():
    with OwnProcess() as process:
        number = process.call(os.getpid)
        with pytest.raises(BackendError, match="device 'toaster' is unknown"):
            process.call(resolve_device, "toaster")
        assert process.call(os.getpid) == number
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


@pytest.mark.parametrize(
    ("function", "argument", "sentence"),
    [
        (signal.raise_signal, signal.SIGKILL, "was killed by SIGKILL – is there enough memory"),
        (os._exit, 3, "ended with exit status 3"),
        (int, "seven", "ended with exit status 1 – what it said stands above"),
    ],
)
def test_a_process_that_dies_is_a_sentence(function, argument, sentence):
    """And not a wait for ever."""
    with pytest.raises(BackendError, match=sentence):
        in_own_process(function, argument)


def test_memory_that_cannot_be_told_does_not_end_the_benchmark(caplog):
    assert memory_alone("row x", signal.raise_signal, signal.SIGKILL) is None
    assert "the memory of row x is not known: the process that measures was killed" in caplog.text


def peak_memory() -> float:
    return MemoryMeter(CPU).peak(CPU)


def test_what_the_benchmark_itself_holds_does_not_count():
    """The kernel's ru_maxrss is passed on from a process to those that it starts."""
    ballast = np.ones(2**28 // 8)  # 256 MB
    assert peak_memory() > ballast.nbytes / 2**20
    assert memory_alone("row x", peak_memory) < peak_memory() - 200


def interrupted():
    os.kill(os.getppid(), signal.SIGINT)
    signal.pause()


def test_ctrl_c_ends_the_process_that_nobody_waits_for_any_more():
    with pytest.raises(KeyboardInterrupt):
        in_own_process(interrupted)
