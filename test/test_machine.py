"""What a machine says of itself."""

import os
import platform
import subprocess
import sys

import cv2
import pytest
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's malloc")
@pytest.mark.parametrize(("keep", "expected"), [(False, True), (True, False)])
def test_freed_memory_is_kept(keep, expected):
    """Whether Linux is asked for the pages of 100 MB once more, after they were freed often enough to leave a gap."""
    program = f"""
import resource, torch
from scdepth_core.machine import keep_freed_memory
if {keep}:
    keep_freed_memory()
for _ in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(25 * 2**20)
pages = 25 * 2**22 / resource.getpagesize()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before > 0.5 * pages)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(expected)]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's malloc")
def test_more_than_two_gigabytes_are_kept():
    """The heap ends where it ended before 3 GB of it were freed."""
    program = """
import ctypes
from scdepth_core.machine import keep_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
blocks = [ctypes.c_void_p(libc.malloc(100 * 2**20)) for _ in range(30)]
end = libc.sbrk(0)
for block in blocks:
    libc.free(block)
print(libc.sbrk(0) == end)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]
