"""What a machine says of itself."""

import os

import cv2
import torch

from scdepth_core.inference.threads import limit_threads
from scdepth_core.machine import MemoryMeter, cpu_cores

MB = 2**20


def test_memory_of_libraries_that_pytorch_knows_nothing_of_counts(monkeypatch):
    """A GPU with 900 MB free, then 600; PyTorch itself took 20 of them."""
    free = iter([900 * MB, 600 * MB])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (next(free), 1000 * MB))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 20 * MB)
    device = torch.device("cuda")
    assert MemoryMeter(device).peak(device) == 300


def test_threads_are_those_of_the_cores_that_it_may_use(monkeypatch):
    """A container that was given 4 of 16 cores."""
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 6, 7}, raising=False)
    try:
        assert cpu_cores() == 4 and limit_threads() == 3 and limit_threads(5) == 5
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(-1)
