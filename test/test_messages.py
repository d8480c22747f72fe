"""Messages to arrays and back, held against byte layouts written out by hand."""

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from scdepth_core.errors import CameraError, ConfigError, ImageError
from scdepth_core.geometry.camera import Camera
from scdepth_core.geometry.point_cloud import RayTable, point_cloud
from scdepth_ros.messages import (
    CameraInfoBuffer,
    CloudBuffer,
    decode_camera_info,
    decode_depth,
    decode_image,
    encode_camera_info,
    encode_cloud,
    encode_color,
    encode_depth,
)
from scdepth_ros.messages.layout import COLOR_ENCODINGS, ImageMessageError


def image(encoding, width, height, data, step=None, big=0):
    size = step if step is not None else len(data) // max(height, 1)
    return SimpleNamespace(encoding=encoding, width=width, height=height, step=size, data=bytes(data), is_bigendian=big)


def compressed(fmt, data):
    return SimpleNamespace(format=fmt, data=bytes(data))


RED, GREEN, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]


@pytest.mark.parametrize(
    "encoding, pixels",
    [
        ("rgb8", [255, 0, 0, 0, 0, 255]),
        ("bgr8", [0, 0, 255, 255, 0, 0]),
        ("8UC3", [0, 0, 255, 255, 0, 0]),
        ("rgba8", [255, 0, 0, 9, 0, 0, 255, 9]),
        ("bgra8", [0, 0, 255, 9, 255, 0, 0, 9]),
        ("8UC4", [0, 0, 255, 9, 255, 0, 0, 9]),
    ],
)
@pytest.mark.parametrize("padding", [0, 3])
def test_eight_bit_colour(encoding, pixels, padding):
    row = bytes(pixels) + b"\x77" * padding
    decoded = decode_image(image(encoding, 2, 2, row * 2, step=len(row)))
    assert decoded.dtype == np.uint8
    assert decoded.tolist() == [[RED, BLUE], [RED, BLUE]]


@pytest.mark.parametrize("big", [0, 1])
def test_sixteen_bit_is_scaled_in_either_byte_order(big):
    values = [0, 257, 65535, 32768]
    data = struct.pack(">4H" if big else "<4H", *values)
    assert decode_image(image("mono16", 2, 2, data, big=big)).tolist() == [[0, 1], [255, 128]]
    assert decode_image(image("16UC1", 2, 2, data, big=big)).tolist() == [[0, 1], [255, 128]]
    data = struct.pack(">6H" if big else "<6H", 0, 0, 65535, 65535, 0, 0)
    assert decode_image(image("bgr16", 2, 1, data, big=big)).tolist() == [[RED, BLUE]]
    assert decode_image(image("rgb16", 2, 1, data, big=big)).tolist() == [[BLUE, RED]]


def test_mono8_is_a_view_on_the_message():
    msg = image("mono8", 3, 2, b"\x01\x02\x03\xff\x04\x05\x06\xff", step=4)
    assert decode_image(msg).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert not decode_image(msg).flags.owndata


def test_yuv_pairs_and_planes():
    grey = [[[0] * 3, [255] * 3]]  # the ends of the video range: luma 16 and 235
    for encoding, data in {
        "uyvy": [128, 16, 128, 235],
        "yuv422": [128, 16, 128, 235],
        "yuyv": [16, 128, 235, 128],
        "yuv422_yuy2": [16, 128, 235, 128],
    }.items():
        assert decode_image(image(encoding, 2, 1, data)).tolist() == grey
    # one 2x2 block of luma, row padding of two bytes, then its chroma pair: NV12 stores U first, NV21 V first
    planes = [81, 81, 0, 0, 81, 81, 0, 0, 90, 240, 0, 0]  # BT.601 red: Y 81, U 90, V 240
    assert np.abs(decode_image(image("nv12", 2, 2, planes, step=4)).astype(int) - RED).max() <= 2
    planes[8:10] = [240, 90]
    assert np.abs(decode_image(image("nv21", 2, 2, planes, step=4)).astype(int) - RED).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_of_one_colour(order, bits):
    """A mosaic seen through uniform light gives that light back, in every order and depth."""
    light = {"r": 200, "g": 100, "b": 50}
    tile = np.array([light[c] for c in order]).reshape(2, 2)
    mosaic = np.tile(tile, (4, 4)) * (257 if bits == 16 else 1)
    data = mosaic.astype(np.uint16 if bits == 16 else np.uint8).tobytes()
    decoded = decode_image(image(f"bayer_{order}{bits}", 8, 8, data))
    assert (decoded[2:-2, 2:-2] == [200, 100, 50]).all()


