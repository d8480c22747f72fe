"""How many CPU threads compute, decided in one place and obeyed by every backend."""

from __future__ import annotations

import cv2
import torch

from scdepth_core.machine import cpu_cores


def limit_threads(threads: int = 0) -> int:
    """Set the threads of this process; call it before a backend is loaded, which takes its number from PyTorch.

    A network with a thread for every core starves whatever else runs there, DDS first, and then itself: its threads
    wait for each other, and OpenMP's do so spinning. Measured with the starter network on 2 cores that another program
    kept busy (load average 5 to 9), median of a frame, CPU time and time until it was done:

    - PyTorch, 1 thread: 30 ms and 0.1 s; 2 threads: 426 ms and 13.5 s.
    - OpenVINO, 1 thread: 16 ms and 0.06 s; 2 threads: 18 ms and 0.8 s.
    - ncnn (load average 3), 1 thread: 28 ms and 0.04 s; 2 threads: 126 ms and 0.25 s.

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
