"""A function in a process of its own: what it gives back, and how it fails."""

import os
import signal

import numpy as np
import pytest
import torch

from scdepth_core.errors import BackendError
from scdepth_core.machine import MemoryMeter, resolve_device
from scdepth_core.measuring import in_own_process, memory_alone

CPU = torch.device("cpu")


def test_the_result_is_that_of_another_process():
    assert in_own_process(os.getpid) != os.getpid()


def test_an_error_for_people_comes_through():
    with pytest.raises(BackendError, match="device 'toaster' is unknown"):
        in_own_process(resolve_device, "toaster")


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