@pytest.mark.parametrize(
    "msg, kind, words",
    [
        (image("rgb8", 2, 2, b""), "empty_data", "no data"),
        (image("rgb8", 2, 2, bytes(11), step=6), "wrong_size", "11 bytes of data, expected 12"),
        (image("rgb8", 2, 2, bytes(13), step=6), "wrong_size", "13 bytes of data, expected 12"),
        (image("rgb8", 0, 2, bytes(12), step=6), "wrong_size", "no pixels"),
        (image("rgb8", 2, 2, bytes(10), step=5), "wrong_step", "step 5, expected at least 6"),
        (image("rgb8", 2, 2, bytes(12), step=0), "wrong_step", "step 0"),
        (image("mono16", 2, 2, bytes(6), step=3), "wrong_step", "step 3"),
        (image("yuyv", 3, 1, bytes(6)), "wrong_size", "even"),
        (image("nv12", 2, 3, bytes(8), step=2), "wrong_size", "even"),
        (image("hdr10", 2, 2, bytes(12)), "unknown_encoding", "'hdr10' is unknown"),
        (image("32FC1", 2, 2, bytes(16)), "unknown_encoding", "'32FC1' is unknown"),
        (image("", 2, 2, bytes(12)), "unknown_encoding", "'' is unknown"),
        (compressed("jpeg", b""), "empty_data", "no data"),
        (compressed("jpeg", b"\x00" * 40), "corrupt_data", "neither"),
        (compressed("rgb8; png compressed bgr8", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40), "corrupt_data", "neither"),
    ],
)
def test_a_bad_image_is_one_sentence(msg, kind, words):
    with pytest.raises(ImageError, match=words) as caught:
        decode_image(msg)
    assert "\n" not in str(caught.value)
    assert caught.value.kind == kind and kind in ImageMessageError.KINDS


def test_tiny_and_huge_fields_never_crash():
    rng = np.random.default_rng(0)
    for name in COLOR_ENCODINGS:
        for _ in range(60):
            w, h, step, size = (int(v) for v in rng.integers(0, 12, 4))
            try:
                decoded = decode_image(image(name, w, h, bytes(size * step), step=step))
            except ImageError:
                continue
            assert decoded.shape[:2] == (h, w) and decoded.dtype == np.uint8


