"""What every backend is, and what it is made from."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scdepth_core.checkpoint import load_network_state, never_runs
from scdepth_core.network_fingerprint import network_fingerprint
from scdepth_core.networks import DepthNet
from scdepth_core.weights_metadata import WeightsMetadata

BATCH = 1  # frames at a time: a camera has one, and a fixed shape is what compilers like


@dataclass(frozen=True)
class Source:
    """Where a backend gets its network from: weights, or a file that `scdepth export` wrote; never both.

    Attributes:
        metadata: of the weights; its height and width are the input size.
        state: parameters of DepthNet by name.
        origin: where they come from, for messages.
        file: .onnx or .xml.
        file_precision: what that file was exported in; file_network: fingerprint of the network that it was made from,
            empty where it does not say.
        calibration: frames of the user's own camera, (1, H, W, 3) uint8 each, which int8 needs.
    """

    metadata: WeightsMetadata
    state: dict[str, Tensor] | None = None
    origin: str = "weights"
    file: Path | None = None
    file_precision: str = ""
    file_network: str = ""
    calibration: tuple[np.ndarray, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the pixels that a backend takes."""
        return (BATCH, self.metadata.height, self.metadata.width, 3)

    @cached_property
    def network(self) -> DepthNet:
        """The DepthNet with these parameters, evaluating. Made when asked for: a converted one in the cache needs none.

        Raises:
            CheckpointError: the parameters are not those of the network that the metadata says.
        """
        network = DepthNet(self.metadata.encoder, self.metadata.upsampling, self.metadata.decoder)
        load_network_state(network, self.state, self.origin)
        return network.eval()

    @cached_property
    def fingerprint(self) -> str:
        """Of the DepthNet, as network_fingerprint gives it; empty for an exported file that does not say."""
        return self.file_network if self.state is None else network_fingerprint(self.state)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what decides the depth: every parameter that runs, the metadata, and for int8 the frames.

        A new scale or another name of the data set is no other network, and costs no conversion.
        """
        computes = replace(self.metadata, metres_per_unit=None, dataset="", fingerprint="")
        digest = hashlib.sha256(repr(computes).encode())
        if self.file is not None:
            digest.update(self.file.read_bytes())
        else:
            for name, value in sorted(self.state.items()):
                if not never_runs(name):  # files may leave it out
                    digest.update(name.encode())
                    digest.update(value.detach().cpu().contiguous().numpy())
        for frame in self.calibration:
            digest.update(np.ascontiguousarray(frame))
        return digest.hexdigest()


class Backend(ABC):
    """One way to run the network, ready to.

    Attributes:
        name: the one by which it is chosen.
        precision: 'float32', 'bfloat16', 'float16' or 'int8'.
        device: where it runs.

    Raises:
        BackendError: when it is made, if a library or the device is missing, or cannot do this.
    """

    name: str
    precision: str
    device: torch.device

    @classmethod
    def missing(cls, device: torch.device) -> str:
        """What the library, as it is installed, lacks to run on a device that this backend knows; empty: nothing."""
        return ""

    def __init__(self, source: Source, device: torch.device, precision: str):
        self.device, self.precision = device, precision

    @abstractmethod
    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Depth of a batch: (1, H, W, 3) uint8 RGB of the network's size to (1, H, W) float32, network units.

        The result may be overwritten by the next call.
        """
