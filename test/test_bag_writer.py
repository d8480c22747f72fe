"""BagWriter: several files in one recording, and what is left of it when the process or the disk ends it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bag_samples import SECOND, START, text
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from scdepth_core.errors import BagError
from scdepth_ros.bag import BagReader
from scdepth_ros.bag_writer import BagWriter

WORDS = "x" * 1000


def write_numbered(writer, count, step_ns=SECOND // 10):
    for number in range(count):
        writer.write("/words", text(f"{number} {WORDS}"), START + number * step_ns)
        if number % 2:
            writer.write("/odd", text(str(number)), START + number * step_ns + 1)


def numbers_in(path, topic="/words"):
    with BagReader(path) as bag:
        return [int(message.decode().data.split()[0]) for message in bag.messages([topic])]


@pytest.mark.parametrize("limits, files", [({"split_bytes": 3000}, 5), ({"split_seconds": 0.3}, 4)])
def test_a_recording_of_several_files_reads_as_one(tmp_path, limits, files):
    with BagWriter(tmp_path / "drive", **limits) as writer:
        write_numbered(writer, 12)
    # 0.3 s hold words 0, 1, 2; 3000 bytes are passed by the third message of 1 kB, and the last odd one comes after.
    assert writer.files == files
    names = {f"drive_{part}.mcap" for part in range(files)} | {"metadata.yaml"}
    assert {file.name for file in (tmp_path / "drive").iterdir()} == names
    with AnyReader([tmp_path / "drive"]) as reader:
        assert [when for c, when, _ in reader.messages() if c.topic == "/words"] == [
            START + k * SECOND // 10 for k in range(12)
        ]
        assert reader.message_count == 18
    assert numbers_in(tmp_path / "drive") == list(range(12))
    assert numbers_in(tmp_path / "drive", "/odd") == [1, 3, 5, 7, 9, 11]
    about = yaml.safe_load((tmp_path / "drive" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert about["message_count"] == 18 == sum(file["message_count"] for file in about["files"])
    assert about["starting_time"]["nanoseconds_since_epoch"] == START
    assert about["duration"]["nanoseconds"] == 11 * SECOND // 10 + 1
    counts = {entry["topic_metadata"]["name"]: entry["message_count"] for entry in about["topics_with_message_count"]}
    assert counts == {"/words": 12, "/odd": 6}
    assert about["relative_file_paths"] == [f"drive_{part}.mcap" for part in range(files)]


def test_a_single_file_cannot_be_split(tmp_path):
    with pytest.raises(BagError, match="single file and cannot be split"):
        BagWriter(tmp_path / "drive.mcap", split_bytes=1)


def test_the_publishers_qos_is_in_the_recording(tmp_path):
    forever = QosTime(2147483647, 4294967295)
    latched = Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )
    with BagWriter(tmp_path / "drive", split_seconds=0.5) as writer:
        writer.add_topic("/words", "std_msgs/msg/String", [latched])
        write_numbered(writer, 10)
    with BagReader(tmp_path / "drive") as bag:
        kept = {c.topic: c.ext.offered_qos_profiles for c in bag.connections}
    assert kept["/words"][0].durability == QosDurability.TRANSIENT_LOCAL and kept["/odd"] == []


def test_an_error_keeps_what_was_written_if_wanted(tmp_path):
    with pytest.raises(RuntimeError), BagWriter(tmp_path / "drive", split_seconds=0.5, keep_on_error=True) as writer:
        write_numbered(writer, 8)
        raise RuntimeError("a bug somewhere")
    assert not (tmp_path / "drive").exists()
    assert numbers_in(tmp_path / "drive.partial") == list(range(8))


def test_discarding_leaves_nothing(tmp_path):
    with BagWriter(tmp_path / "drive", keep_on_error=True) as writer:
        write_numbered(writer, 2)
        writer.discard()
    assert list(tmp_path.iterdir()) == []


WRITE = """
import resource, sys
sys.path[:0] = [sys.argv[3]]
from test_bag_writer import write_numbered
from scdepth_ros.bag_writer import BagWriter
limit = int(sys.argv[2])
with BagWriter(sys.argv[1], keep_on_error=True) as writer:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        write_numbered(writer, 10_000)
    write_numbered(writer, 7)
    writer.flush()
    writer.write("/words", __import__("bag_samples").text("99 not flushed"), 2**62)
    print("flushed", flush=True)
    sys.stdin.read()
"""


def writer_process(path, limit=0):
    return subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), str(limit), str(Path(__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_kill_minus_nine_costs_at_most_the_last_chunk(tmp_path):
    process = writer_process(tmp_path / "drive")
    assert process.stdout.readline() == "flushed\n", process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    with BagReader(tmp_path / "drive.partial") as bag:
        assert "breaks off" in bag.truncated
    assert numbers_in(tmp_path / "drive.partial") == list(range(7))


def test_a_full_disk_costs_at_most_the_last_chunk(tmp_path):
    limit = 3_500_000  # bytes a file may have: writing beyond fails as it does on a full disk
    process = writer_process(tmp_path / "drive", limit)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and "OSError" in errors
    assert not (tmp_path / "drive").exists()
    kept = numbers_in(tmp_path / "drive.partial")
    assert kept == list(range(len(kept)))
    assert len(kept) * len(WORDS) > limit - 2**20 - 100_000  # all but one chunk of a megabyte
