"""What a measurement was made on, so that a figure never stands alone."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from scdepth_core.inference.backends.base import cpu_features, device_name

LIBRARIES = ("scdepth_ros", "torch", "onnxruntime", "onnxruntime-gpu", "openvino", "nncf", "numpy", "opencv-python")


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
