"""Image sizes as people write them: 320x256, width first."""

from __future__ import annotations

import argparse

SMALLEST = 8


def image_size(text: str) -> tuple[int, int]:
    """(width, height) of 'WIDTHxHEIGHT', for argparse; at least 8x8."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"size is '{text}', expected WIDTHxHEIGHT such as 320x256") from None
    if min(width, height) < SMALLEST:
        raise argparse.ArgumentTypeError(f"size is {width}x{height}, expected at least {SMALLEST}x{SMALLEST}")
    return width, height
