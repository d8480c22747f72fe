"""DepthNet: one RGB image to one depth map (U-Net on a ResNet, a MobileNet or another backbone)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scdepth_core.errors import ConfigError
from scdepth_core.networks.elu import ELU
from scdepth_core.networks.encoder import build_encoder

DECODERS = {"full": (16, 32, 64, 128, 256), "half": (8, 16, 32, 64, 128)}  # channels, fine to coarse
UPSAMPLING = {"bilinear": {"mode": "bilinear", "align_corners": False}, "nearest": {"mode": "nearest"}}
MAX_DISPARITY, MIN_DISPARITY = 10.0, 0.01
START_LOGIT = -1.4  # an untrained network says 0.5: room for what is five times nearer, and for what is farther


class DepthNet(nn.Module):
    """Depth from one image: disparity = 10 sigmoid(x) + 0.01, depth = 1 / disparity, in [0.0999, 100] network units.

    Input (B, 3, H, W), normalised with (x / 255 - 0.45) / 0.225, H and W multiples of 32. Output (B, 1, H, W).

    Args:
        encoder: resnet18, resnet50, mobilenet_v2, mobilenet_v3_small, mobilenet_v3_large, or timm/NAME.
        upsampling: how the decoder enlarges: bilinear, or nearest as the first public code (SC-SfMLearner) does.
        decoder: full, or half: half as many channels everywhere, for small CPUs.
    """

    def __init__(self, encoder: str = "resnet18", upsampling: str = "bilinear", decoder: str = "full"):
        super().__init__()
        self.encoder = build_encoder(encoder)
        self.decoder = DepthDecoder(self.encoder.channels, upsampling, decoder)

    def forward(self, image: Tensor) -> Tensor:
        logits = self.decoder(self.encoder(image))
        return 1.0 / (MAX_DISPARITY * torch.sigmoid(logits) + MIN_DISPARITY)


class DepthDecoder(nn.Module):
    """Five steps of convolve, upsample, join the skip, convolve; the finest step gives the logits (B, 1, H, W)."""

    def __init__(self, encoder_channels: tuple[int, ...], upsampling: str = "bilinear", width: str = "full"):
        super().__init__()
        for what, value, known in (("upsampling", upsampling, UPSAMPLING), ("decoder", width, DECODERS)):
            if value not in known:
                raise ConfigError(f"{what} is '{value}', expected one of {', '.join(known)}")
        self.upsampling = UPSAMPLING[upsampling]
        self.upconvs0, self.upconvs1 = nn.ModuleList(), nn.ModuleList()
        incoming, widths = encoder_channels[-1], DECODERS[width]
        for level in range(4, -1, -1):
            channels = widths[level]
            skip = encoder_channels[level - 1] if level > 0 else 0
            self.upconvs0.append(ConvELU(incoming, channels))
            self.upconvs1.append(ConvELU(channels + skip, channels))
            incoming = channels
        self.dispconvs = nn.ModuleList(ReflectConv(channels, 1) for channels in widths[:4])
        nn.init.constant_(self.dispconvs[0].conv.bias, START_LOGIT)
        self.dispconvs[1:].requires_grad_(False)  # coarser outputs: named in checkpoints, never run

    def forward(self, features: list[Tensor | None]) -> Tensor:
        x, skips = features[-1], [*features[-2::-1], None]
        for reduce, fuse, skip in zip(self.upconvs0, self.upconvs1, skips):
            x = F.interpolate(reduce(x), scale_factor=2, **self.upsampling)
            x = fuse(x if skip is None else torch.cat([x, skip], dim=1))
        with torch.autocast(x.device.type, enabled=False):  # 16 bits here would make depth a staircase
            return self.dispconvs[0](x.float())


class ReflectConv(nn.Module):
    """3x3 convolution with reflection padding: (B, C, H, W) to (B, C', H, W)."""

    def __init__(self, incoming: int, outgoing: int):
        super().__init__()
        self.conv = nn.Conv2d(incoming, outgoing, kernel_size=3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class ConvELU(nn.Module):
    """ReflectConv followed by ELU."""

    def __init__(self, incoming: int, outgoing: int):
        super().__init__()
        self.conv = ReflectConv(incoming, outgoing)
        self.elu = ELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.elu(self.conv(x))
