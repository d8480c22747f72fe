"""How many CPU threads compute, decided in one place and obeyed by every backend."""

from __future__ import annotations

import cv2
import torch

from scdepth_core.machine import cpu_cores


def limit_threads(threads: int = 0) -> int:
    """Set the threads of this process; call it before a backend is loaded, which takes its number from PyTorch.

    A network with a thread for every core starves whatever else runs there, DDS first, and then itself: its threads
    wait for each other, and OpenMP's do so spinning. ResNet-18 at 320x256 on 2 cores that two other programs kept busy
    (load average 4), median of a frame and its CPU time:

    - PyTorch, 1 thread: 128 and 67 ms; 2 threads: 167 and 247 ms.
    - ncnn, 1 thread: 87 and 44 ms; 2 threads: 1,172 and 519 ms.
    - OpenVINO, 1 thread: 50 and 48 ms; 2 threads: 40 and 55 ms.

    So the network leaves a core to receiving, publishing and the rest of the robot. Every backend takes this number
    when it is loaded, and ONNX Runtime's threads are told not to spin between frames. OpenCV gets one thread: a second
    pool of busy threads costs more than it brings.

    Args:
        threads: of the network; 0 takes all cores that this process may use but one, at least one.

    Returns:
        the number of threads that the network has now.
    """
    torch.set_num_threads(threads or max(1, cpu_cores() - 1))
    cv2.setNumThreads(1)
    return torch.get_num_threads()
