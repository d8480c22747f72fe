"""Which ROS packages are installed."""

from __future__ import annotations

from pathlib import Path

from scdepth_core.errors import ConfigError


def package_prefix(name: str) -> Path | None:
    """Where a package is installed; None where it is not."""
    try:
        from ament_index_python.packages import get_package_prefix

        return Path(get_package_prefix(name))
    except (ImportError, LookupError, OSError):  # no ament, no such package, or no ROS installation sourced
        return None


def require_packages(wanted_by: str, *names: str) -> None:
    """To be asked before anything is launched: launch itself finds out when other nodes run, and leaves them running.

    Raises:
        ConfigError: when a package is not installed.
    """
    if missing := [name for name in names if package_prefix(name) is None]:
        packages, them = ("package", "it") if len(missing) == 1 else ("packages", "them")
        raise ConfigError(
            f"{wanted_by} needs the ROS {packages} {', '.join(missing)}, not found – install {them}, or source the "
            f"setup file that has {them}"
        )
