"""OpenVINO on the CPU: the fastest one there, with the same depth in float32."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from scdepth_core.errors import BackendError
from scdepth_core.inference.backends.base import Backend, Source
from scdepth_core.inference.backends.libraries import failures_explained, import_optional
from scdepth_core.inference.backends.openvino_core import openvino_core
from scdepth_core.inference.convert import openvino_model
from scdepth_core.inference.engine_cache import engine, engine_key, joined, parted
from scdepth_core.inference.quantize import quantized_model
from scdepth_core.machine import cpu_features

HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVino(Backend):
    """OpenVINO's CPU plugin, one frame at a time, with as many threads as PyTorch has."""

    name = "openvino"

    def __init__(self, source: Source, device: torch.device, precision: str):
        self._library = import_optional("openvino", "openvino", "backend openvino")
        super().__init__(source, device, precision)
        self._core = openvino_core()
        with failures_explained(self.name):
            if source.file is not None:
                self._request = self._open(self._core.read_model(source.file))
            else:
                build = quantized_model if precision == "int8" else openvino_model
                key = engine_key(source, self.name, device, precision, ("openvino", "nncf"))
                self._request = engine(
                    key,
                    lambda: pack_model(build(source, precision)),
                    lambda payload: self._open(self._unpack(payload)),
                )

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        np.copyto(self._pixels, pixels)
        self._request.start_async()  # infer() would wrap and copy what it gives: 0.2 ms
        self._request.wait()
        return self._request.get_output_tensor(0).data

    def _open(self, model):
        hint = HINTS[self._precision_of_floats()]
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": hint,
            "ENABLE_HYPER_THREADING": True,
        }
        compiled = self._core.compile_model(model, "CPU", options)
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if used not in (hint, {"bf16": "bfloat16", "f32": "float32"}[hint]):
            raise BackendError(f"OpenVINO computes in {used} on this CPU instead of {hint} – choose another precision")
        request = compiled.create_infer_request()
        self._pixels = np.zeros(compiled.input(0).shape, np.uint8)
        request.set_input_tensor(self._library.Tensor(self._pixels, shared_memory=True))
        return request

    def _precision_of_floats(self) -> str:
        """int8 is in the file itself; what a quantized network computes beside it is as well done in 16 bits."""
        if self.precision == "int8":
            return "bfloat16" if "bfloat16" in cpu_features() else "float32"
        return self.precision

    def _unpack(self, payload: bytes):
        xml, weights = parted(payload)
        return self._core.read_model(xml.decode(), self._library.Tensor(np.frombuffer(weights, np.uint8)))


def pack_model(model) -> bytes:
    """An OpenVINO model as one piece."""
    library = import_optional("openvino", "openvino", "backend openvino")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        library.save_model(model, path, compress_to_fp16=False)
        return joined(path.read_bytes(), path.with_suffix(".bin").read_bytes())
