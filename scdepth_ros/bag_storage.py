"""Find and open the storage files of a recording: by the ordinary readers, or salvaged where these refuse."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import yaml
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import Reader as Ros2Reader

from scdepth_core.errors import BagError
from scdepth_ros.bag_recovery import Salvaged, needs_salvage, salvage

Source = Ros1Reader | Ros2Reader | Salvaged
_ROS1_SUFFIXES = (".bag", ".active")
_SUFFIXES = (".mcap", ".db3", *_ROS1_SUFFIXES)


def open_storage(path: Path) -> tuple[list[Source], list[str]]:
    """Open all storage files of a recording.

    Returns:
        the opened files in the order of recording, and what is wrong with them, in words.

    Raises:
        BagError: when nothing in it can be read.
    """
    if not path.exists():
        raise BagError(f"bag '{path}' does not exist")
    if not path.is_dir():
        return open_files([path])
    files = _files_in(path)
    if not any(needs_salvage(file) for file in files):
        with suppress(Exception):  # description missing or at odds with the files: they speak for themselves
            return [_opened(Ros2Reader(path))], []
    if not files:
        raise BagError(f"folder '{path}' holds no recording, expected .mcap, .db3 or .bag files in it{_hint(path)}")
    sources, damages = open_files(files)
    return sources, damages + _missing_files(path)


def open_files(files: list[Path]) -> tuple[list[Source], list[str]]:
    """As `open_storage`, for these files; one that gives nothing is a damage while another gives something."""
    sources, damages, hopeless = [], [], None
    for file in files:
        try:
            sources.append(_open_file(file))
        except BagError as error:
            hopeless = error
            damages.append(str(error))
    if not sources:
        raise hopeless
    return sources, [f"{s.path.name}: {s.damage}" for s in sources if getattr(s, "damage", None)] + damages


def reopen_damaged(source: Source) -> tuple[list[Source], list[str]]:
    """As `open_files`, for what an ordinary reader stumbled over while it was being read: all of it salvaged."""
    path = Path(source.path)
    salvaged, damages = [], []
    for file in _files_in(path) if path.is_dir() else [path]:
        try:
            salvaged.append(salvage(file))
        except BagError as error:
            damages.append(str(error))
    return salvaged, [f"{s.path.name}: {s.damage}" for s in salvaged if s.damage] + damages


def _open_file(file: Path) -> Source:
    if not needs_salvage(file):
        with suppress(Exception):  # the ordinary readers raise anything on damaged bytes
            return _opened((Ros1Reader if file.suffix in _ROS1_SUFFIXES else Ros2Reader)(file))
    return salvage(file)


def _opened(reader: Ros1Reader | Ros2Reader) -> Ros1Reader | Ros2Reader:
    reader.open()
    return reader


def _files_in(folder: Path) -> list[Path]:
    """Storage files of a folder; number 10 comes after number 2."""

    def natural_order(file: Path) -> list:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]

    return sorted((file for file in folder.iterdir() if file.suffix in _SUFFIXES), key=natural_order)


def _hint(folder: Path) -> str:
    compressed = sorted(file.name for file in folder.glob("*.zstd"))
    return f" – expand {compressed[0]} with 'zstd -d' first" if compressed else ""


def _missing_files(folder: Path) -> list[str]:
    """Files that a rosbag2 recording's description names, but that are not there."""
    if all(file.suffix in _ROS1_SUFFIXES for file in _files_in(folder)):
        return []
    try:
        description = yaml.safe_load((folder / "metadata.yaml").read_text())
        names = [Path(name).name for name in description["rosbag2_bagfile_information"]["relative_file_paths"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
        return ["metadata.yaml is missing or damaged"]
    return [f"{name} is missing" for name in names if not (folder / name).exists()]
