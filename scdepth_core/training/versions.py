"""The versions of SC-Depth by name, and which one a command line or its YAML file asks for."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from scdepth_core.errors import ConfigError
from scdepth_core.training.base import SCDepthModule
from scdepth_core.training.v1 import SCDepthV1
from scdepth_core.training.v2 import SCDepthV2
from scdepth_core.training.v3 import SCDepthV3

VERSIONS: dict[str, type[SCDepthModule]] = {module.version: module for module in (SCDepthV1, SCDepthV2, SCDepthV3)}
DEFAULT = SCDepthV1.version


def asked_version(arguments: list[str]) -> str:
    """The version in --version, else in the last --config file that names one, else v1.

    It is looked up before anything else, because it decides which settings there are.

    Raises:
        ConfigError: there is no such version, or a file is no text.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--version")
    parser.add_argument("--config", action="append", default=[])
    asked, _ = parser.parse_known_args(arguments)
    named = [asked.version, *(_version_in(Path(path)) for path in reversed(asked.config)), DEFAULT]
    version = next(name for name in named if name is not None)
    if not isinstance(version, str) or version not in VERSIONS:
        raise ConfigError(f"version is '{version}', expected one of {', '.join(VERSIONS)}")
    return version


def _version_in(path: Path) -> str | None:
    """The entry 'version' of a YAML file; what else is wrong with it, the parser of all settings says better."""
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"--config '{path}' is not UTF-8 text ({error.reason}) – save it as UTF-8") from None
    except (OSError, yaml.YAMLError):
        return None
    return settings.get("version") if isinstance(settings, dict) else None
