"""A folder that appears under its name only when everything is in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scdepth_core.errors import DataError


@contextmanager
def finished_folder(path) -> Iterator[Path]:
    """Make `path`: the block fills the folder that it is given, which is renamed when the block ends.

    After an error nothing stays.

    Raises:
        DataError: when `path` exists, or another run is making it.
    """
    final = Path(path).absolute()
    partial = final.with_name(final.name + ".partial")
    if final.exists():
        raise DataError(f"output '{final}' exists already – choose another name, or remove it first")
    try:
        partial.mkdir(parents=True)
    except FileExistsError:
        raise DataError(
            f"'{partial}' exists: a run writes it, or one was killed – remove it if none is running"
        ) from None
    try:
        yield partial
        partial.rename(final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
