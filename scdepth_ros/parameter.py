"""One parameter of a node: its name, type, allowed values and when it takes effect."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scdepth_core.errors import ConfigError

START, CONFIGURE, NOW = "start", "configure", "now"


@dataclass(frozen=True)
class Parameter:
    """One row of the table.

    Attributes:
        name: snake_case, groups separated by dots.
        default: also gives the type: bool, int, float or str.
        description: one sentence.
        applies: START (read-only: restart the node), CONFIGURE (change it while the node is unconfigured) or NOW.
        low, high: inclusive range of a number.
        pattern: regular expression that a text must match whole, and `allowed` says it in words.
    """

    name: str
    default: bool | int | float | str
    description: str
    applies: str = NOW
    low: float | None = None
    high: float | None = None
    pattern: str | None = None
    allowed: str = ""

    @property
    def field(self) -> str:
        """Its name in NodeSettings."""
        return self.name.replace(".", "_")

    @property
    def type_name(self) -> str:
        names = {bool: "bool", int: "integer", float: "double", str: "string"}
        return names[type(self.default)]

    @property
    def constraint(self) -> str:
        """The allowed values in words; empty when anything goes."""
        return self.allowed or ("" if self.low is None else f"{self.low:g} to {self.high:g}")

    def checked(self, value):
        """The value in the parameter's type (a whole number does for a double).

        Raises:
            ConfigError: for another type, or a value outside the allowed ones.
        """
        if isinstance(self.default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(self.default):
            wanted = {bool: "true or false", int: "an integer", float: "a number", str: "text"}[type(self.default)]
            raise ConfigError(f"{self.name} is {value!r}, expected {wanted}")
        out_of_range = self.low is not None and not self.low <= value <= self.high
        if out_of_range or (self.pattern is not None and not re.fullmatch(self.pattern, value)):
            raise ConfigError(f"{self.name} is {value!r}, expected {self.constraint}")
        return value
