"""A file that appears under its name only when everything is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def finished_file(path: Path, suffix: str = "partial") -> Iterator[Path]:
    """Makes `path`, and the folder it is to be in: the block writes to the name that it is given.

        with finished_file(Path("runs/result.json")) as partial:
            partial.write_text("{}")

    The file takes the place of an earlier one when the block ends. After an error that one stays, and nothing else.

    Args:
        suffix: what the name ends with until then; for a file that several processes write, one for each of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
