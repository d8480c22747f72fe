"""How many CPU threads compute, decided in one place and obeyed by every backend."""

from __future__ import annotations

import os

import cv2
import torch


def limit_threads(threads: int = 0) -> int:
    """Set the threads of this process; call it before a backend is loaded, which takes its number from PyTorch.

    THREADS_DOC

    Args:
        threads: of the network; 0 takes all cores but one, at least one.

    Returns:
        the number of threads that the network has now.
    """
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) - 1))
    cv2.setNumThreads(1)
    return torch.get_num_threads()
