"""Errors that a person can act on: the command line prints the message alone, a node logs it and lives on.

A message names the thing, its value, what is allowed and the way out, in one sentence.
"""


class ScDepthError(Exception):
    """Base of every error that bad input or a bad environment can cause. Anything else is a bug."""


class CameraError(ScDepthError):
    """Intrinsics or distortion that no camera can have, or that do not fit the image."""


class TransformError(ScDepthError):
    """Frames that no transforms connect, or not at the time that was asked for."""


class ImageError(ScDepthError):
    """An image or image message that cannot be decoded."""


class DataError(ScDepthError):
    """A data set on disk that is incomplete or contradicts itself."""


class BagError(ScDepthError):
    """A recording that cannot be read, or lacks what was asked for."""


class CheckpointError(ScDepthError):
    """Weights that are missing, unsafe or made for another network."""


class ConfigError(ScDepthError):
    """A setting outside its allowed values."""


class TrainingError(ScDepthError):
    """A training run that cannot go on."""


class BackendError(ScDepthError):
    """A device or inference library that is not there."""


def first_line(error: BaseException) -> str:
    """What an error of somebody else's says, cut to a part of our sentence; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
