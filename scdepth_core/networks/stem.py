"""The first convolution of a ResNet, 7x7 with stride 2, with a quicker gradient of its image on a CPU.

In V2 all three networks see images that RectifyNet has turned, so this gradient is needed. On few channels with stride
2, PyTorch takes two to three times as long for it as for the convolution.

With a row and a column of zeros before it the kernel is 8x8 and reads four blocks of 2x2 pixels along each axis. On
those blocks, 4 C channels, the convolution is a 4x4 one with stride 1, and so is the gradient: that of the output,
convolved with the kernel turned around.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from scdepth_core.networks.exchange import exchange_convolutions


class StemConv2d(nn.Conv2d):
    """nn.Conv2d(C, K, 7, stride=2, padding=3, bias=False), with its own backward in float32 on a CPU."""

    def _conv_forward(self, image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        in_float32 = image.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")
        even = image.shape[2] % 2 == image.shape[3] % 2 == 0
        wanted = image.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if wanted and even and in_float32 and image.device.type == "cpu":
            return _Convolution.apply(image, weight)
        return super()._conv_forward(image, weight, bias)


def use_quick_stem(network: nn.Module) -> None:
    """Exchange the first convolution of every ResNet in a network; parameters and their names stay."""
    exchange_convolutions(network, StemConv2d, _is_stem)


def _is_stem(conv: nn.Conv2d) -> bool:
    sizes = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    plain = conv.groups == 1 and conv.padding_mode == "zeros" and conv.bias is None
    return plain and sizes == ((7, 7), (2, 2), (3, 3), (1, 1))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(image, weight)
        return F.conv2d(image, weight, stride=2, padding=3)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        image, weight = ctx.saved_tensors
        of_weight = torch.nn.grad.conv2d_weight(image, weight.shape, gradient, stride=2, padding=3)
        return _image_gradient(gradient, weight), of_weight


def _image_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """(N, K, H / 2, W / 2) and (K, C, 7, 7) to (N, C, H, W), channels-last."""
    outputs, channels, *_ = weight.shape
    blocks = F.pad(weight, (1, 0, 1, 0)).view(outputs, channels, 4, 2, 4, 2)
    kernel = blocks.permute(3, 5, 1, 0, 2, 4).flatten(0, 2).flip(2, 3)  # (4 C, K, 4, 4)
    of_blocks = F.conv2d(gradient, kernel.contiguous(memory_format=torch.channels_last), padding=2)[:, :, 1:, 1:]
    # rows of blocks, of pixels, columns of blocks, of pixels: (N, H / 2, 2, W / 2, 2, C)
    by_pixel = of_blocks.permute(0, 2, 3, 1).unflatten(3, (2, 2, channels)).transpose(2, 3)
    return by_pixel.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
