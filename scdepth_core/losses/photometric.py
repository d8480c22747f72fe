"""How different two images look, pixel by pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

C1, C2 = 0.01**2, 0.03**2


def ssim_error(x: Tensor, y: Tensor, window: int = 7, reference_numerics: bool = False) -> Tensor:
    """Structural dissimilarity (1 - SSIM) / 2, clamped to [0, 1]; (B, C, H, W) twice to (B, C, H, W).

    SSIM needs the two variances only as their sum, so four means are enough: of x, y, x^2 + y^2 and x y.

    Args:
        window: side of the square over which means are taken, odd, pixels.
        reference_numerics: round as the public implementation does. A variance is the small difference of large
            numbers: where an image is saturated, the two differ by 1e-4, and the plain form is nearer to the truth.
    """
    pad = [window // 2] * 4
    x, y = (F.pad(image, pad, mode="reflect") for image in (x, y))
    if reference_numerics:
        mu_x, mu_y, x2, y2, xy = (F.avg_pool2d(m, window, stride=1) for m in (x, y, x * x, y * y, x * y))
        variances, covariance = (x2 - mu_x * mu_x) + (y2 - mu_y * mu_y), xy - mu_x * mu_y
    else:
        x, y = (image.contiguous(memory_format=torch.channels_last) for image in (x, y))
        mu_x, mu_y, squares, xy = (box_mean(m, window) for m in (x, y, x * x + y * y, x * y))
        variances, covariance = squares - (mu_x * mu_x + mu_y * mu_y), xy - mu_x * mu_y
    likeness = (2 * mu_x * mu_y + C1) * (2 * covariance + C2)
    ssim = likeness / ((mu_x * mu_x + mu_y * mu_y + C1) * (variances + C2))
    return ((1 - ssim) / 2).clamp(0, 1)


def box_mean(image: Tensor, window: int) -> Tensor:
    """Mean over every window x window square inside of (B, C, H, W): rows, then columns, 2 x 7 reads instead of 49.

    On a CPU, a convolution of each channel by itself takes a fifth of the time of a pooling in channels-last memory.
    Elsewhere it is pooled: convolutions may round to 10 bits there (TF32), too coarse for a variance.
    """
    if image.device.type != "cpu":
        return F.avg_pool2d(F.avg_pool2d(image, (window, 1), stride=1), (1, window), stride=1)
    channels = image.shape[1]
    column = image.new_full((channels, 1, window, 1), 1 / window)
    return F.conv2d(F.conv2d(image, column, groups=channels), column.transpose(2, 3), groups=channels)


def photometric_error(x: Tensor, y: Tensor, ssim_weight: float = 0.85, reference_numerics: bool = False) -> Tensor:
    """(1 - w) min(|x - y|, 1) + w (1 - SSIM) / 2, mean over colours (V1, eq. 3); (B, 1, H, W)."""
    error = (x - y).abs().clamp(0, 1)
    if ssim_weight > 0:
        error = (1 - ssim_weight) * error + ssim_weight * ssim_error(x, y, reference_numerics=reference_numerics)
    return error.mean(dim=1, keepdim=True)


def color_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute colour difference (B, 1, H, W): what the auto-mask and the minimum over sources compare."""
    return (x - y).abs().mean(dim=1, keepdim=True)
