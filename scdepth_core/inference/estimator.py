"""DepthEstimator: weights in, depth of images out. The model never comes apart from its preprocessing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from scdepth_core.errors import ImageError
from scdepth_core.inference.backends import check_names, load_backend
from scdepth_core.inference.backends.base import Backend
from scdepth_core.inference.exported_file import open_source
from scdepth_core.networks.normalization import resize_for_network
from scdepth_core.weights_metadata import WeightsMetadata


class DepthEstimator:
    """Depth of single images.

        estimator = DepthEstimator.load("weights.safetensors")
        depth = estimator.predict(rgb)  # (H, W) float32, network units

    Load it in the thread that predicts: what libraries prepare belongs to a thread, and another one is slower.

    Attributes:
        backend: what runs the network; its name, precision and device say how.
        metadata: of the weights: input size, training data, metres_per_unit.
    """

    def __init__(self, backend: Backend, metadata: WeightsMetadata):
        self.backend, self.metadata = backend, metadata

    @classmethod
    def load(
        cls,
        weights: str | Path | None = None,
        device: str = "auto",
        backend: str = "auto",
        precision: str = "auto",
    ) -> DepthEstimator:
        """Build the network that a weights file was made for. Needs no network access.

        Args:
            weights: .safetensors, .ckpt or .pth.tar, or .onnx or .xml out of `scdepth export`; None: starter weights.
            device: 'auto' (CUDA where there is one), 'cpu', 'cuda' or 'cuda:N'.
            backend, precision: see `load_backend`; 'auto' takes OpenVINO or ncnn on a CPU that has them, else PyTorch.

        Raises:
            CheckpointError: the file cannot be used. BackendError: the device or the backend is not there.
        """
        check_names(device, backend, precision)
        source = open_source(weights)
        return cls(load_backend(source, device, backend, precision), source.metadata)

    @property
    def device(self):
        """Where the network runs: a torch.device."""
        return self.backend.device

    def predict(self, rgb: np.ndarray) -> np.ndarray:
        """Depth (H, W) float32, network units, of an image (H, W, 3) uint8 RGB of any size.

        Raises:
            ImageError: the array is not such an image.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
            raise ImageError(f"image is {rgb.dtype} {rgb.shape}, expected uint8 (H, W, 3) RGB")
        height, width = rgb.shape[:2]
        small = resize_for_network(rgb, self.metadata.width, self.metadata.height)
        depth = self.backend.predict(small[None])[0]
        return cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR)  # always a copy
