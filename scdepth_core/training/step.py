"""What a training step has in its hands: the warped views of a batch, and the loss that they come to."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from scdepth_core.geometry.warping import Warp
from scdepth_core.losses import PairErrors


@dataclass(frozen=True)
class Views:
    """A batch after the networks and the warps; frames are the target, then its N sources.

    Attributes:
        frames: each (B, 3, H, W), normalised; where V2 turned a source, as it is after that.
        depths: of the frames, each (B, 1, H, W), network units.
        pairs: 2N error maps, first those into the target.
        warps: of the pairs.
    """

    frames: list[Tensor]
    depths: list[Tensor]
    pairs: list[PairErrors]
    warps: list[Warp]


@dataclass
class StepLoss:
    """What one step came to.

    Attributes:
        terms: scalars by name, before weighting.
        coverage: share of the pixels that the masks left.
        weights: a dataclass with the factor of each term under the term's name.
        logged: further scalars worth a curve.
        pictures: (3, H, W) in [0, 1] or (1, H, W) maps by name, of the batch's first sample.
        total: the weighted sum; zero where the masks left nothing, because the other terms alone would flatten depth.
    """

    terms: dict[str, Tensor]
    coverage: Tensor
    weights: object
    logged: dict[str, Tensor] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict)
    total: Tensor = field(init=False)

    def __post_init__(self):
        weighted = (getattr(self.weights, name) * term for name, term in self.terms.items())
        self.total = sum(weighted) * (self.coverage > 0)
