"""The README says what the code does: its tables are those of the code, its files exist, its commands parse."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from scdepth_core.cli import COMMANDS
from scdepth_ros.parameters import markdown_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_parameter_table_is_the_one_of_the_code():
    assert markdown_table() in README, "run `python -m scdepth_ros.parameters` and put the table into the README"


def test_every_command_is_explained():
    for command in COMMANDS:
        assert f"`scdepth {command} " in README, f"`scdepth {command}` is missing in the README's table"


def test_named_files_exist():
    named = re.findall(r"(?:config|launch|test)/[\w./]*\w", README)
    assert named
    missing = [
        name
        for name in named
        if not (ROOT / name).exists() and not (ROOT / f"{name}.yaml").exists() and not list(ROOT.glob(f"{name}*"))
    ]
    assert not missing


def test_make_explains_itself():
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "make demo" in text and "make test" in text


def test_entry_points_answer_help():
    for module in ("scdepth_core.cli", "scdepth_ros.play_bag", "scdepth_ros.demo"):
        done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "usage:" in done.stdout
