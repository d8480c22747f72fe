"""Converted networks kept on disk, because converting takes seconds: found again by everything that they depend on.

An entry is one file: a line of JSON with the whole key and the payload's SHA-256, then the payload. It is used only
when both agree and the library that made it opens it; in every other case it is made again. Beside it there may be a
folder of the same name, which a library fills.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import torch

from scdepth_core.errors import BackendError
from scdepth_core.finished_file import finished_file
from scdepth_core.inference.backends.base import Source
from scdepth_core.machine import device_name

KEPT = 8  # entries; the least recently used goes first
FORMAT = 3  # raise it when the same key would mean another payload
_ENTRY = re.compile(r"[0-9a-f]{24}(\.engine)?")
Opened = TypeVar("Opened")

logger = logging.getLogger(__name__)


def engine_key(source: Source, backend: str, device: torch.device, precision: str, libraries: tuple[str, ...]) -> dict:
    """Everything that an engine depends on, as plain JSON values."""
    return {
        "format": FORMAT,
        "weights": source.digest,
        "shape": list(source.shape),
        "backend": backend,
        "device": device_name(device),
        "precision": precision,
        "versions": {name: _version(name) for name in ("scdepth_ros", "torch", *libraries)},
    }


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/scdepth, or ~/.cache/scdepth."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scdepth"


def engine(key: dict, build: Callable[[], bytes], open_payload: Callable[[bytes], Opened]) -> Opened:
    """An engine out of the cache, or built and put there.

    Args:
        key: of engine_key.
        build: makes the payload.
        open_payload: makes the engine of it; whatever it raises for a cached payload leads to a new one, but for a
            BackendError, which would be raised for any payload.
    """
    path = cache_folder() / f"{_name(key)}.engine"
    payload = _read(path, key)
    if payload is not None:
        try:
            opened = open_payload(payload)
        except BackendError:
            raise
        except Exception as error:  # libraries raise anything for a payload that they do not understand
            logger.warning("cached engine '%s' cannot be opened (%s), it is made again", path, error)
        else:
            with suppress(OSError):  # a cache that may only be read is a cache
                path.touch()
            return opened
    payload = build()
    _write(path, key, payload)
    return open_payload(payload)


def engine_folder(key: dict) -> Path | None:
    """A folder of this key alone, for libraries that keep their own cache and check it (TensorRT); None where the cache
    cannot be written, which costs time, not the result."""
    folder = cache_folder() / _name(key)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.touch()  # used now
        _prune(folder.parent)
    except OSError as error:
        _warn_of(folder.parent, error)
        return None
    return folder


def joined(graph: bytes, weights: bytes) -> bytes:
    """One payload of the two files that libraries make of a network: length of the first, the first, the second."""
    return b"".join((len(graph).to_bytes(8, "little"), graph, weights))


def parted(payload: bytes) -> tuple[bytes, memoryview]:
    """The two files again; the second is not copied."""
    end = 8 + int.from_bytes(payload[:8], "little")
    return payload[8:end], memoryview(payload)[end:]


def _name(key: dict) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]


def _read(path: Path, key: dict) -> bytes | None:
    """The payload of a whole entry with just this key, or None."""
    try:
        head, _, payload = path.read_bytes().partition(b"\n")
        said = json.loads(head)
        if said["key"] == key and said["sha256"] == hashlib.sha256(payload).hexdigest():
            return payload
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    logger.warning("cached engine '%s' is broken, it is made again", path)
    return None


def _write(path: Path, key: dict, payload: bytes) -> None:
    """Put an entry into the cache in one step; a cache that cannot be written costs time, not the result."""
    head = json.dumps({"key": key, "sha256": hashlib.sha256(payload).hexdigest()}).encode()
    try:
        with finished_file(path, f"{os.getpid()}.partial") as partial:
            partial.write_bytes(head + b"\n" + payload)
        _prune(path.parent)
    except OSError as error:
        _warn_of(path.parent, error)


def _prune(cache: Path) -> None:
    """Leave the entries that were used last; an entry is a file, a folder of its library, or both."""
    used: dict[Path, float] = {}
    for path in cache.iterdir():
        if _ENTRY.fullmatch(path.name):
            name = path.with_suffix("")
            used[name] = max(used.get(name, 0.0), path.stat().st_mtime)
    for old in sorted(used, key=used.get)[:-KEPT]:
        old.with_suffix(".engine").unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)


def _warn_of(cache: Path, error: OSError) -> None:
    logger.warning("the engine cannot be kept in '%s' (%s), so it is made again every time", cache, error)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
