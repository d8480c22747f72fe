"""How a camera is carried through a scene."""

from __future__ import annotations

from dataclasses import dataclass

from scdepth_core.errors import ConfigError


@dataclass(frozen=True)
class Mount:
    """How the camera is carried. What is None is drawn anew for each walk; one robot has the same for all of them.

    Attributes:
        height: metres above the floor.
        pitch: degrees that the camera looks down.
        yaw: degrees that the camera looks to the left of where it goes; without it a hand-held one looks around.

    Raises:
        ConfigError: for a mount that sees no room.
    """

    height: float | None = None
    pitch: float | None = None
    yaw: float | None = None

    def __post_init__(self):
        limits = {"height": (0.1, 2.0, "metres"), "pitch": (-60, 60, "degrees"), "yaw": (-180, 180, "degrees")}
        for name, (low, high, unit) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"camera {name} is {value:g}, expected {low:g} to {high:g} {unit}")
