"""ncnn on the CPU: its 3x3 convolutions take fewer multiplications (Winograd), which pays from a certain size on."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

from scdepth_core.errors import BackendError
from scdepth_core.inference.backends.base import Backend, Source
from scdepth_core.inference.backends.libraries import failures_explained, import_optional
from scdepth_core.inference.convert import quiet
from scdepth_core.inference.engine_cache import engine, engine_key, joined, parted
from scdepth_core.inference.lean import LeanDepthNet

INPUT, OUTPUT = "in0", "out0"  # as pnnx calls them
WEIGHTS, NO_WINOGRAD = "6", "31=64"  # of a convolution in ncnn's graphs: how many weights; bit 6 of the feature mask
LARGE, MANY = 9 * 256 * 512, 400 * 400  # weights of a convolution, and pixels of the input
SIXTEEN_BITS = ("use_fp16", "use_bf16")  # beginnings of the options that trade bits for speed


class Ncnn(Backend):
    """ncnn, one frame at a time, with as many threads as PyTorch has; pnnx, which comes beside it, converts."""

    name = "ncnn"

    def __init__(self, source: Source, device: torch.device, precision: str):
        self._library = import_optional("ncnn", "ncnn", "backend ncnn")
        super().__init__(source, device, precision)
        metadata = source.metadata
        self._mean, self._factor = [255 * metadata.mean] * 3, [1 / (255 * metadata.std)] * 3
        key = engine_key(source, self.name, device, precision, ("ncnn", "pnnx"))
        with failures_explained(self.name):
            self._net = engine(key, lambda: _converted(source), self._open)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[1:3]
        image = self._library.Mat.from_pixels(pixels[0], self._library.Mat.PixelType.PIXEL_RGB, width, height)
        image.substract_mean_normalize(self._mean, self._factor)
        extractor = self._net.create_extractor()
        extractor.input(INPUT, image)
        failed, depth = extractor.extract(OUTPUT)
        if failed:
            raise BackendError(f"ncnn stopped in the middle of the network ({failed}) – choose another backend")
        return np.array(depth)

    def _open(self, payload: bytes):
        net = self._library.Net()
        net.opt.num_threads = torch.get_num_threads()
        for name in dir(net.opt):
            if name.startswith(SIXTEEN_BITS):
                setattr(net.opt, name, False)
        with tempfile.TemporaryDirectory() as folder:
            graph, weights = Path(folder) / "network.param", Path(folder) / "network.bin"
            for path, content in zip((graph, weights), parted(payload)):
                path.write_bytes(content)
            if net.load_param(str(graph)) or net.load_model(str(weights)):
                raise ValueError("ncnn does not understand it")
        return net


def _converted(source: Source) -> bytes:
    """The lean network behind its normalisation, as ncnn's graph and weights in one piece."""
    program = import_optional("pnnx", "ncnn", "conversion to ncnn").EXEC_PATH
    network = LeanDepthNet(source.network, source.metadata).network
    example = torch.zeros(1, 3, *source.shape[1:3])
    with tempfile.TemporaryDirectory() as folder:
        traced, graph, weights = (Path(folder) / name for name in ("network.pt", "network.param", "network.bin"))
        with quiet(), torch.no_grad():
            torch.jit.trace(network, example).save(traced)
        shape = ",".join(map(str, example.shape))
        options = [f"inputshape=[{shape}]", "fp16=0", f"ncnnparam={graph}", f"ncnnbin={weights}"]
        done = subprocess.run([program, traced, *options], cwd=folder, capture_output=True, text=True)
        if done.returncode or not weights.exists():
            *_, reason = ("no reason given", *done.stderr.strip().splitlines())
            raise BackendError(f"pnnx cannot convert this network to ncnn ({reason}) – choose another backend")
        text = graph.read_text()
        if example[0, 0].numel() < MANY:
            text = _without_large_winograd(text)
        return joined(text.encode(), weights.read_bytes())


def _without_large_winograd(graph: str) -> str:
    """The graph, in which convolutions of LARGE weights or more are computed directly.

    Winograd's form of the weights is four times as large, and reading it takes a time that few pixels do not repay:
    ResNet-18 takes 6 to 8 % less at 320x256 without it, 27 % at 128x96, and 5 % more at 640x480.
    """
    lines = []
    for line in graph.splitlines():
        kind, *fields = line.split()
        parameters = dict(field.split("=") for field in fields if "=" in field)
        large = kind == "Convolution" and int(parameters[WEIGHTS]) >= LARGE
        lines.append(f"{line} {NO_WINOGRAD}" if large else line)
    return "\n".join(lines) + "\n"
