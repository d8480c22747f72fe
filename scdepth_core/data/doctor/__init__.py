"""What is wrong with a data set, file by file, and how to cure it."""

from scdepth_core.data.doctor.examination import Examination, examine
from scdepth_core.data.doctor.findings import Finding, SceneFigures

__all__ = ["Examination", "Finding", "SceneFigures", "examine"]
