"""Other convolutions in the place of a network's own."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def exchange_convolutions(network: nn.Module, kind: type[nn.Conv2d], wanted: Callable[[nn.Conv2d], bool]) -> None:
    """Put a `kind` where a plain nn.Conv2d is wanted to be one; parameters and their names stay."""
    for parent in list(network.modules()):
        for name, conv in parent.named_children():
            if type(conv) is nn.Conv2d and wanted(conv):
                shape = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
                options = {"padding_mode": conv.padding_mode, "bias": conv.bias is not None}
                ours = kind(*shape, **options, device="meta")  # draws nothing
                ours.weight, ours.bias = conv.weight, conv.bias
                setattr(parent, name, ours)
