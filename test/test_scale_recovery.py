"""One noisy drive gives its scale; `python test/scale_recovery.py` is the long form."""

from __future__ import annotations

import pytest
from scale_recovery import BOUND, Drive, table


@pytest.fixture(scope="module")
def drive():
    return Drive(seed=100)


def test_pictures_alone_are_right_within_one_percent(drive):
    """What is left without noise is tracking: it is not allowed to take half of the bound."""
    assert abs(drive.error(0, noisy=())) < BOUND / 2


def test_noise_and_outliers_leave_the_scale_within_two_percent(drive):
    assert abs(drive.error(0)) < BOUND


def test_the_table_has_a_row_for_each_scene():
    assert table({7: [0.01, -0.002]}).splitlines()[-1] == "| 7 | +1.00 % | -0.20 % |"