def picture():
    """32x48 RGB with a different gradient in every channel."""
    y, x = np.mgrid[:32, :48]
    return np.stack([x * 5, y * 7, 255 - x * 3], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("fmt", ["jpeg", "jpg", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8"])
def test_jpeg(fmt):
    data = cv2.imencode(".jpg", picture()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1]
    decoded = decode_image(compressed(fmt, data.tobytes()))
    assert np.abs(decoded.astype(int) - picture()).mean() < 2


def test_png_colour_mono_sixteen_bit_and_raw_rgb():
    rgb = picture()
    png = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    assert (decode_image(compressed("png", png)) == rgb).all()
    assert (decode_image(compressed("rgb8; png compressed bgr8", png)) == rgb).all()
    raw = cv2.imencode(".png", rgb)[1].tobytes()
    assert (decode_image(compressed("rgb8; png compressed rgb8", raw)) == rgb).all()
    mono = cv2.imencode(".png", rgb[..., 0])[1].tobytes()
    assert (decode_image(compressed("mono8; png compressed ", mono)) == rgb[..., 0]).all()
    deep = cv2.imencode(".png", rgb[..., 0].astype(np.uint16) * 257)[1].tobytes()
    assert (decode_image(compressed("mono16; png compressed ", deep)) == rgb[..., 0]).all()


def test_a_cut_jpeg_is_not_half_a_picture():
    data = cv2.imencode(".jpg", picture())[1].tobytes()
    with pytest.raises(ImageError, match="cut off"):
        decode_image(compressed("jpeg", data[: len(data) * 2 // 3]))


def test_depth_in_metres_with_nan_for_no_value():
    millimetres = struct.pack("<4H", 0, 1, 1000, 65535)
    decoded = decode_depth(image("16UC1", 4, 1, millimetres))
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, [[np.nan, 0.001, 1, 65.535]], rtol=1e-6)
    metres = struct.pack(">6f", 0, -1, float("inf"), float("nan"), 2.5, 1e-3)
    expected = [[np.nan, np.nan, np.nan, np.nan, 2.5, 1e-3]]
    np.testing.assert_allclose(decode_depth(image("32FC1", 6, 1, metres, big=1)), expected, rtol=1e-6)
    with pytest.raises(ImageError, match="'rgb8' is unknown, expected one of 32FC1"):
        decode_depth(image("rgb8", 1, 1, b"\0\0\0"))


def test_compressed_depth():
    png = cv2.imencode(".png", np.array([[0, 1500]], np.uint16))[1].tobytes()
    header = struct.pack("<iff", 0, 0, 0)
    for fmt, data in [("16UC1; compressedDepth png", header + png), ("16UC1; png compressed ", png)]:
        np.testing.assert_allclose(decode_depth(compressed(fmt, data)), [[np.nan, 1.5]], rtol=1e-6)
    a, b = 100.0, -10.0  # 32FC1 is stored as a / z + b
    stored = np.array([[0, round(a / 0.5 + b), round(a / 2 + b)]], np.uint16)
    data = struct.pack("<iff", 0, a, b) + cv2.imencode(".png", stored)[1].tobytes()
    decoded = decode_depth(compressed("32FC1; compressedDepth", data))
    np.testing.assert_allclose(decoded, [[np.nan, 0.5, 2]], rtol=1e-6)
    with pytest.raises(ImageError, match="png"):
        decode_depth(compressed("32FC1; compressedDepth rvl", data))
    with pytest.raises(ImageError, match="one 16-bit channel"):
        decode_depth(compressed("png", cv2.imencode(".png", picture())[1].tobytes()))


def info(**changes):
    fields = {
        "width": 640,
        "height": 480,
        "distortion_model": "plumb_bob",
        "d": [0.1, -0.2, 0.0, 0.0, 0.05],
        "k": [500.0, 0, 320, 0, 510, 240, 0, 0, 1],
        "r": [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
        "p": [480.0, 0, 318, 0, 0, 490, 239, 0, 0, 0, 1, 0],
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
    }
    return SimpleNamespace(**{**fields, **changes})


def test_camera_info_of_both_ros_generations():
    camera = decode_camera_info(info())
    assert (camera.width, camera.height, camera.distortion_model) == (640, 480, "plumb_bob")
    assert camera.K[0, 0] == 500 and camera.K[1, 2] == 240 and camera.P[0, 2] == 318 and camera.D.size == 5
    fields = vars(info())
    ros1 = {name.upper() if len(name) == 1 else name: value for name, value in fields.items()}
    assert (decode_camera_info(SimpleNamespace(**ros1)).P == camera.P).all()


def test_camera_info_folds_in_region_and_binning():
    roi = SimpleNamespace(x_offset=100, y_offset=40, width=400, height=200, do_rectify=False)
    camera = decode_camera_info(info(roi=roi, binning_x=2, binning_y=2))
    assert (camera.width, camera.height) == (200, 100)
    # the pixel at u of the full image lies at (u - 100 + .5) / 2 - .5 of the binned region
    assert camera.K[0, 2] == (320 - 100 + 0.5) / 2 - 0.5 and camera.K[1, 1] == 255
    assert camera.P[1, 2] == (239 - 40 + 0.5) / 2 - 0.5


def test_camera_info_without_values():
    camera = decode_camera_info(info(d=[], distortion_model="", p=[0.0] * 12, r=[0.0] * 9))
    assert camera.P is None and np.array_equal(camera.R, np.eye(3)) and not camera.is_distorted
    assert not decode_camera_info(info(d=[0.0] * 5)).is_distorted


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"k": [0.0] * 9}, "uncalibrated"),
        ({"k": [float("nan")] + [0.0] * 8}, "NaN"),
        ({"d": [float("nan")] * 5}, "NaN"),
        ({"width": 0}, "0x480"),
        ({"distortion_model": "banana"}, "banana"),
        ({"roi": SimpleNamespace(x_offset=600, y_offset=0, width=100, height=100)}, "leaves the image"),
    ],
)
def test_a_bad_camera_info_is_one_sentence(changes, words):
    with pytest.raises(CameraError, match=words):
        decode_camera_info(info(**changes))


@pytest.fixture
def header():
    std_msgs = pytest.importorskip("std_msgs.msg", reason="ROS 2 message packages are not installed")
    header = std_msgs.Header(frame_id="camera_color_optical_frame")
    header.stamp.sec, header.stamp.nanosec = 12, 345
    return header


def test_depth_to_message_and_back(header):
    depth = np.array([[0.5, np.nan, 3.25], [65.535, 65.6, 0.0004]], np.float32)
    msg = encode_depth(depth, header)
    assert (msg.encoding, msg.height, msg.width, msg.step, msg.is_bigendian) == ("32FC1", 2, 3, 12, 0)
    assert msg.header.frame_id == "camera_color_optical_frame" and msg.header.stamp.nanosec == 345
    assert bytes(msg.data) == depth.astype("<f4").tobytes()
    np.testing.assert_array_equal(decode_depth(msg), depth)


def test_depth_in_millimetres_writes_zero_for_what_does_not_fit(header):
    depth = np.array([[0.5, np.nan, 65.535], [65.536, 0.0004, np.inf]], np.float32)
    msg = encode_depth(depth, header, "16UC1")
    assert (msg.encoding, msg.step) == ("16UC1", 6)
    assert np.frombuffer(msg.data, "<u2").tolist() == [500, 0, 65535, 0, 0, 0]
    with pytest.raises(ConfigError, match="32FC1"):
        encode_depth(depth, header, "64FC1")


def test_colour_to_message_and_back(header):
    msg = encode_color(picture()[:, ::-1], header)  # negative strides are made contiguous
    assert (msg.encoding, msg.height, msg.width, msg.step) == ("rgb8", 32, 48, 144)
    assert np.array_equal(decode_image(msg), picture()[:, ::-1])


def test_camera_info_out_is_of_a_rectified_image(header):
    camera = Camera(64, 48, np.array([[60.0, 0, 30.25], [0, 55.0, 24.5], [0, 0, 1]]))
    msg = encode_camera_info(camera, header)
    assert (msg.width, msg.height, msg.distortion_model) == (64, 48, "plumb_bob")
    assert list(msg.d) == [0] * 5 and list(msg.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert list(msg.k) == [60, 0, 30.25, 0, 55, 24.5, 0, 0, 1]
    assert list(msg.p) == [60, 0, 30.25, 0, 0, 55, 24.5, 0, 0, 0, 1, 0]
    assert (msg.binning_x, msg.binning_y, msg.roi.width, msg.roi.height) == (0, 0, 0, 0)
    again = decode_camera_info(msg)
    assert np.array_equal(again.K, camera.K) and not again.is_distorted


def test_camera_info_is_kept_while_the_camera_stays(header):
    camera = Camera(64, 48, np.array([[60.0, 0, 30.25], [0, 55.0, 24.5], [0, 0, 1]]))
    buffer = CameraInfoBuffer()
    first = buffer.message(camera, header)
    assert first == encode_camera_info(camera, header)
    later = type(header)(frame_id="another_frame")
    assert buffer.message(camera, later) is first and first == encode_camera_info(camera, later)
    other = Camera(32, 24, camera.K)
    assert buffer.message(other, header) == encode_camera_info(other, header)


@pytest.mark.parametrize("layout, step, colour", [("pcl", 32, 16), ("packed", 16, 12)])
def test_cloud_message(header, layout, step, colour):
    camera = Camera(4, 2, np.array([[2.0, 0, 1], [0, 2.0, 1], [0, 0, 1]]))
    buffer = CloudBuffer((2, 4), layout)
    depth = np.full((2, 4), 2.0, np.float32)
    depth[1, 3] = np.nan
    rgb = np.full((2, 4, 3), (10, 20, 30), np.uint8)
    cloud = point_cloud(depth, RayTable(camera), rgb, buffer.points, layout)
    for msg in (buffer.message(header), encode_cloud(cloud, header)):
        assert (msg.height, msg.width, msg.point_step, msg.row_step) == (2, 4, step, 4 * step)
        assert [(f.name, f.offset, f.datatype, f.count) for f in msg.fields] == [
            ("x", 0, 7, 1),
            ("y", 4, 7, 1),
            ("z", 8, 7, 1),
            ("rgb", colour, 7, 1),
        ]
        assert not msg.is_dense and not msg.is_bigendian and len(msg.data) == 8 * step
        assert struct.unpack("<3f", bytes(msg.data[:12])) == (-1, -1, 2)  # (0 - 1) * 2 / 2
        assert bytes(msg.data[colour : colour + 4]) == bytes([30, 20, 10, 0])
        assert all(np.isnan(struct.unpack("<3f", bytes(msg.data[7 * step : 7 * step + 12]))))
