"""The machine: its devices by name, what they compute fast, and what a measurement has to say about them."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import resource
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from scdepth_core.errors import BackendError

LIBRARIES = (
    *("scdepth_ros", "torch", "onnxruntime", "onnxruntime-gpu", "tensorrt", "openvino", "nncf", "ncnn", "pnnx"),
    *("numpy", "opencv-python"),
)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def resolve_device(name: str) -> torch.device:
    """The device of a name, checked: BackendError when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise BackendError(f"device '{name}' is unknown, expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BackendError(f"device '{name}' is not there ({torch.cuda.device_count()} CUDA devices found) – use cpu")
    return device


@cache
def cpu_features() -> frozenset[str]:
    """What this CPU computes fast: of 'bfloat16' and 'int8' (VNNI, AMX, or their likes on ARM)."""
    wanted = {"bfloat16": {"avx512_bf16", "amx_bf16", "bf16"}, "int8": {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"}}
    words = set(_cpuinfo().split())
    return frozenset(name for name, flags in wanted.items() if words & flags)


def has_only_avx2() -> bool:
    """Whether this CPU computes eight float32 numbers at a time, not sixteen: most laptops, many servers."""
    flags = _cpuinfo().split()
    return "avx2" in flags and "avx512f" not in flags


@cache
def _cpuinfo() -> str:
    """What Linux says of the CPU; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def cpu_cores() -> int:
    """CPU cores that this process may use: under taskset, or in a container with a cpuset, fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def device_name(device: torch.device) -> str:
    """What people call it: 'Intel(R) Xeon(R) …', 'NVIDIA H100 …'."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    names = [line.partition(":")[2].strip() for line in _cpuinfo().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def describe_machine(device: torch.device) -> dict:
    """Processor, cores, threads, instructions for small numbers, device, versions, and the load while it is asked."""
    return {
        "cpu": device_name(torch.device("cpu")),
        "cores": cpu_cores(),
        "threads": torch.get_num_threads(),
        "cpu_features": sorted(cpu_features()),
        "device": device_name(device),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **_installed(), **_of_cuda(device)},
        "load_average": round(os.getloadavg()[0], 2),
    }


def machine_sentence(machine: dict) -> str:
    """What describe_machine said, for people; `load_average_after` is that of a second call, after measuring."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{machine['device']}; {machine['cores']} CPU cores ({machine['cpu']}), {machine['threads']} threads, fast in "
        f"{' and '.join(('float32', *machine['cpu_features']))}; load average {machine['load_average']} before, "
        f"{machine['load_average_after']} after. {versions}."
    )


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for what it needs next; where the C library is glibc.

    glibc hands blocks beyond 32 MB back at once and trims the rest, and Linux fills with zeros whatever it gives again:
    of a training step on large batches a fifth of all CPU time, in many processes a quarter of the time of a frame.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**31 - 1)
        mallopt(_M_TRIM_THRESHOLD, -1)  # never


def page_faults() -> int:
    """How many pages of memory this process has taken from the system so far; what it takes again counts again."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


class MemoryMeter:
    """How much memory this process needs; made before it loads anything, on a GPU that nobody else begins to use.

    Args:
        device: where it may run.
    """

    def __init__(self, device: torch.device):
        self._free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0

    def peak(self, device: torch.device) -> float:
        """MB, on the device where it did run: the most that was ever resident; of CUDA all beside its own context.

        ONNX Runtime and TensorRT have allocators of their own, of which PyTorch knows nothing, and PyTorch's keeps
        what it once needed.
        """
        if device.type == "cuda":
            taken = self._free - torch.cuda.mem_get_info(device)[0]
            return max(taken, torch.cuda.max_memory_allocated(device)) / 2**20
        return _peak_resident() / 2**20


def _peak_resident() -> int:
    """Bytes that this process had in memory at most.

    Linux hands ru_maxrss down to the processes that a process starts; VmHWM begins anew.
    """
    status = Path("/proc/self/status")
    most = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    if most:
        return int(most[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _of_cuda(device: torch.device) -> dict[str, str]:
    """What PyTorch computes with on a GPU."""
    if device.type != "cuda":
        return {}
    return {"CUDA": torch.version.cuda, "cuDNN": str(torch.backends.cudnn.version())}


def _installed() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
