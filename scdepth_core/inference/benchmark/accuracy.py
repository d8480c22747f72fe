"""How right candidates are: AbsRel against ground truth, beside their speed."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from scdepth_core.data.scene_folder import SceneFolder
from scdepth_core.evaluation import evaluate
from scdepth_core.inference.benchmark.measurement import Row
from scdepth_core.inference.estimator import DepthEstimator
from scdepth_core.inference.evaluate import frames_with_depth, predict_frames
from scdepth_core.metrics import protocol_named
from scdepth_core.weights_metadata import WeightsMetadata

MOST_IMAGES = 100  # evenly out of the set: many rows take their time


class Accuracy:
    """AbsRel on a data set, under the protocol of its preset.

    Attributes:
        images: how many of them are used.

    Raises:
        DataError: there is no ground truth.
    """

    def __init__(self, data: Path):
        self._folder = SceneFolder(data)
        pairs, _ = frames_with_depth(self._folder, "auto")
        self._pairs = pairs[:: -(-len(pairs) // MOST_IMAGES)]
        self.images = len(self._pairs)

    def note(self, row: Row, ready, metadata: WeightsMetadata, plain: float | None = None) -> None:
        """Put AbsRel into a row, and its change against `plain`, AbsRel of the same network in plain PyTorch."""
        frames = predict_frames(DepthEstimator(ready, metadata), self._pairs, self._folder.depth_factor, None)
        bar = tqdm(frames, total=self.images, unit="image", desc=f"abs_rel {row.name}", leave=False, disable=None)
        errors = evaluate(bar, protocol_named(self._folder.preset.protocol)).errors
        row.abs_rel, row.abs_rel_set = errors["image"]["abs_rel"], errors["set"]["abs_rel"]
        row.abs_rel_change = None if not plain else row.abs_rel / plain - 1
