"""What is measured: a network as the node would run it, the camera in front of it, and the cloud that comes out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scdepth_core.geometry.camera import Camera

NAMESPACE = "/scdepth_bench"  # of all topics, so that no running robot is disturbed
NODE = "bench_depth_node"
FRAME_ID = "bench_camera_optical_frame"


@dataclass(frozen=True)
class Network:
    """Values of depth_node's parameters of the same names."""

    weights: str = ""
    device: str = "auto"
    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class Cloud:
    """depth_node's cloud_decimation and cloud_layout."""

    step: int = 1
    layout: str = "pcl"

    @property
    def name(self) -> str:
        size = "full cloud" if self.step == 1 else f"cloud by {self.step}"
        return size if self.layout == "pcl" else f"{size}, {self.layout}"


@dataclass(frozen=True)
class View:
    """The camera: image size in pixels, and whether its lens distorts, so that every frame has to be rectified."""

    width: int = 640
    height: int = 480
    distorted: bool = False

    def camera(self) -> Camera:
        """65 degrees wide."""
        f = 0.785 * self.width
        K = np.array([[f, 0, (self.width - 1) / 2], [0, f, (self.height - 1) / 2], [0, 0, 1]])
        D = np.array([-0.25, 0.08, 0.0005, -0.0003, 0.0]) if self.distorted else np.zeros(5)
        return Camera(self.width, self.height, K, "plumb_bob", D)

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB: soft random patches; no figure depends on what it shows."""
        patches = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
        return cv2.resize(patches, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
