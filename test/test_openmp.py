"""Threads that wait keep their core for a moment only, unless the user has decided otherwise."""

import os
import subprocess
import sys

import pytest

from scdepth_core.openmp import TURNS

START = "from scdepth_core import cli; cli.main(['info'])"


def environment_of_libgomp(code: str, **given) -> str:
    """What GNU OpenMP says of itself when it is loaded."""
    unset = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    env = unset | {"OMP_DISPLAY_ENV": "VERBOSE"} | given
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60).stderr
    if "GOMP_SPINCOUNT" not in said:
        pytest.skip("PyTorch is built with another OpenMP")
    return said


def test_commands_wait_briefly():
    assert f"GOMP_SPINCOUNT = '{TURNS}'" in environment_of_libgomp(START)


@pytest.mark.parametrize(
    ("given", "expected"), [({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")]
)
def test_what_the_user_says_holds(given, expected):
    assert f"GOMP_SPINCOUNT = '{expected}'" in environment_of_libgomp(START, **given)
