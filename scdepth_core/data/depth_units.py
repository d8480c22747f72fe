"""A sentence where the unit of depth files is a guess that a benchmark contradicts."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from scdepth_core.data.scene_folder import SceneFolder
from scdepth_core.presets import PRESETS

logger = logging.getLogger(__name__)


def warn_of_guessed_units(folder: SceneFolder, protocol: str, depths: Iterable[Path | None]) -> None:
    """Warn where 16-bit depth is read by a factor that nobody stated and a data set of the protocol does not have.

    A wrong factor goes unnoticed: each image is aligned by its own median, but the range of depths that count is not.

    Args:
        protocol: name of the benchmark's protocol that is asked for.
        depths: files that will be read, None where a frame has none; .npy and .npz are metres already.
    """
    stated = folder.attributes.keys() & {"preset", "depth_factor"}
    known = {name: preset.depth_factor for name, preset in PRESETS.items() if preset.protocol == protocol}
    if stated or folder.depth_factor in known.values():
        return
    if any(path is not None and path.suffix.lower() == ".png" for path in depths):
        logger.warning(
            "'%s' says no depth_factor, so depth is read as %g units a metre, while the protocol is %s – write "
            "'preset: %s' into it (%s units), or 'depth_factor: %g' if that is right",
            folder.root / "dataset.yaml",
            folder.depth_factor,
            protocol,
            " or ".join(known),
            " or ".join(f"{factor:g}" for factor in dict.fromkeys(known.values())),
            folder.depth_factor,
        )
