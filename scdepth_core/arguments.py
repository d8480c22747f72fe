"""Types of command-line arguments that several commands share."""

from __future__ import annotations

import argparse

WEIGHTS_HELP = (
    ".safetensors, .ckpt or .pth.tar, or an .onnx or .xml file of 'scdepth export' (default: the starter weights)"
)


def image_size(text: str) -> tuple[int, int]:
    """(width, height) of 'WIDTHxHEIGHT', pixels, each at least 8; for `type=` of argparse."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()) or min(int(width), int(height)) < 8:
        raise argparse.ArgumentTypeError(f"size is '{text}', expected WIDTHxHEIGHT of at least 8x8, such as 320x256")
    return int(width), int(height)


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """--device, as resolve_device takes it."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
