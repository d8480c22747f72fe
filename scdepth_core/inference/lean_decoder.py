"""The decoder as inference runs it: the same depth in fewer steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scdepth_core.networks.depth_net import ConvELU, DepthDecoder, ReflectConv

BLOCK = 4  # pixels a side: 4 x 4 outputs are the 16 float32 lanes of an AVX-512 register


class LeanDecoder(nn.Module):
    """A DepthDecoder without joins and with full vector registers: features in, logits (B, 1, H, W) in float32 out.

    Args:
        decoder: the one to compute; the same but for the rounding of sums. Its layers are used, not copied.
    """

    def __init__(self, decoder: DepthDecoder):
        super().__init__()
        self.upsampling = decoder.upsampling
        self.reduce, self.fuse = decoder.upconvs0, nn.ModuleList()
        for reduce, fuse in zip(decoder.upconvs0, decoder.upconvs1):
            channels = reduce.conv.conv.out_channels
            joined = fuse.conv.conv.in_channels > channels
            self.fuse.append(JoinELU(fuse, channels) if joined else fuse)
        self.last = BlockConv(decoder.dispconvs[0])

    def forward(self, features: list[Tensor | None]) -> Tensor:
        x, skips = features[-1], [*features[-2::-1], None]
        for reduce, fuse, skip in zip(self.reduce, self.fuse, skips):
            x = F.interpolate(reduce(x), scale_factor=2, **self.upsampling)
            x = fuse(x) if skip is None else fuse(x, skip)
        return self.last(x.float())


class JoinELU(nn.Module):
    """ELU(conv([x, skip])), computed as ELU(conv_x(x) + conv_skip(skip)): nothing is copied to lie side by side.

    Args:
        fuse: what convolves the joined features.
        channels: those of x, which come first.
    """

    def __init__(self, fuse: ConvELU, channels: int):
        super().__init__()
        whole = fuse.conv.conv
        self.of_x = _reflecting(whole.weight[:, :channels], None)
        self.of_skip = _reflecting(whole.weight[:, channels:], whole.bias)
        self.elu = fuse.elu

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.elu(self.of_skip(skip) + self.of_x(x))


class BlockConv(nn.Module):
    """A 3x3 convolution with one output, (B, C, H, W) to (B, 1, H, W), for the BLOCK x BLOCK pixels of a block at once.

    One output leaves 15 of 16 vector lanes idle. Here pixel (a, b) of a block is output BLOCK a + b of a convolution
    whose stride is the block, and whose kernel has the 3x3 weights from row a and column b on, and zeros elsewhere.

    Args:
        conv: the convolution; H and W have to be multiples of BLOCK.
    """

    def __init__(self, conv: ReflectConv):
        super().__init__()
        kernel, bias = conv.conv.weight[0], conv.conv.bias
        weight = kernel.new_zeros(BLOCK, BLOCK, len(kernel), BLOCK + 2, BLOCK + 2)
        for a in range(BLOCK):
            for b in range(BLOCK):
                weight[a, b, :, a : a + 3, b : b + 3] = kernel
        self.conv = _reflecting(weight.flatten(0, 1), bias.expand(BLOCK**2), stride=BLOCK)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), BLOCK)


@torch.no_grad()
def _reflecting(weight: Tensor, bias: Tensor | None, stride: int = 1) -> nn.Conv2d:
    """A convolution with these weights (C', C, K, K) and one pixel of reflection around its input."""
    outgoing, incoming, size, _ = weight.shape
    conv = nn.Conv2d(
        incoming, outgoing, size, stride, padding=1, padding_mode="reflect", bias=bias is not None, dtype=weight.dtype
    )
    conv.weight.copy_(weight)
    if bias is not None:
        conv.bias.copy_(bias)
    return conv
