"""ONNX Runtime, on the CPU, on CUDA, or on CUDA through TensorRT."""

from __future__ import annotations

import importlib
import logging
import shutil
from contextlib import suppress
from types import ModuleType

import numpy as np
import torch

from scdepth_core.errors import BackendError, first_line
from scdepth_core.inference.backends.base import Backend, Source
from scdepth_core.inference.backends.libraries import ONNX_FOR_CUDA, failures_explained, import_optional
from scdepth_core.inference.convert import onnx_bytes
from scdepth_core.inference.engine_cache import engine, engine_folder, engine_key

LIBRARIES = ("onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "tensorrt")

logger = logging.getLogger(__name__)


class OnnxRuntime(Backend):
    """ONNX Runtime with the provider of the device."""

    name = "onnxruntime"
    on_cuda = "CUDAExecutionProvider"

    def __init__(self, source: Source, device: torch.device, precision: str):
        self._library, self._provider = self._on(device)
        super().__init__(source, device, precision)
        if missing := self.missing(device):
            raise BackendError(f"{missing} – {ONNX_FOR_CUDA}, or choose another backend or device")
        key = engine_key(source, self.name, device, precision, LIBRARIES)
        self._providers = self._wanted_providers(key)
        with failures_explained(self.name):
            if source.file is not None:
                self._session = self._open(source.file.read_bytes())
            else:
                self._session = engine(key, lambda: onnx_bytes(source, precision), self._open)
        self._input = self._session.get_inputs()[0].name

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        with failures_explained(self.name):
            return self._session.run(None, {self._input: pixels})[0]

    def _wanted_providers(self, key: dict) -> list[tuple[str, dict]]:
        if self.device.type == "cpu":
            return [("CPUExecutionProvider", {})]
        return [("CUDAExecutionProvider", {"device_id": self.device.index or 0})]

    @classmethod
    def missing(cls, device: torch.device) -> str:
        library, provider = cls._on(device)
        present = library.get_available_providers()
        return "" if provider in present else f"this onnxruntime has no {provider} (it has {', '.join(present)})"

    @classmethod
    def _on(cls, device: torch.device) -> tuple[ModuleType, str]:
        """The library, and the name of its provider for the device."""
        library = import_optional("onnxruntime", "onnx", f"backend {cls.name}")
        return library, cls.on_cuda if device.type == "cuda" else "CPUExecutionProvider"

    def _open(self, model: bytes):
        options = self._library.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # see threads.py
        options.log_severity_level = 3
        try:
            session = self._library.InferenceSession(
                model,
                options,
                providers=self._providers,
                enable_fallback=0,  # it would say so on stdout
            )
        except (ValueError, RuntimeError) as error:  # of a provider; for a model the library has kinds of its own
            reason = first_line(error)
            raise self._does_not_start(f" ({reason})") from error
        if session.get_providers()[0] != self._provider:  # it leaves out without a word what does not start
            raise self._does_not_start()
        return session

    def _does_not_start(self, reason: str = "") -> BackendError:
        return BackendError(
            f"{self._provider} of onnxruntime does not start on {self.device}{reason} – check that its CUDA, cuDNN "
            "or TensorRT libraries are installed, for the same major version of CUDA (onnxruntime-gpu 1.27 and newer: "
            "13), or choose another backend"
        )


class TensorRT(OnnxRuntime):
    """ONNX Runtime's TensorRT provider: it builds an engine at the first start (minutes) and keeps it in our cache."""

    name = "tensorrt"
    on_cuda = "TensorrtExecutionProvider"

    def _wanted_providers(self, key: dict) -> list[tuple[str, dict]]:
        options = {"device_id": self.device.index or 0, "trt_fp16_enable": self.precision == "float16"}
        self._folder = engine_folder(key)
        if self._folder is not None:
            options |= {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(self._folder)}
        return [(self._provider, options), *super()._wanted_providers(key)]

    def _open(self, model: bytes):
        """A session; engines of another TensorRT, which may come with the system and in no key, are made again."""
        with suppress(ImportError):
            importlib.import_module("tensorrt")  # as pip installs it, the provider finds its libraries only after this
        try:
            return super()._open(model)
        except Exception as error:  # of whatever kind
            if self._folder is None or not any(self._folder.iterdir()):
                raise
            logger.warning("the TensorRT engine in '%s' does not start (%s), it is made again", self._folder, error)
            shutil.rmtree(self._folder)
            self._folder.mkdir()
            return super()._open(model)
