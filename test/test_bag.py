"""Recordings: every format read, whole, cut off or damaged, and written so that others can read them."""

import shutil
import sqlite3
import struct
from itertools import zip_longest

import numpy as np
import pytest
from bag_samples import ROS1, ROS2, START, cut, header, image, storage_file, text, write_bag
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from scdepth_core.errors import BagError
from scdepth_ros.bag import BagReader, BagWriter

KINDS = ["mcap", "mcap-zstd", "sqlite", "ros1", "ros1-lz4", "ros1-bz2"]
COUNT = 60


def store_of(kind):
    return ROS1 if kind.startswith("ros1") else ROS2


def numbered(kind, count=COUNT, size=60_000):
    """Pictures of noise that say their number in the first pixel, and a text beside each."""
    random = np.random.default_rng(0)
    for index in range(count):
        noise = random.integers(0, 255, (size // 300, 300), np.uint8)
        noise[0, 0] = index
        when = START + index * 10**8
        yield "/image", image(noise, when, "mono8", store_of(kind)), when
        yield "/words", text(f"number {index}", store_of(kind)), when + 1000


def numbers(messages):
    return [int(message.decode().data[0]) for message in messages]


@pytest.fixture(params=KINDS)
def bag(request, tmp_path):
    return write_bag(tmp_path / "bag", numbered(request.param), request.param)


def test_every_format_is_read(bag):
    with BagReader(bag) as reader:
        assert reader.truncated is None
        assert reader.topics == {"/image": "sensor_msgs/msg/Image", "/words": "std_msgs/msg/String"}
        assert reader.counts == {"/image": COUNT, "/words": COUNT}
        assert (reader.start_ns, reader.end_ns) == (START, START + (COUNT - 1) * 10**8 + 1001)
        assert numbers(reader.messages(["/image"])) == list(range(COUNT))
        stamps = [message.stamp_ns for message in reader.messages()]
        assert stamps == sorted(stamps) and len(stamps) == 2 * COUNT
        late = list(reader.messages(["/words"], start_ns=START + 30 * 10**8))
        assert [message.decode().data for message in late] == [f"number {n}" for n in range(30, COUNT)]


def test_messages_come_as_cdr_from_every_format(bag):
    with BagReader(bag) as reader:
        message = next(reader.messages(["/image"]))
        decoded = ROS2.deserialize_cdr(message.cdr(), message.type)
        assert decoded.header.stamp.sec == 1_700_000_000 and decoded.data.size == 60_000


def test_transforms_of_the_first_ros_have_todays_type(tmp_path):
    """Recordings such as TUM's hold tf/tfMessage: tf2_msgs/TFMessage by its old name."""
    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf/msg/tfMessage"))
    make = {name: store.types[f"geometry_msgs/msg/{name}"] for name in ("Vector3", "Quaternion", "Transform")}
    pose = make["Transform"](make["Vector3"](1.0, 2.0, 3.0), make["Quaternion"](0.0, 0.0, 0.0, 1.0))
    entry = store.types["geometry_msgs/msg/TransformStamped"](header(START, "/world", ROS1), "/kinect", pose)
    old = store.types["tf/msg/tfMessage"]([entry])
    with Ros1Writer(tmp_path / "old.bag") as writer:
        tf = writer.add_connection("/tf", old.__msgtype__, typestore=store)
        writer.write(tf, START, store.serialize_ros1(old, old.__msgtype__))
    with BagReader(tmp_path / "old.bag") as reader:
        assert reader.topics == {"/tf": "tf2_msgs/msg/TFMessage"}
        (message,) = reader.messages()
        for found in (message.decode(), ROS2.deserialize_cdr(message.cdr(), message.type)):
            (transform,) = found.transforms
            assert (transform.header.frame_id, transform.child_frame_id) == ("/world", "/kinect")
            assert transform.transform.translation.y == 2.0


@pytest.mark.parametrize("share", [0.35, 0.8, 0.999])
def test_a_bag_that_was_cut_off_gives_what_is_readable(bag, share):
    with BagReader(cut(bag, share)) as reader:
        assert "breaks off" in reader.truncated and storage_file(bag).name in reader.truncated
        found = numbers(reader.messages(["/image"]))
        words = sum(1 for _ in reader.messages(["/words"]))
    assert found == list(range(len(found)))
    assert reader.counts["/image"] == len(found) and abs(words - len(found)) <= 20
    compressed_block = 18  # pictures in a megabyte: a compressed block that was cut may be lost as a whole
    assert COUNT * share - compressed_block - 1 <= len(found) <= COUNT


@pytest.fixture
def spoilt(tmp_path):
    """A bag with a broken chunk in its middle."""
    bag = write_bag(tmp_path / "bag", numbered("mcap-zstd"), "mcap-zstd")
    file = storage_file(bag)
    data = bytearray(file.read_bytes())
    chunk = data.index(b"\x28\xb5\x2f\xfd", len(data) // 2)  # where zstd begins
    data[chunk : chunk + 4] = bytes(4)
    file.write_bytes(data)
    return bag


def test_bytes_lost_in_the_middle_cost_only_their_chunk(spoilt):
    with BagReader(spoilt) as reader:
        found = numbers(reader.messages(["/image"]))
        assert "1 of its chunks" in reader.truncated
        assert numbers(reader.messages(["/image"])) == found
    assert found == sorted(set(found)) and found[0] == 0 and found[-1] == COUNT - 1
    assert COUNT - 20 <= len(found) < COUNT


def test_two_topics_of_a_damaged_bag_are_read_side_by_side(spoilt):
    with BagReader(spoilt) as reader:
        alone = {topic: [m.stamp_ns for m in reader.messages([topic])] for topic in ("/image", "/words")}
    with BagReader(spoilt) as reader:
        pairs = list(zip_longest(*(reader.messages([topic]) for topic in alone)))
        assert reader.truncated.count("chunk") == 1, reader.truncated
    for topic, together in zip(alone, zip(*pairs)):
        assert [m.stamp_ns for m in together if m is not None] == alone[topic]


def test_a_killed_recorder_leaves_no_description(tmp_path):
    bag = write_bag(tmp_path / "bag", numbered("mcap"))
    (bag / "metadata.yaml").unlink()
    with BagReader(bag) as reader:
        assert numbers(reader.messages(["/image"])) == list(range(COUNT))
        assert "metadata.yaml is missing" in reader.truncated


def test_files_of_a_split_recording_follow_each_other_by_number(tmp_path):
    messages = list(numbered("mcap", 12, 3000))
    folder = tmp_path / "split"
    folder.mkdir()
    for part in range(12):
        bag = write_bag(tmp_path / f"part{part}", messages[2 * part : 2 * part + 2])
        shutil.copy(storage_file(bag), folder / f"split_{part}.mcap")
    (folder / "split_12.mcap").write_bytes(b"")  # just begun when the recorder was killed
    with BagReader(folder) as reader:
        assert numbers(reader.messages(["/image"])) == list(range(12))
        assert "split_12.mcap" in reader.truncated


def test_a_ros1_bag_whose_recorder_was_killed_has_no_index(tmp_path):
    bag = write_bag(tmp_path / "bag", numbered("ros1"), "ros1")
    data = bag.read_bytes()
    place = data.index(b"index_pos=") + len("index_pos=")
    active = tmp_path / "bag.bag.active"
    active.write_bytes(data[:place] + struct.pack("<Q", 0) + data[place + 8 :])
    with BagReader(active) as reader:
        assert numbers(reader.messages(["/image"])) == list(range(COUNT))
        assert "before its index" in reader.truncated


def test_the_write_ahead_log_of_a_killed_recorder_is_read(tmp_path):
    bag = write_bag(tmp_path / "bag", numbered("sqlite"), "sqlite")
    database = sqlite3.connect(storage_file(bag))
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("INSERT INTO messages(topic_id, timestamp, data) SELECT topic_id, timestamp, data FROM messages")
    database.commit()
    killed = tmp_path / "killed"
    shutil.copytree(bag, killed)  # while the recorder has it open: the new rows are in the log only
    database.close()
    with BagReader(killed) as reader:
        assert reader.counts["/image"] == 2 * COUNT


def test_bags_of_old_releases_without_definitions_use_the_standard_ones(tmp_path):
    bag = write_bag(tmp_path / "bag", numbered("sqlite", 3, 3000), "sqlite")
    database = sqlite3.connect(storage_file(bag))
    database.executescript("DROP TABLE message_definitions; DROP TABLE schema;")
    database.close()
    with BagReader(bag) as reader:
        assert numbers(reader.messages(["/image"])) == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89MCAP0\r\n"])
@pytest.mark.parametrize("suffix", [".mcap", ".db3", ".bag", ".txt"])
def test_what_is_no_recording_is_refused_by_name(tmp_path, suffix, content):
    path = tmp_path / f"thing{suffix}"
    path.write_bytes(content)
    with pytest.raises(BagError, match="thing"), BagReader(path):
        pass


def test_missing_and_empty_places_are_refused(tmp_path):
    with pytest.raises(BagError, match="does not exist"), BagReader(tmp_path / "nowhere"):
        pass
    with pytest.raises(BagError, match="no recording"), BagReader(tmp_path):
        pass


def test_an_unknown_topic_is_refused_with_the_known_ones(tmp_path):
    bag = write_bag(tmp_path / "bag", numbered("mcap", 2, 3000))
    with BagReader(bag) as reader, pytest.raises(BagError, match="no topic /nothing, it has /image, /words"):
        next(reader.messages(["/nothing"]))


def test_damaged_message_bytes_are_a_bag_error(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write("/image", b"\x00\x01\x00\x00rubbish", START, "sensor_msgs/msg/Image")
    with BagReader(tmp_path / "bag") as reader, pytest.raises(BagError, match="/image is no sensor_msgs/msg/Image"):
        next(reader.messages()).decode()


@pytest.mark.parametrize("name", ["written", "written.mcap"])
@pytest.mark.parametrize("compress", [False, True])
def test_what_we_write_others_read(tmp_path, name, compress):
    path = tmp_path / name
    words = text("from an object")
    with BagWriter(path, compress) as writer:
        writer.write("/a", words, START)
        writer.write(
            "/b", bytes(ROS2.serialize_cdr(text("from bytes"), "std_msgs/msg/String")), START + 5, "std_msgs/msg/String"
        )
        assert not path.exists()
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with AnyReader([path]) as reader:
        found = [(c.topic, when, reader.deserialize(raw, c.msgtype).data) for c, when, raw in reader.messages()]
    assert found == [("/a", START, "from an object"), ("/b", START + 5, "from bytes")]
    if name == "written":
        assert {file.name for file in path.iterdir()} == {"metadata.yaml", "written.mcap"}
        assert "written.mcap" in (path / "metadata.yaml").read_text()


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(BagError, match="'nonsense/msg/Type' of /a is unknown"), BagWriter(tmp_path / "bag") as writer:
        writer.write("/a", b"", START, "nonsense/msg/Type")
    assert list(tmp_path.iterdir()) == []


def test_a_writer_refuses_names_that_are_taken_and_mixed_types(tmp_path):
    (tmp_path / "bag").mkdir()
    with pytest.raises(BagError, match="exists already"), BagWriter(tmp_path / "bag"):
        pass
    with pytest.raises(BagError, match="cannot carry"), BagWriter(tmp_path / "other") as writer:
        writer.write("/a", text("x"), START)
        writer.write("/a", header(START), START)


def mcap(*records):
    """An MCAP file by hand: (kind, content) records between the magic bytes, without chunks or index."""
    magic = b"\x89MCAP0\r\n"
    return magic + b"".join(struct.pack("<BQ", kind, len(content)) + content for kind, content in records) + magic


def mcap_string(words):
    return struct.pack("<I", len(words)) + words.encode()


def test_mcap_files_without_chunks_index_or_order_are_read(tmp_path):
    """As `ros2 bag record --storage-preset-profile fastwrite` and recorders that are not of ROS write them."""
    definition, _ = ROS2.generate_msgdef("std_msgs/msg/String", ros_version=2)
    schema = struct.pack("<H", 1) + mcap_string("std_msgs/msg/String") + mcap_string("ros2msg")
    channel = struct.pack("<HH", 7, 1) + mcap_string("/words") + mcap_string("cdr") + struct.pack("<I", 0)
    messages = [
        (
            5,
            struct.pack("<HIQQ", 7, n, START + n, START + n)
            + bytes(ROS2.serialize_cdr(text(f"number {n}"), "std_msgs/msg/String")),
        )
        for n in (0, 2, 1, 3)
    ]
    file = tmp_path / "fast.mcap"
    file.write_bytes(
        mcap(
            (1, mcap_string("") + mcap_string("somebody")),
            (3, schema + mcap_string(definition)),
            (4, channel),
            *messages,
            (15, bytes(4)),
            (2, bytes(20)),
        )
    )
    with BagReader(file) as reader:
        assert [message.decode().data for message in reader.messages()] == [f"number {n}" for n in (0, 2, 1, 3)]
        assert reader.truncated is None and reader.counts == {"/words": 4}
