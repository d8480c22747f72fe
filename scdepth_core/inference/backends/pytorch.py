"""PyTorch itself: as it is, compiled, or recorded as a CUDA graph."""

from __future__ import annotations

import shutil

import numpy as np
import torch

from scdepth_core.compiling import compiler_explained
from scdepth_core.errors import BackendError
from scdepth_core.inference.backends.base import Backend, Source
from scdepth_core.inference.lean import LeanDepthNet
from scdepth_core.machine import keep_freed_memory
from scdepth_core.networks.elu import use_tiled_elu


class Eager(Backend):
    """Operation by operation: runs everywhere, starts at once."""

    name = "torch"

    def __init__(self, source: Source, device: torch.device, precision: str):
        super().__init__(source, device, precision)
        self.network = LeanDepthNet(source.network, source.metadata, precision).to(device)
        use_tiled_elu(self.network)
        if device.type == "cpu":
            keep_freed_memory()
        else:
            choose_algorithms_by_time()

    @torch.inference_mode()
    def predict(self, pixels: np.ndarray) -> np.ndarray:
        return self.network(torch.from_numpy(pixels).to(self.device)).cpu().numpy()


class Compiled(Eager):
    """torch.compile with the weights as constants: minutes to start on a small machine, then faster than eager."""

    name = "compiled"

    def __init__(self, source: Source, device: torch.device, precision: str):
        if device.type == "cpu" and shutil.which("g++") is None:
            raise BackendError("backend compiled needs a C++ compiler and finds no g++ – install it, or choose torch")
        super().__init__(source, device, precision)
        options = {"freezing": True} if device.type == "cpu" else {}
        self.network = torch.compile(self.network, fullgraph=True, dynamic=False, options=options)
        with compiler_explained("choose torch, or see to its C and C++ compilers"):
            self.predict(np.zeros(source.shape, np.uint8))  # compiles now, not at the first frame


class CudaGraph(Backend):
    """All kernels of a frame recorded once and launched as one: the CPU's share of a frame nearly vanishes.

    Shapes and addresses are fixed: pixels go through a pinned buffer to the graph's input, depth comes back the same
    way, and one synchronisation ends the frame.
    """

    name = "cuda-graph"

    def __init__(self, source: Source, device: torch.device, precision: str):
        super().__init__(source, device, precision)
        choose_algorithms_by_time()
        network = LeanDepthNet(source.network, source.metadata, precision).to(device)
        with torch.inference_mode(), torch.cuda.device(device):  # pinned memory, too, is some device's
            self._pixels = torch.zeros(source.shape, dtype=torch.uint8, device=device)
            self._pinned_pixels = torch.zeros(source.shape, dtype=torch.uint8, pin_memory=True)
            self._stream = torch.cuda.Stream(device)
            self._graph = torch.cuda.CUDAGraph()
            self._done = torch.cuda.Event(blocking=True)  # who waits for it sleeps; for a stream, a core is kept busy
            self._stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(self._stream):
                for _ in range(3):  # cuDNN chooses its algorithms, memory is taken: none of it may be recorded
                    network(self._pixels)
            self._stream.synchronize()
            with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._depth = network(self._pixels)
            self._pinned_depth = torch.zeros(source.shape[:3], dtype=torch.float32, pin_memory=True)
        self._network = network  # the graph reads its weights

    @torch.inference_mode()
    def predict(self, pixels: np.ndarray) -> np.ndarray:
        self._pinned_pixels.copy_(torch.from_numpy(pixels))
        with torch.cuda.stream(self._stream):
            self._pixels.copy_(self._pinned_pixels, non_blocking=True)
            self._graph.replay()
            self._pinned_depth.copy_(self._depth, non_blocking=True)
            self._done.record()
        self._done.synchronize()
        return self._pinned_depth.numpy()


def choose_algorithms_by_time() -> None:
    """Let cuDNN measure its algorithms for each shape that comes for the first time: every frame has the same."""
    torch.backends.cudnn.benchmark = True
