"""OpenMP's threads: how long they keep a core busy while they wait for each other."""

from __future__ import annotations

import os

TURNS = 3000  # of a waiting loop, some 0.1 ms


def wait_briefly() -> None:
    """Let the threads of GNU OpenMP, which comes with PyTorch and with ncnn, sleep where they would wait for long.

    It lets them turn 300,000 times, 3 to 10 ms. Where a network has as many threads as there are cores and another
    program takes a part of one, most of that time is waited for a thread that cannot run. ResNet-18 at 320x256 with two
    threads on two cores, median of a frame: with PyTorch 36 ms, but beside other programs 600 to 1,300, and with 3,000
    turns 38, and 35 to 65 beside the same; with ncnn beside two busy programs 1,172 ms, and 189. It saves 5 to 15 ms of
    CPU time a frame where nothing else runs. With 300 turns threads sleep between layers, and PyTorch takes 45 ms.

    It has to be said before PyTorch is imported, and holds for the programs that this one starts. Whoever has set
    GOMP_SPINCOUNT or OMP_WAIT_POLICY has decided already.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(TURNS))
