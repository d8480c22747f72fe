"""The machine: what it computes fast, and what a measurement was made on, so that a figure never stands alone."""

from __future__ import annotations

import os
import platform
import resource
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

LIBRARIES = ("scdepth_ros", "torch", "onnxruntime", "onnxruntime-gpu", "openvino", "nncf", "numpy", "opencv-python")


@cache
def cpu_features() -> frozenset[str]:
    """What this CPU computes fast: of 'bfloat16' and 'int8' (VNNI, AMX, or their likes on ARM)."""
    if not Path("/proc/cpuinfo").exists():
        return frozenset()
    words = set(Path("/proc/cpuinfo").read_text().split())
    wanted = {"bfloat16": {"avx512_bf16", "amx_bf16", "bf16"}, "int8": {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"}}
    return frozenset(name for name, flags in wanted.items() if words & flags)


@cache
def device_name(device: torch.device) -> str:
    """What people call it: 'Intel(R) Xeon(R) …', 'NVIDIA H100 …'."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def describe_machine(device: torch.device) -> dict:
    """Processor, cores, threads, instructions for small numbers, device, versions, and the load while it is asked."""
    return {
        "cpu": device_name(torch.device("cpu")),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "cpu_features": sorted(cpu_features()),
        "device": device_name(device),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **_installed()},
        "load_average": round(os.getloadavg()[0], 2),
    }


def machine_sentence(machine: dict, load_after: float) -> str:
    """What describe_machine found, for people; `load_after` is the load average when the measuring was over."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{machine['device']}; {machine['cores']} CPU cores ({machine['cpu']}), {machine['threads']} threads, fast in "
        f"{' and '.join(('float32', *machine['cpu_features']))}; load average {machine['load_average']} before, "
        f"{load_after} after. {versions}."
    )


def spread(values) -> dict[str, float]:
    """Median, and the 10th and 90th percentile as `low` and `high`."""
    low, median, high = np.percentile(np.asarray(values, float), (10, 50, 90)).tolist()
    return {"low": low, "median": median, "high": high}


def peak_memory(device: torch.device) -> float:
    """Most memory that this process ever had, MB: of the device for CUDA, resident otherwise."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _installed() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
