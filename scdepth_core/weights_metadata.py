"""What a weights file says about itself."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from numbers import Integral, Real
from reprlib import repr as shortened

from scdepth_core.arguments import LARGEST_SCALE
from scdepth_core.errors import CheckpointError
from scdepth_core.networks.depth_net import MAX_DISPARITY, MIN_DISPARITY
from scdepth_core.presets import PRESETS

LARGEST_INPUT = 8192  # pixels, of height and width
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
        CheckpointError: an entry of another kind (text, whole number, finite number), a size that the network cannot
            take, a scale or deviation that is not above 0, a scale above LARGEST_SCALE, an empty range.
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
        for name in ("version", "encoder", "dataset", "fingerprint", "upsampling", "decoder"):
            self._expect(name, isinstance(getattr(self, name), str), "text")
        for name in ("height", "width"):
            self._expect(name, _is_number(getattr(self, name), Integral), "a whole number of pixels")
        for name in ("mean", "min_depth", "max_depth"):
            self._expect(name, _is_number(getattr(self, name)), "a finite number")
        self._expect("std", _is_number(self.std) and self.std > 0, "a finite number above 0")
        unit = self.metres_per_unit
        fits = unit is None or (_is_number(unit) and 0 < unit <= LARGEST_SCALE)
        self._expect("metres_per_unit", fits, f"a number above 0, up to {LARGEST_SCALE:g}, or None")
        smallest, largest = sorted((self.height, self.width))
        if self.height % 32 or self.width % 32 or smallest < 64 or largest > LARGEST_INPUT:
            raise CheckpointError(
                f"network input is {self.height}x{self.width} (HxW), expected multiples of 32, "
                f"at least 64 and at most {LARGEST_INPUT}"
            )
        if not 0 < self.min_depth < self.max_depth:
            raise CheckpointError(f"depth range is {self.min_depth} to {self.max_depth}, expected 0 < near < far")

    def _expect(self, name: str, fits: bool, allowed: str) -> None:
        if not fits:
            raise CheckpointError(f"{name} is {shortened(getattr(self, name))}, expected {allowed}")


def _is_number(value: object, kind: type = Real) -> bool:
    """Whether a value is a finite number; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def metadata_from_json(entries: dict) -> WeightsMetadata:
    """Metadata out of parsed JSON; entries that a later version may add are left out."""
    known = {field.name for field in dataclasses.fields(WeightsMetadata)}
    return WeightsMetadata(**{name: value for name, value in entries.items() if name in known})
