"""Ways to run the network, chosen by name or by what the machine has."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass

import torch

from scdepth_core.errors import BackendError
from scdepth_core.inference.backends.base import Backend, Source
from scdepth_core.inference.backends.libraries import ONNX_FOR_CUDA, is_installed
from scdepth_core.machine import cpu_features, resolve_device

logger = logging.getLogger(__name__)

WINOGRAD_PAYS = 30_000  # pixels of the input; from 192x160 on ncnn is faster than OpenVINO
PRECISIONS = ("float32", "bfloat16", "float16", "int8")


@dataclass(frozen=True)
class Kind:
    """One row of the table of backends.

    Attributes:
        place: module and class.
        cpu, cuda: precisions on that device, the default first; empty where it does not run there.
        needs: libraries beyond PyTorch.
        reads: the ending of exported files that it runs, if any.
    """

    place: tuple[str, str]
    cpu: tuple[str, ...] = ()
    cuda: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    reads: str = ""

    def precisions(self, device: torch.device) -> tuple[str, ...]:
        return self.cuda if device.type == "cuda" else self.cpu

    def load(self) -> type[Backend]:
        module, name = self.place
        return getattr(importlib.import_module(module), name)


_HERE = "scdepth_core.inference.backends"
KINDS = {
    "torch": Kind((f"{_HERE}.pytorch", "Eager"), ("float32", "bfloat16"), ("float32", "float16", "bfloat16")),
    "compiled": Kind((f"{_HERE}.pytorch", "Compiled"), ("float32", "bfloat16"), ("float32", "float16", "bfloat16")),
    "cuda-graph": Kind((f"{_HERE}.pytorch", "CudaGraph"), (), ("float32", "float16", "bfloat16")),
    "onnxruntime": Kind(
        (f"{_HERE}.onnx_runtime", "OnnxRuntime"), ("float32",), ("float32", "float16"), ("onnxruntime",), ".onnx"
    ),
    "tensorrt": Kind((f"{_HERE}.onnx_runtime", "TensorRT"), (), ("float32", "float16"), ("onnxruntime",), ".onnx"),
    "openvino": Kind((f"{_HERE}.openvino_cpu", "OpenVino"), ("float32", "bfloat16", "int8"), (), ("openvino",), ".xml"),
    "ncnn": Kind((f"{_HERE}.ncnn_cpu", "Ncnn"), ("float32",), (), ("ncnn", "pnnx")),
}
FILE_ENDINGS = tuple(dict.fromkeys(kind.reads for kind in KINDS.values() if kind.reads))


def load_backend(source: Source, device: str = "auto", backend: str = "auto", precision: str = "auto") -> Backend:
    """The backend of these names, ready to run.

    Args:
        source: weights, or an exported file.
        device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
        backend: one of KINDS, or 'auto': on the CPU the fastest of OpenVINO and ncnn that is installed (the same depth
            as PyTorch's), otherwise PyTorch; for an exported file the one that reads it.
        precision: one of PRECISIONS, or 'auto': float32, and for an exported file what it was exported in.

    Raises:
        BackendError: unknown, missing, or not possible together.
    """
    where = resolve_device(device)
    name = _chosen(source, where, backend)
    _check_file(source, name)
    if device == "auto" and where.type == "cuda":
        where = _where_it_runs(KINDS[name], where)
    precision = _checked_precision(source, name, where, precision)
    return KINDS[name].load()(source, where, precision)


def check_names(device: str, backend: str, precision: str) -> None:
    """Raise BackendError for a name that no machine knows, and for a device that this one lacks."""
    resolve_device(device)
    for what, value, known in (("backend", backend, KINDS), ("precision", precision, PRECISIONS)):
        if value != "auto" and value not in known:
            raise BackendError(f"{what} '{value}' is unknown, expected auto, {', '.join(known)}")


def _chosen(source: Source, device: torch.device, backend: str) -> str:
    check_names("cpu", backend, "auto")
    if backend != "auto":
        return backend
    if source.file is not None:
        return next(name for name, kind in KINDS.items() if kind.reads == source.file.suffix)
    faster = () if device.type == "cuda" else _faster_on_the_cpu(source.metadata.height * source.metadata.width)
    return next((name for name in faster if is_installed(*KINDS[name].needs)), "torch")


def _faster_on_the_cpu(pixels: int) -> tuple[str, str]:
    """What is faster than PyTorch there, the fastest first: measured with ResNet-18 on one core."""
    return ("ncnn", "openvino") if pixels >= WINOGRAD_PAYS else ("openvino", "ncnn")


def _where_it_runs(kind: Kind, cuda: torch.device) -> torch.device:
    """For device auto: the CPU where this backend, or its library as it is installed, has nothing for CUDA."""
    missing = kind.load().missing(cuda) if kind.cpu and kind.cuda else ""
    if missing:
        logger.warning("%s, so the network runs on the CPU – for CUDA %s", missing, ONNX_FOR_CUDA)
    return torch.device("cpu") if missing or not kind.cuda else cuda


def _check_file(source: Source, name: str) -> None:
    if source.file is not None and source.file.suffix != KINDS[name].reads:
        readers = [other for other, kind in KINDS.items() if kind.reads == source.file.suffix]
        raise BackendError(
            f"backend {name} cannot run '{source.file}' – choose {' or '.join(readers)}, or give it the weights"
        )


def _checked_precision(source: Source, name: str, device: torch.device, precision: str) -> str:
    check_names("cpu", name, precision)
    possible = KINDS[name].precisions(device)
    if not possible:
        there = "the CPU" if device.type == "cuda" else "CUDA"
        raise BackendError(f"backend {name} runs on {there} only, the device is {device} – choose another of the two")
    if source.file is not None:
        if precision not in ("auto", source.file_precision):
            raise BackendError(
                f"'{source.file}' was exported in {source.file_precision}, asked for is {precision} – export it again "
                "with --precision, or choose auto"
            )
        precision = source.file_precision
    elif precision == "int8" and not source.calibration:
        raise BackendError(
            "int8 has to be calibrated on frames of your camera – write a file with 'scdepth export WEIGHTS OUT.xml "
            "--to openvino --precision int8 --frames FOLDER', and give that file as weights"
        )
    precision = possible[0] if precision == "auto" else precision
    if precision not in possible and source.file is None:
        raise BackendError(f"backend {name} has no {precision} on {device.type} – choose {' or '.join(possible)}")
    if precision == "bfloat16" and device.type == "cpu" and "bfloat16" not in cpu_features():
        cure = "choose float32" if source.file is None else f"export '{source.file}' again in float32"
        raise BackendError(f"this CPU has no bfloat16 instructions and would be slower with it – {cure}")
    return precision
