"""One optimisation step, ready to be timed: on made-up frames, because how long it takes does not depend on them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scdepth_core.training.plain import plain_loss
from scdepth_core.training.versions import VERSIONS

FRAMES = 3  # of a sample: a target and two sources
SEED = 0


class Step:
    """Forward, loss, backward and Adam on one batch; call it with anything.

    Args:
        version: of SC-Depth, with its default options and weights of a seed.
        batch: of moving_batch.
        precision: 32-true, bf16-mixed or 16-mixed, as the trainer has it.
        compiled: networks, warps and error maps through torch.compile.
        batch_frames: of the module.
        winograd: of the module.
        plain: the loss of plain_loss, PyTorch's layers, the usual memory layout, and Adam as PyTorch chooses to run it.

    Attributes:
        first_loss: of the first step, None before it.
    """

    def __init__(
        self,
        version: str,
        batch: dict[str, Tensor],
        device: torch.device,
        precision: str = "32-true",
        compiled: bool = False,
        batch_frames: bool = True,
        winograd: bool | None = None,
        plain: bool = False,
    ):
        torch.manual_seed(SEED)
        options = {"batch_frames": batch_frames, "winograd": winograd, "compile": compiled}
        if plain:
            options = {"batch_frames": False, "winograd": False, "channels_last": False}
        self.module = VERSIONS[version](pretrained="none", **options).to(device)
        if not plain:  # as the trainer has it
            self.module.use_quick_layers()
            torch.backends.cudnn.benchmark = True
        self.batch, self.device, self.plain = batch, device, plain
        self.optimizer = self.module.adam(fused=None if plain or precision == "16-mixed" else True)  # as the trainer
        self.mixed = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}[precision]
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.mixed is torch.float16)
        self.first_loss: float | None = None

    def __call__(self, _: object = None) -> None:
        with torch.autocast(self.device.type, dtype=self.mixed, enabled=self.mixed is not None):
            loss = plain_loss(self.module, self.batch) if self.plain else self.module.compute_loss(self.batch).total
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()  # here, so that those who wait for their turn hold no gradients
        if self.first_loss is None:
            self.first_loss = loss.item()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def moving_batch(batch: int, height: int, width: int, device: torch.device) -> dict[str, Tensor]:
    """Samples of a texture that moves to the left by two pixels a frame, and a pseudo depth with edges.

    Returns:
        'images' (B, 3, 3, H, W) uint8, 'K' (B, 3, 3) and 'pseudo_depth' (B, 1, H, W), as the loader gives them.
    """
    generator = torch.Generator().manual_seed(SEED)
    coarse = torch.rand(batch, 3, height // 16, width // 16, generator=generator)
    texture = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    texture = (texture + 0.05 * torch.randn(texture.shape, generator=generator)).clamp(0, 1)
    images = torch.stack([texture.roll(2 * shift, dims=-1) for shift in (0, 1, -1)], dim=1)  # target, earlier, later
    K = torch.tensor([[0.8 * width, 0, (width - 1) / 2], [0, 0.8 * width, (height - 1) / 2], [0, 0, 1]])
    blocks = F.interpolate(coarse[:, :1], size=(height, width), mode="nearest")
    ramp = torch.linspace(1, 2, height)[:, None]
    sample = {
        "images": (255 * images).byte(),
        "K": K.repeat(batch, 1, 1),
        "pseudo_depth": (ramp + blocks).contiguous(),
    }
    return {name: value.to(device) for name, value in sample.items()}
