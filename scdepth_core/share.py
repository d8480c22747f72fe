"""Where the launch, configuration and DDS files of the package lie: in the source tree or in an installation."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from scdepth_core.errors import ConfigError

PACKAGE = "scdepth_ros"


def share_file(relative: str) -> Path:
    """A shipped file, such as share_file("config/fastdds_camera.xml").

    Looked for beside the source code (a checkout, `pip install --editable`, `colcon build --symlink-install`), under
    the prefixes of the sourced workspaces (`colcon build`), and under the Python installation (`pip install`).

    Raises:
        ConfigError: when it is in none of them.
    """
    tried = []
    for folder in _share_folders():
        tried.append(folder / relative)
        if tried[-1].is_file():
            return tried[-1]
    raise ConfigError(
        f"file '{relative}' of {PACKAGE} is missing, looked at {', '.join(map(str, tried))} – reinstall it"
    )


def _share_folders() -> Iterator[Path]:
    source = Path(__file__).resolve().parents[1]
    if (source / "package.xml").is_file():
        yield source
    for prefix in [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]:
        yield Path(prefix) / "share" / PACKAGE
