"""ONNX Runtime, on the CPU, on CUDA, or on CUDA through TensorRT."""

from __future__ import annotations

import numpy as np
import torch

from scdepth_core.errors import BackendError
from scdepth_core.inference.backends.base import Backend, Source
from scdepth_core.inference.backends.libraries import import_optional
from scdepth_core.inference.convert import onnx_bytes
from scdepth_core.inference.engine_cache import engine, engine_folder, engine_key

LIBRARIES = ("onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu")


class OnnxRuntime(Backend):
    """ONNX Runtime with the provider of the device."""

    name = "onnxruntime"

    def __init__(self, source: Source, device: torch.device, precision: str):
        self._library = import_optional("onnxruntime", "onnx", f"backend {self.name}")
        super().__init__(source, device, precision)
        key = engine_key(source, self.name, device, precision, LIBRARIES)
        self._providers = self._wanted_providers(key)
        self._refuse_missing_provider()
        if source.file is not None:
            self._session = self._open(source.file.read_bytes())
        else:
            self._session = engine(key, lambda: onnx_bytes(source, precision), self._open)
        self._input = self._session.get_inputs()[0].name

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._input: pixels})[0]

    def _wanted_providers(self, key: dict) -> list[tuple[str, dict]]:
        if self.device.type == "cpu":
            return [("CPUExecutionProvider", {})]
        return [("CUDAExecutionProvider", {"device_id": self.device.index or 0})]

    def _refuse_missing_provider(self) -> None:
        wanted, present = self._providers[0][0], self._library.get_available_providers()
        if wanted not in present:
            raise BackendError(
                f"this onnxruntime has no {wanted} (it has {', '.join(present)}) – pip install onnxruntime-gpu, "
                "or choose another backend or device"
            )

    def _open(self, model: bytes):
        options = self._library.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # see threads.py
        options.log_severity_level = 3
        session = self._library.InferenceSession(model, options, providers=self._providers)
        if session.get_providers()[0] != self._providers[0][0]:  # it falls back to the CPU without a word
            raise BackendError(
                f"{self._providers[0][0]} of onnxruntime does not start on {self.device} – check that its CUDA, cuDNN "
                "or TensorRT libraries are installed, or choose another backend"
            )
        return session


class TensorRT(OnnxRuntime):
    """ONNX Runtime's TensorRT provider: it builds an engine at the first start (minutes) and keeps it in our cache."""

    name = "tensorrt"

    def _wanted_providers(self, key: dict) -> list[tuple[str, dict]]:
        options = {
            "device_id": self.device.index or 0,
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(engine_folder(key)),
        }
        return [("TensorrtExecutionProvider", options), *super()._wanted_providers(key)]
