"""The learning rate over a run, against values worked out by hand."""

import pytest
import torch

from scdepth_core.training.schedule import restart_schedule, step_schedule


def rates(shape, warmup, total, steps):
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = step_schedule(optimizer, shape, warmup, total)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_a_constant_rate_is_constant_after_its_rise():
    assert rates("constant", 3, float("inf"), 6) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_a_cosine_starts_full_is_halfway_in_the_middle_and_ends_at_two_percent():
    seen = rates("cosine", 0, 100, 101)
    assert seen[0] == pytest.approx(1)
    assert seen[50] == pytest.approx(0.51)
    assert seen[100] == pytest.approx(0.02)
    assert all(later <= earlier for earlier, later in zip(seen, seen[1:]))


def test_a_schedule_goes_on_at_another_rate_from_where_it_was():
    """As on a resume: the optimiser and the scheduler bring the old rate along."""
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = step_schedule(optimizer, "cosine", 3, 100)
    for _ in range(50):
        optimizer.step()
        scheduler.step()
    resumed = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.1)
    other = step_schedule(resumed, "cosine", 3, 100)
    resumed.load_state_dict(optimizer.state_dict())
    other.load_state_dict(scheduler.state_dict())
    restart_schedule(other, 0.1)
    seen = []
    for _ in range(51):
        seen.append(resumed.param_groups[0]["lr"])
        resumed.step()
        other.step()
    assert (seen[0], seen[50]) == pytest.approx((0.051, 0.002))
