"""The precision of training: what auto takes where, and what a CPU says that would crawl."""

from __future__ import annotations

import pytest

from scdepth_core import cli
from scdepth_core.training import precision
from scdepth_core.training.precision import chosen_precision


@pytest.mark.parametrize(("features", "expected"), [({"bfloat16"}, "bf16-mixed"), ({"int8"}, "32-true")])
def test_auto_takes_what_the_cpu_is_fast_at(monkeypatch, capsys, features, expected):
    monkeypatch.setattr(precision, "cpu_features", lambda: frozenset(features))
    assert chosen_precision("auto", "cpu") == expected
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("asked", ["bf16-mixed", "16-mixed"])
def test_a_cpu_without_bfloat16_says_what_mixed_precision_costs(monkeypatch, capsys, asked):
    monkeypatch.setattr(precision, "cpu_features", frozenset)
    assert chosen_precision(asked, "cpu") == asked
    assert "use 32-true or auto" in capsys.readouterr().err


def test_full_precision_needs_no_words(monkeypatch, capsys):
    monkeypatch.setattr(precision, "cpu_features", frozenset)
    assert chosen_precision("32-true", "cpu") == "32-true"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("asked", ["8-bit", "64-true"])
def test_an_unknown_precision_is_refused_with_the_choices(tiny_data, tmp_path, capsys, asked):
    arguments = ("--data", str(tiny_data), "--out", str(tmp_path / "run"), "--trainer.precision", asked)
    assert cli.main(["train", *arguments]) == 1
    assert "32-true" in capsys.readouterr().err
