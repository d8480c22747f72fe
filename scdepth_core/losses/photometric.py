"""How different two images look, pixel by pixel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

C1, C2 = 0.01**2, 0.03**2


def ssim_error(x: Tensor, y: Tensor, window: int = 7) -> Tensor:
    """Structural dissimilarity (1 - SSIM) / 2, clamped to [0, 1]; (B, C, H, W) twice to (B, C, H, W)."""
    pad = [window // 2] * 4
    x, y = F.pad(x, pad, mode="reflect"), F.pad(y, pad, mode="reflect")

    def mean(image: Tensor) -> Tensor:  # rows, then columns: 2 x 7 reads a pixel instead of 49
        return F.avg_pool2d(F.avg_pool2d(image, (window, 1), stride=1), (1, window), stride=1)

    mu_x, mu_y = mean(x), mean(y)
    var_x = mean(x * x) - mu_x * mu_x
    var_y = mean(y * y) - mu_y * mu_y
    cov = mean(x * y) - mu_x * mu_y
    ssim = ((2 * mu_x * mu_y + C1) * (2 * cov + C2)) / ((mu_x * mu_x + mu_y * mu_y + C1) * (var_x + var_y + C2))
    return ((1 - ssim) / 2).clamp(0, 1)


def photometric_error(x: Tensor, y: Tensor, ssim_weight: float = 0.85) -> Tensor:
    """(1 - w) min(|x - y|, 1) + w (1 - SSIM) / 2, mean over colours (V1, eq. 3); (B, 1, H, W)."""
    error = (x - y).abs().clamp(0, 1)
    if ssim_weight > 0:
        error = (1 - ssim_weight) * error + ssim_weight * ssim_error(x, y)
    return error.mean(dim=1, keepdim=True)


def color_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute colour difference (B, 1, H, W): what the auto-mask and the minimum over sources compare."""
    return (x - y).abs().mean(dim=1, keepdim=True)
