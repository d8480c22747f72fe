"""3x3 convolutions as Winograd computes them, F(4x4, 3x3): 36 multiplications instead of 144, forward and backward.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, eq. 15: of a tile d of 6x6 pixels and a
kernel g, the 4x4 outputs are Y = A^T [(G g G^T) * (B^T d B)] A, * by element. Summed over channels, * is a matrix
product for each of the 36 positions, and so are both of its gradients; what is around it are sums along one axis, then
the other.

PyTorch's own convolutions know this form on a CPU for inference at best, and training is mostly convolutions. Results
differ from theirs by the rounding of float32, about 1e-5 of the largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from scdepth_core.networks.exchange import exchange_convolutions

FEWEST_CHANNELS = 32  # in and out; with fewer the sums cost more than the multiplications that they save
CHUNK = 8 * 2**20  # bytes of transformed tiles at a time, which a CPU's cache holds
Views = Sequence[Tensor]


class WinogradConv2d(nn.Conv2d):
    """nn.Conv2d of 3x3 and stride 1 that trains by Winograd in float32 on a CPU, and is nn.Conv2d everywhere else."""

    def _conv_forward(self, image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        in_float32 = image.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")
        eager_training = torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if image.device.type != "cpu" or not in_float32 or not eager_training:
            return super()._conv_forward(image, weight, bias)
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        result = convolve3x3(F.pad(image, self._reversed_padding_repeated_twice, mode=mode), weight)
        return result if bias is None else result + bias[:, None, None]


def use_winograd(network: nn.Module) -> None:
    """Exchange the convolutions of a network for which it pays; parameters and their names stay."""
    exchange_convolutions(network, WinogradConv2d, _pays)


def _pays(conv: nn.Conv2d) -> bool:
    one_step = conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    return conv.kernel_size == (3, 3) and one_step and min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS


def convolve3x3(image: Tensor, weight: Tensor) -> Tensor:
    """Cross-correlate without padding: images (N, C, H, W) with weights (K, C, 3, 3) to (N, K, H - 2, W - 2)."""
    return _Convolution.apply(image, weight)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image: Tensor, weight: Tensor) -> Tensor:
        outputs, channels, *_ = weight.shape
        rows, columns = (-(-(side - 2) // 4) for side in image.shape[2:])  # of tiles
        bytes_of_row = 36 * columns * max(channels, outputs) * image.element_size()
        ctx.parts, ctx.columns = list(_parts(len(image), rows, bytes_of_row)), columns
        kernel = _transform_kernel(weight)
        result = image.new_empty(len(image), 4 * rows, 4 * columns, outputs)
        for some, top, bottom in ctx.parts:
            tiles = _transform_tiles(image[some, :, top : bottom + 2], bottom - top, columns)
            _transform_output(torch.bmm(tiles, kernel.transpose(1, 2)), result[some, top:bottom])
        ctx.save_for_backward(image, kernel)
        return result[:, : image.shape[2] - 2, : image.shape[3] - 2].permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        image, kernel = ctx.saved_tensors
        of_kernel = torch.zeros_like(kernel)
        height = max(bottom for _, _, bottom in ctx.parts) + 4
        of_image = image.new_empty(len(image), height, 4 * ctx.columns + 4, image.shape[1])
        for some, top, bottom in ctx.parts:
            of_product = _adjoint_output(gradient[some, :, top:bottom], bottom - top, ctx.columns)
            tiles = _transform_tiles(image[some, :, top : bottom + 2], bottom - top, ctx.columns)
            of_kernel.baddbmm_(of_product.transpose(1, 2), tiles)
            of_part = of_image[some, top : bottom + 4]
            seam = of_part[:, :2].clone()  # tiles of the part above reach down to here
            _adjoint_tiles(torch.bmm(of_product, kernel), of_part)
            if top > 0:
                of_part[:, :2] += seam
        of_image = of_image[:, : image.shape[2], : image.shape[3]].permute(0, 3, 1, 2)
        return of_image, _adjoint_kernel(of_kernel)


def _parts(images: int, rows: int, bytes_of_row: int) -> Iterator[tuple[slice, int, int]]:
    """Which images, and from which of their rows of pixels to which, have transformed tiles that fill one CHUNK.

    Args:
        rows: of tiles in an image; each makes four rows of pixels.
        bytes_of_row: of transformed tiles.
    """
    whole = max(1, CHUNK // (rows * bytes_of_row))
    height = max(1, CHUNK // bytes_of_row)
    for first in range(0, images, whole):
        for top in range(0, rows, height):
            yield slice(first, first + whole), 4 * top, 4 * min(top + height, rows)


def _pixels(image: Tensor, height: int, width: int) -> Tensor:
    """(N, C, H, W) as (N, height, width, C), zeros where there is no image."""
    image = F.pad(image, (0, width - image.shape[3], 0, height - image.shape[2]))
    return image.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)


def _transform_tiles(image: Tensor, height: int, columns: int) -> Tensor:
    """B^T d B of every tile d for `height` rows of outputs, (36, tiles, C)."""
    rows, channels = height // 4, image.shape[1]
    d = _pixels(image, height + 4, 4 * columns + 4)
    half = d.new_empty(6, len(d), rows, d.shape[2], channels)
    _input([d[:, i : i + height : 4] for i in range(6)], half)
    tiles = d.new_empty(6, 6, len(d), rows, columns, channels)
    _input([half[:, :, :, j : j + 4 * columns : 4] for j in range(6)], tiles.unbind(1))
    return tiles.view(36, -1, channels)


def _adjoint_tiles(tiles: Tensor, out: Tensor) -> None:
    """B v B^T of (36, tiles, C), added up where tiles overlap, into (N, 4 rows + 4, 4 columns + 4, C).

    The last two rows and columns of `out` are left as they come: no pixel of an image.
    """
    number, height, width, channels = out.shape
    rows, columns = height // 4 - 1, width // 4 - 1
    v = tiles.view(6, 6, number, rows, columns, channels)
    half = tiles.new_empty(6, number, rows, columns + 1, 4, channels)
    _input_adjoint(v.unbind(1), half.unbind(4), axis=3)
    half = half.view(6, number, rows, width, channels)
    _input_adjoint(half, out.view(number, rows + 1, 4, width, channels).unbind(2), axis=1)


def _transform_output(product: Tensor, out: Tensor) -> None:
    """A^T m A of (36, tiles, K), into (N, 4 rows, 4 columns, K)."""
    number, height, width, channels = out.shape
    m = product.view(6, 6, number, height // 4, width // 4, channels)
    half = product.new_empty(4, *m.shape[1:])
    _output(m, half)
    blocks = out.view(number, height // 4, 4, width // 4, 4, channels).permute(4, 2, 0, 1, 3, 5)
    _output(half.unbind(1), blocks)


def _adjoint_output(gradient: Tensor, height: int, columns: int) -> Tensor:
    """A y A^T of every block y of 4x4 of (N, K, H, W), (36, tiles, K)."""
    rows, channels = height // 4, gradient.shape[1]
    y = _pixels(gradient, height, 4 * columns).view(-1, rows, 4, columns, 4, channels)
    half = y.new_empty(6, len(y), rows, columns, 4, channels)
    _output_adjoint(y.unbind(2), half)
    product = y.new_empty(6, 6, len(y), rows, columns, channels)
    _output_adjoint(half.unbind(4), product.unbind(1))
    return product.view(36, -1, channels)


def _transform_kernel(weight: Tensor) -> Tensor:
    """G g G^T of every kernel g of (K, C, 3, 3), (36, K, C)."""
    g = weight.permute(2, 3, 0, 1)
    half = g.new_empty(6, *g.shape[1:])
    _kernel(g, half)
    kernel = g.new_empty(6, 6, *g.shape[2:])
    _kernel(half.unbind(1), kernel.unbind(1))
    return kernel.flatten(0, 1)


def _adjoint_kernel(kernel: Tensor) -> Tensor:
    """G^T u G of (36, K, C), as (K, C, 3, 3)."""
    u = kernel.unflatten(0, (6, 6))
    half = u.new_empty(3, *u.shape[1:])
    _kernel_adjoint(u, half)
    g = u.new_empty(3, 3, *u.shape[2:])
    _kernel_adjoint(half.unbind(1), g.unbind(1))
    return g.permute(2, 3, 0, 1)


def _input(d: Views, out: Views) -> None:
    """B^T d along one axis, six to six."""
    even, odd = torch.sub(d[4], d[2], alpha=4), torch.sub(d[3], d[1], alpha=4)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.sub(d[4], d[2], out=even)
    torch.sub(d[3], d[1], out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    torch.sub(d[4], d[2], alpha=5, out=out[0]).add_(d[0], alpha=4)
    torch.sub(d[5], d[3], alpha=5, out=out[5]).add_(d[1], alpha=4)


def _input_adjoint(v: Views, out: Views, axis: int) -> None:
    """B v, six to four and two that fall on the next tile along the axis, which has one entry more in `out`."""
    tiles = v[0].shape[axis]
    here = [x.narrow(axis, 0, tiles) for x in out]
    add, sub = v[1] + v[2], v[1] - v[2]
    add_, sub_ = v[3] + v[4], v[3] - v[4]
    torch.mul(v[0], 4, out=here[0])
    torch.sub(v[5], sub, out=here[1]).mul_(4).sub_(sub_, alpha=2)
    torch.mul(v[0], -5, out=here[2]).sub_(add, alpha=4).sub_(add_)
    torch.sub(sub, v[5], alpha=5, out=here[3]).add_(sub_, alpha=2)
    for x, v_ in zip(out, (add.add_(add_).add_(v[0]), v[5])):
        x.narrow(axis, tiles, 1).zero_()
        x.narrow(axis, 1, tiles).add_(v_)


def _output(m: Views, out: Views) -> None:
    """A^T m along one axis, six to four."""
    add, sub = m[1] + m[2], m[1] - m[2]
    add_, sub_ = m[3] + m[4], m[3] - m[4]
    torch.add(m[0], add, out=out[0]).add_(add_)
    torch.add(sub, sub_, alpha=2, out=out[1])
    torch.add(add, add_, alpha=4, out=out[2])
    torch.add(m[5], sub, out=out[3]).add_(sub_, alpha=8)


def _output_adjoint(y: Views, out: Views) -> None:
    """A y along one axis, four to six."""
    even, odd = y[0] + y[2], y[1] + y[3]
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.add(y[0], y[2], alpha=4, out=even)
    torch.add(y[1], y[3], alpha=4, out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    out[0].copy_(y[0])
    out[5].copy_(y[3])


def _kernel(g: Views, out: Views) -> None:
    """G g along one axis, three to six."""
    ends = g[0] + g[2]
    torch.add(ends, g[1], out=out[1]).div_(-6)
    torch.sub(g[1], ends, out=out[2]).div_(6)
    torch.add(g[0], g[2], alpha=4, out=ends)
    torch.add(ends, g[1], alpha=2, out=out[3]).div_(24)
    torch.sub(ends, g[1], alpha=2, out=out[4]).div_(24)
    torch.div(g[0], 4, out=out[0])
    out[5].copy_(g[2])


def _kernel_adjoint(u: Views, out: Views) -> None:
    """G^T u along one axis, six to three."""
    add, sub = u[1] + u[2], u[2] - u[1]
    add_, sub_ = u[3] + u[4], u[3] - u[4]
    torch.sub(add_, add, alpha=4, out=out[0]).div_(24).add_(u[0], alpha=1 / 4)
    torch.add(sub_, sub, alpha=2, out=out[1]).div_(12)
    torch.sub(add_, add, out=out[2]).div_(6).add_(u[5])
