"""Text files that people write: read as UTF-8, with or without the mark that some editors put in front."""

from __future__ import annotations

from pathlib import Path

from scdepth_core.errors import DataError


def read_text(path: Path) -> str:
    """What a UTF-8 file says; DataError, naming the file, for any other encoding."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not UTF-8 text ({error.reason}) – save it as UTF-8") from None
    if "\0" in text:
        raise DataError(f"'{path}' is not UTF-8 text (it holds zero bytes) – save it as UTF-8")
    return text
