"""Values of a launch file's arguments: one that cannot be used is one sentence, before anything is started."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from scdepth_core.errors import ConfigError

T = TypeVar("T")
BOOLEAN = ("true", "false", "True", "False")  # what `boolean` understands; launch files in Python pass the second kind


def launch_argument(context, name: str, kind: Callable[[str], T] = str) -> T:
    """The value of a declared argument.

    Args:
        context: the LaunchContext that an OpaqueFunction gets.
        name: of the argument.
        kind: makes the value of its text, and raises argparse's ArgumentTypeError for one that cannot be used.

    Raises:
        ConfigError: for such a text; launch prints the sentence and ends.
    """
    text = context.launch_configurations[name]
    try:
        return kind(text)
    except argparse.ArgumentTypeError as error:
        raise ConfigError(f"launch argument {name}: {error}") from error


def boolean(text: str) -> bool:
    """Of one of BOOLEAN."""
    return text.lower() == "true"


def existing_file(text: str) -> str:
    """The path of a file that is there; ~ is the home directory."""
    path = Path(text).expanduser()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"'{text}' is not a file")
    return str(path)


def or_empty(kind: Callable[[str], T]) -> Callable[[str], T | str]:
    """Of that kind, or nothing."""
    return lambda text: kind(text) if text else text


def words(kind: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Any number of that kind, separated by spaces."""
    return lambda text: tuple(kind(word) for word in text.split())
