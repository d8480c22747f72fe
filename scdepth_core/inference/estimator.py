"""DepthEstimator: weights in, depth of images out. The model never comes apart from its preprocessing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from scdepth_core.checkpoint import WeightsMetadata, load_network_state, load_weights
from scdepth_core.errors import BackendError, ImageError
from scdepth_core.networks import DepthNet
from scdepth_core.networks.normalization import resize_for_network


class DepthEstimator:
    """Depth of single images.

        estimator = DepthEstimator.load("weights.safetensors")
        depth = estimator.predict(rgb)  # (H, W) float32, network units

    Attributes:
        metadata: of the weights: input size, training data, metres_per_unit.
        device: where the network runs.
    """

    def __init__(self, network: DepthNet, metadata: WeightsMetadata, device: torch.device):
        self.metadata, self.device = metadata, device
        self.network = network.to(device, memory_format=torch.channels_last).eval()
        self._scale = torch.tensor(1 / (255 * metadata.std), device=device)
        self._shift = torch.tensor(metadata.mean / metadata.std, device=device)

    @classmethod
    def load(cls, weights: str | Path | None = None, device: str = "auto") -> DepthEstimator:
        """Build the network that a weights file was made for. Needs no network access.

        Args:
            weights: .safetensors, .ckpt or .pth.tar; None for the starter weights.
            device: 'auto' (CUDA where there is one), 'cpu', 'cuda' or 'cuda:N'.

        Raises:
            CheckpointError: the file cannot be used. BackendError: the device is not there.
        """
        chosen = resolve_device(device)
        state, metadata = load_weights(weights)
        network = DepthNet(metadata.encoder, metadata.upsampling)
        load_network_state(network, state, weights or "starter weights")
        return cls(network, metadata, chosen)

    @torch.inference_mode()
    def predict(self, rgb: np.ndarray) -> np.ndarray:
        """Depth (H, W) float32, network units, of an image (H, W, 3) uint8 RGB of any size.

        Raises:
            ImageError: the array is not such an image.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
            raise ImageError(f"image is {rgb.dtype} {rgb.shape}, expected uint8 (H, W, 3) RGB")
        height, width = rgb.shape[:2]
        small = resize_for_network(rgb, self.metadata.width, self.metadata.height)
        batch = torch.from_numpy(small)[None].to(self.device).permute(0, 3, 1, 2)  # channels last, as it lies in memory
        depth = self.network(batch.float().mul_(self._scale).sub_(self._shift))[0, 0].float().cpu().numpy()
        return cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR)


def resolve_device(name: str) -> torch.device:
    """The device of a name, checked: BackendError when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise BackendError(f"device '{name}' is unknown, expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BackendError(f"device '{name}' is not there ({torch.cuda.device_count()} CUDA devices found) – use cpu")
    return device
