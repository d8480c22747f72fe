"""A file is under its name only when it is whole, and an earlier one stays until then."""

import pytest

from scdepth_core.finished_file import finished_file


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "result.json"
    with finished_file(path) as partial:
        partial.write_text("half")
        assert not path.exists() and partial.parent == path.parent
        partial.write_text("whole")
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]
    assert path.read_text() == "whole"


@pytest.mark.parametrize("wrote", [True, False], ids=["half a file", "nothing yet"])
def test_after_an_error_the_earlier_file_stays_and_nothing_else(tmp_path, wrote):
    path = tmp_path / "result.json"
    path.write_text("earlier")
    with pytest.raises(ValueError, match="no room"), finished_file(path) as partial:
        if wrote:
            partial.write_text("ha")
        raise ValueError("no room")
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]
    assert path.read_text() == "earlier"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "engine"
    with finished_file(path, "1.partial") as one, finished_file(path, "2.partial") as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the block that ends last
    assert [file.name for file in tmp_path.iterdir()] == ["engine"]
