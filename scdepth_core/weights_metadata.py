"""What a weights file says about itself."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from scdepth_core.errors import CheckpointError
from scdepth_core.networks.depth_net import MAX_DISPARITY, MIN_DISPARITY
from scdepth_core.presets import PRESETS

REFERENCE_SIZE = (PRESETS["custom"].height, PRESETS["custom"].width)


@dataclass(frozen=True)
class WeightsMetadata:
    """What a weights file needs beside its numbers to be used rightly.

    Attributes:
        version: which SC-Depth trained it: v1, v2 or v3.
        encoder: backbone of DepthNet.
        height, width: network input, pixels.
        metres_per_unit: the one factor from network units to metres; None when nobody has measured it.
        dataset: what it was trained on, in words.
        mean, std: of the normalisation (x / 255 - mean) / std.
        min_depth, max_depth: what the network can say, network units.
        fingerprint: of the data set, as SceneFolder.fingerprint gives it; empty where nobody noted it.
        upsampling: how DepthNet's decoder enlarges: bilinear or nearest.
        decoder: width of DepthNet's decoder: full or half.

    Raises:
        CheckpointError: a size that the network cannot take, a scale that is not above 0, an empty range.
    """

    version: str = "v1"
    encoder: str = "resnet18"
    height: int = REFERENCE_SIZE[0]
    width: int = REFERENCE_SIZE[1]
    metres_per_unit: float | None = None
    dataset: str = ""
    mean: float = 0.45
    std: float = 0.225
    min_depth: float = 1 / (MAX_DISPARITY + MIN_DISPARITY)
    max_depth: float = 1 / MIN_DISPARITY
    fingerprint: str = ""
    upsampling: str = "bilinear"
    decoder: str = "full"

    def __post_init__(self):
        if self.height % 32 or self.width % 32 or min(self.height, self.width) < 64:
            raise CheckpointError(
                f"network input is {self.height}x{self.width} (HxW), expected multiples of 32, at least 64"
            )
        if self.metres_per_unit is not None and not 0 < self.metres_per_unit < math.inf:
            raise CheckpointError(f"metres_per_unit is {self.metres_per_unit}, expected a number above 0, or None")
        if not 0 < self.min_depth < self.max_depth:
            raise CheckpointError(f"depth range is {self.min_depth} to {self.max_depth}, expected 0 < near < far")


def metadata_from_json(entries: dict) -> WeightsMetadata:
    """Metadata out of parsed JSON; entries that a later version may add are left out."""
    known = {field.name for field in dataclasses.fields(WeightsMetadata)}
    return WeightsMetadata(**{name: value for name, value in entries.items() if name in known})
