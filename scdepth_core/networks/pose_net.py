"""PoseNet (relative camera motion) and RectifyNet (relative rotation, the auto-rectify network of V2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scdepth_core.networks.encoder import ResNetEncoder

POSE_SCALE = 0.01  # starts training near the identity


class PoseNet(nn.Module):
    """Motion between two images: (B, 3, H, W) twice to (B, 6) = (tx ty tz rx ry rz).

    The vector is the transform that takes points from the target camera to the source camera; translation in
    network units, rotation in radians, R = Rx Ry Rz.
    """

    def __init__(self):
        super().__init__()
        self.encoder = ResNetEncoder("resnet18", images=2)
        self.decoder = MotionDecoder(outputs=6)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        return POSE_SCALE * self.decoder(self.encoder(torch.cat([target, source], dim=1)))


class RectifyNet(nn.Module):
    """Rotation between two images, seen at half size: (B, 3, H, W) twice to (B, 3) rotations in radians (V2, ARN)."""

    def __init__(self):
        super().__init__()
        self.encoder = ResNetEncoder("resnet18", images=2)
        self.decoder = MotionDecoder(outputs=3)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        pair = torch.cat([target, source], dim=1)
        # align_corners=True is what published checkpoints were trained with; a rotation does not care for half a pixel
        half = F.interpolate(pair, scale_factor=0.5, mode="bilinear", align_corners=True)
        return self.decoder(self.encoder(half))


class MotionDecoder(nn.Module):
    """Convolutions on the coarsest features, then the mean over the image: (B, 512, h, w) to (B, outputs)."""

    def __init__(self, outputs: int):
        super().__init__()
        self.conv_squeeze = nn.Conv2d(512, 256, kernel_size=1)
        self.convs_pose = nn.ModuleList(
            [
                nn.Conv2d(256, 256, kernel_size=3, padding=1),
                nn.Conv2d(256, 256, kernel_size=3, padding=1),
                nn.Conv2d(256, outputs, kernel_size=1),
            ]
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        x = F.relu(self.conv_squeeze(features[-1]))
        x = F.relu(self.convs_pose[0](x))
        x = F.relu(self.convs_pose[1](x))
        return self.convs_pose[2](x).float().mean(dim=(2, 3))
