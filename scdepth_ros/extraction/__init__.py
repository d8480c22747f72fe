"""Recordings into training data: find topics, associate by stamp, rectify, select, split, account for it."""

from scdepth_ros.extraction.job import extract
from scdepth_ros.extraction.settings import ExtractionSettings

__all__ = ["ExtractionSettings", "extract"]
