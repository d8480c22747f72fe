"""Types of command-line arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from scdepth_core.errors import ConfigError

LARGEST_SIDE = 8192  # pixels of an image; OpenCV cannot rectify into 32767 and more
LARGEST_SCALE = 10000.0  # metres per network unit; beyond, 32 bits or a file's 16 hold nothing of use
WEIGHTS_HELP = (
    ".safetensors, .ckpt or .pth.tar, or an .onnx or .xml file of 'scdepth export' (default: the starter weights)"
)


def image_size(text: str) -> tuple[int, int]:
    """(width, height) of 'WIDTHxHEIGHT', pixels, each from 8 to LARGEST_SIDE; for `type=` of argparse."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(
        side.isdecimal() and len(side) < 9 and 8 <= int(side) <= LARGEST_SIDE for side in sides
    ):
        raise argparse.ArgumentTypeError(
            f"size is '{text}', expected WIDTHxHEIGHT from 8x8 to {LARGEST_SIDE}x{LARGEST_SIDE}, such as 320x256"
        )
    return int(sides[0]), int(sides[1])


def check_scale(metres_per_unit: float | None) -> None:
    """Raise ConfigError where --metres-per-unit is no scale; None is what was not given."""
    if metres_per_unit is not None and not 0 < metres_per_unit <= LARGEST_SCALE:
        raise ConfigError(
            f"--metres-per-unit is {metres_per_unit:g}, expected a number above 0, up to {LARGEST_SCALE:g}"
        )


def check_output_folder(path: Path) -> None:
    """Raise ConfigError where a file is in the way of the folder that --out names."""
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--out is '{path}', which is a file – expected a folder, or a name that is free for one")


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """--device, as resolve_device takes it."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
