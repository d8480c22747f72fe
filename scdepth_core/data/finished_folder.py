"""A folder that appears under its name only when everything is in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from scdepth_core.errors import DataError


class FinishedFolder:
    """Makes `path`: the block fills the folder that it is given, which is renamed when the block ends.

        with FinishedFolder("out") as partial:
            (partial / "result.txt").write_text("done")

    After an error nothing stays. Can be pickled while it is open, for processes that help to fill it.

    Attributes:
        final, partial: the folder's name in the end, and until then.

    Raises:
        DataError: when `path` exists, or another run is making it.
    """

    def __init__(self, path):
        self.final = Path(path).absolute()
        self.partial = self.final.with_name(self.final.name + ".partial")

    def __enter__(self) -> Path:
        if self.final.exists():
            raise DataError(f"output '{self.final}' exists already – choose another name, or remove it first")
        try:
            self.partial.mkdir(parents=True)
        except FileExistsError:
            raise DataError(
                f"'{self.partial}' exists: a run writes it, or one was killed – remove it if none is running"
            ) from None
        return self.partial

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self.partial.rename(self.final)
        finally:
            shutil.rmtree(self.partial, ignore_errors=True)
