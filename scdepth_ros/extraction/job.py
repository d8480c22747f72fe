"""The whole way from recordings to a data set."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from scdepth_core.data.scene_writer import DatasetWriter
from scdepth_core.errors import ConfigError, DataError
from scdepth_ros.bag import BagReader
from scdepth_ros.extraction.geometry import default_size
from scdepth_ros.extraction.recording import Recording
from scdepth_ros.extraction.report import ExtractionReport
from scdepth_ros.extraction.settings import ExtractionSettings
from scdepth_ros.extraction.split import split_scenes
from scdepth_ros.extraction.stretches import scene_prefixes

REPORT_FILE = "report.json"


def extract(bags: list, output, settings: ExtractionSettings, progress: bool = False) -> ExtractionReport:
    """Make a data set of one or more recordings.

    All topics are found before the first frame is written, and `output` appears when everything is in it.

    Args:
        bags: paths of recordings.
        output: folder to make.
        progress: show a bar on stderr.

    Raises:
        BagError, CameraError, DataError, ConfigError: with what is missing or wrong.
    """
    paths = [Path(path) for path in bags]
    _check_different(paths)
    with ExitStack() as stack:
        recordings = [Recording(stack.enter_context(BagReader(path)), settings) for path in paths]
        width, height = settings.size or default_size(recordings[0].camera)
        dataset = stack.enter_context(
            DatasetWriter(output, width=width, height=height, image_format=settings.image_format)
        )
        bag_reports = [recording.report for recording in recordings]
        report = ExtractionReport(str(output), (width, height), bag_reports, validation=settings.validation)
        total = sum(recording.message_count for recording in recordings)
        pause = 0.2 if sys.stderr.isatty() else 10  # seconds: a bar for people, a few lines for a log file
        with tqdm(total=total, unit="msg", disable=not progress, desc="extract", mininterval=pause) as bar:
            for recording, prefix in zip(recordings, scene_prefixes(paths)):
                report.scenes += recording.extract(dataset, prefix, bar.update)
        if not report.scenes:
            raise DataError(_nothing_left(report, settings))
        report.scenes = split_scenes(dataset, report.scenes, settings.validation, settings.min_frames)
        period = recordings[0].report.period_s
        dataset.attributes.update(source=[path.name for path in paths])
        if period:
            dataset.attributes.update(fps=round(1 / period, 3))
        dataset.write_text(REPORT_FILE, json.dumps(report.as_dict(), indent=2) + "\n")
    return report


def _check_different(paths: list[Path]) -> None:
    """Refuse a recording that is given twice: training would see what it is validated on."""
    seen: dict[Path, Path] = {}
    for path in paths:
        first = seen.setdefault(path.resolve(), path)
        if first is not path:
            other = "" if first == path else f", also as '{first}'"
            raise ConfigError(
                f"bag '{path}' is given twice{other}: training and validation would see the same frames – give it once"
            )


def _nothing_left(report: ExtractionReport, settings: ExtractionSettings) -> str:
    reasons = "; ".join(
        f"{bag.path}: {bag.images} images, " + ", ".join(f"{number} {reason}" for reason, number in bag.dropped.items())
        for bag in report.bags
    )
    return (
        f"no scene with {settings.min_frames} frames came out of {reasons} – lower --min-frames, --min-motion or "
        "--min-sharpness, or raise --max-gap"
    )
