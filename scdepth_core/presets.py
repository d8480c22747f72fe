"""Known data sets and benchmarks, read from presets.yaml: what to count, how depth files are scaled, which input size.

A data set becomes known by one line in its dataset.yaml: `preset: nyu`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from scdepth_core.errors import ConfigError

_TABLE = yaml.safe_load((Path(__file__).parent / "presets.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Preset:
    """What is known about a data set.

    Attributes:
        height, width: network input, pixels.
        depth_factor: units a metre of its 16-bit depth files.
        protocol: name of the benchmark's protocol.
        recipe: name of the file of config/train to train with.
    """

    height: int
    width: int
    depth_factor: float
    protocol: str
    recipe: str


PROTOCOL_SETTINGS: dict[str, dict] = {
    name: {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    for name, entry in _TABLE["protocols"].items()
}
PRESETS = {
    name: Preset(*entry["size"], float(entry["depth_factor"]), entry["protocol"], entry["recipe"])
    for name, entry in _TABLE["datasets"].items()
}
CAMERAS: dict[str, dict] = _TABLE["cameras"]


def preset_named(name: str) -> Preset:
    """What is known about a data set, or a ConfigError that lists those that are known."""
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(f"preset '{name}' is unknown, expected one of {', '.join(PRESETS)}")
    return PRESETS[name]
