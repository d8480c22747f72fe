"""MotionEstimator: camera motion between two images, with the PoseNet of a training checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scdepth_core.checkpoint import load_network_state, load_networks, network_state
from scdepth_core.geometry.camera import scale_intrinsics
from scdepth_core.geometry.pose import euler_to_matrix, pose_vec2mat
from scdepth_core.geometry.warping import inverse_rotation_warp
from scdepth_core.machine import keep_freed_memory, resolve_device
from scdepth_core.networks import PoseNet, RectifyNet
from scdepth_core.networks.normalization import normalize, resize_for_network
from scdepth_core.weights_metadata import WeightsMetadata


class MotionEstimator:
    """Motion from one image to another. With the RectifyNet of V2, the rotation is taken out first and put back.

    Attributes:
        metadata: of the checkpoint: input size, version.
    """

    def __init__(
        self, pose_net: PoseNet, rectify_net: RectifyNet | None, metadata: WeightsMetadata, device: torch.device
    ):
        self.metadata, self.device = metadata, device
        self.pose_net = pose_net.to(device).eval()
        self.rectify_net = None if rectify_net is None else rectify_net.to(device).eval()
        if device.type == "cpu":
            keep_freed_memory()

    @classmethod
    def load(cls, checkpoint: str | Path, device: str = "auto") -> MotionEstimator:
        """From a checkpoint of `scdepth train`, or of the public code (.ckpt, .pth.tar of the pose network).

        Raises:
            CheckpointError: the file cannot be used, or holds no PoseNet. BackendError: the device is not there.
        """
        resolve_device(device)  # what is not there is said before the file is read
        return cls.of(*load_networks(checkpoint), checkpoint, device)

    @classmethod
    def of(
        cls, networks: dict[str, dict[str, Tensor]], metadata: WeightsMetadata, path: str | Path, device: str = "auto"
    ) -> MotionEstimator:
        """From what load_networks found in the file `path`; raises as `load` does."""
        pose_net = _filled(PoseNet(), networks, path)
        rectify_net = _filled(RectifyNet(), networks, path) if "RectifyNet" in networks else None
        return cls(pose_net, rectify_net, metadata, resolve_device(device))

    @torch.inference_mode()
    def relative(self, first: np.ndarray, second: np.ndarray, K: np.ndarray) -> np.ndarray:
        """(4, 4) transform that takes points from the first camera to the second, network units.

        Args:
            first, second: (H, W, 3) uint8 RGB.
            K: (3, 3) intrinsics of both.
        """
        (height, width), wanted = first.shape[:2], (self.metadata.width, self.metadata.height)
        pair = np.stack([resize_for_network(image, *wanted) for image in (first, second)])
        images = normalize(torch.from_numpy(pair).permute(0, 3, 1, 2).contiguous().to(self.device))
        target, source = images[:1], images[1:]
        rotation = torch.eye(3, dtype=torch.float64)
        if self.rectify_net is not None:
            scaled = scale_intrinsics(np.asarray(K, np.float32), wanted[0] / width, wanted[1] / height)
            angles = self.rectify_net(target, source)
            source, _ = inverse_rotation_warp(source, angles, torch.from_numpy(scaled)[None].to(self.device))
            rotation = euler_to_matrix(angles.double().cpu())[0]
        transform = torch.eye(4, dtype=torch.float64)
        transform[:3] = rotation @ pose_vec2mat(self.pose_net(target, source).double().cpu())[0]
        return transform.numpy()


def _filled(network: PoseNet | RectifyNet, networks: dict[str, dict[str, Tensor]], path: str | Path):
    load_network_state(network, network_state(type(network).__name__, networks, path), path)
    return network
