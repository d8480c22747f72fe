"""The `scdepth train` command: one YAML file, every value overridable, resumable."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Literal, NoReturn

import pytorch_lightning as pl
import torch
from jsonargparse import SUPPRESS, ActionConfigFile, ArgumentParser, Namespace
from pytorch_lightning.callbacks import EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.trainer.states import TrainerStatus
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from scdepth_core.arguments import check_output_folder
from scdepth_core.checkpoint import load_weights, save_weights
from scdepth_core.compiling import compiler_explained
from scdepth_core.data.scene_folder import SceneFolder
from scdepth_core.errors import CheckpointError, ConfigError, ScDepthError
from scdepth_core.machine import keep_freed_memory
from scdepth_core.training.checkpoint_io import AtomicCheckpointIO, check_resumable
from scdepth_core.training.data_module import SequenceDataModule
from scdepth_core.training.nan_guard import NanGuard
from scdepth_core.training.patience import Patience
from scdepth_core.training.pictures import PictureLogger
from scdepth_core.training.precision import PRECISIONS, chosen_precision
from scdepth_core.training.progress import ImageProgressBar
from scdepth_core.training.versions import DEFAULT, VERSIONS, asked_version

DESCRIPTION = """Train depth and motion from video.

Example: scdepth train --config config/train/indoor.yaml --data data/kitchen --trainer.max_epochs 20
Resume:  the same command with --resume last
Version: v1 for steady motion, v2 for hand-held video, v3 where people and things move (needs pseudo depth).
         'scdepth train --version v2 --help' lists the settings of v2; a YAML file may say 'version: v2'
"""


class _Parser(ArgumentParser):
    """Says what is wrong with a command line in one sentence, not below a page of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # one of the parsers within, of which another may take the value
            super().error(message, ex)
        if message.startswith('Parser key "data":') and "NoneType" in message:
            raise ConfigError("--data is missing – give a data set, such as 'scdepth extract' makes") from ex
        raise ConfigError(f"{' '.join(message.split())} – see 'scdepth train --help'") from ex


def build_parser(version: str = DEFAULT) -> ArgumentParser:
    """Every setting of a version's model, the samples and the trainer, with its type and default."""
    parser = _Parser(prog="scdepth train", description=DESCRIPTION, default_env=False)
    parser.add_argument(
        "--config", action=ActionConfigFile, help="YAML with any of the settings below; flags override it"
    )
    # without a default, which --print_config=skip_default would leave out: the file is of this version
    parser.add_argument(
        "--version", type=Literal[tuple(VERSIONS)], default=SUPPRESS, help=f"of SC-Depth (default: {DEFAULT})"
    )
    parser.add_argument("--data", type=Path, required=True, help="data set in the scene-folder format")
    parser.add_argument(
        "--out", type=Path, default=Path("runs") / version, help="folder of the run: checkpoints, logs, weights"
    )
    parser.add_argument(
        "--resume",
        type=str | None,
        default=None,
        help="'last' goes on from OUT/checkpoints/last.ckpt, with the next epoch; or a .ckpt file",
    )
    parser.add_argument("--seed", type=int, default=0, help="of initialisation, order and augmentation")
    parser.add_argument(
        "--ema",
        type=float | None,
        default=None,
        help="keep an exponential moving average of the weights with this decay, such as 0.999; it is what is "
        "validated, kept as best.ckpt and exported",
    )
    parser.add_argument(
        "--patience", type=int | None, default=None, help="stop after this many validations without a better score"
    )
    parser.add_argument("--pictures", type=int, default=500, help="steps between pictures in TensorBoard; 0: none")
    parser.add_class_arguments(VERSIONS[version], "model")
    parser.add_class_arguments(SequenceDataModule, "samples")
    chosen_here = {"logger", "callbacks", "default_root_dir", "plugins", "enable_checkpointing", "barebones"}
    parser.add_class_arguments(pl.Trainer, "trainer", skip=chosen_here | {"precision"}, instantiate=False)
    parser.add_argument(
        "--trainer.precision",
        type=Literal[PRECISIONS],
        default="32-true",
        help="of the networks; auto takes bf16-mixed where the device is fast at it",
    )
    parser.link_arguments("data", "samples.root")
    parser.link_arguments("seed", "samples.seed")
    parser.set_defaults(
        {
            "trainer.max_epochs": 100,
            "trainer.limit_train_batches": 1000,
            "trainer.num_sanity_val_steps": 1,
            "trainer.use_distributed_sampler": False,
            "trainer.log_every_n_steps": 20,
            "trainer.enable_model_summary": False,
        }
    )
    return parser


def run(arguments: list[str]) -> None:
    """Train with command-line arguments; writes OUT/checkpoints/{best,last}.ckpt and OUT/weights.safetensors.

    Raises:
        ScDepthError: a setting or the data set is wrong, which is found before networks are built.
    """
    version = asked_version(arguments)
    parser = build_parser(version)
    settings = parser.parse_args([*arguments, "--version", version])
    _check(settings)
    resume, first_epoch = _resume_path(settings), 0
    if resume is not None:
        model, samples = settings.model, settings.samples
        first_epoch, first_step = check_resumable(
            resume,
            version,
            model.encoder,
            model.decoder,
            averages=settings.ema is not None,
            validation=model.validation,
            size=(samples.width, samples.height),
            data=SceneFolder(settings.data),
        )
        _check_end("epoch", first_epoch, settings.trainer.max_epochs)
        _check_end("step", first_step, settings.trainer.max_steps)
        settings.model.pretrained, settings.model.start = "none", None  # the checkpoint replaces the weights anyway
    _quiet_lightning()
    keep_freed_memory()
    pl.seed_everything(settings.seed, verbose=False)
    settings.trainer.precision = chosen_precision(settings.trainer.precision, settings.trainer.accelerator)
    if settings.trainer.benchmark is None and not settings.trainer.deterministic:
        settings.trainer.benchmark = True  # every batch has one shape: cuDNN may measure what is fastest for it
    torch.set_float32_matmul_precision("highest")  # pixels go through matrices: TF32 moves them by a tenth
    built = parser.instantiate(settings)
    built.samples.first_epoch = first_epoch
    best, last = _checkpoints(settings)
    try:
        trainer = pl.Trainer(
            **settings.trainer.as_dict(),
            default_root_dir=settings.out,
            logger=TensorBoardLogger(settings.out, name="log", version=""),
            callbacks=[*_callbacks(settings), best, last],
            plugins=[AtomicCheckpointIO()],
        )
        with compiler_explained("train without: --model.compile false"):
            _fit(trainer, built, settings, resume)
    except (MisconfigurationException, ValueError) as error:
        if isinstance(error, ValueError) and not _from_lightning(error):
            raise
        raise ConfigError(f"Lightning cannot run with these --trainer settings: {error}") from error
    except ScDepthError as error:
        raise type(error)(_sentence(error)) from error
    if trainer.is_global_zero:
        if trainer.early_stopping_callback and trainer.early_stopping_callback.verdict:
            print(trainer.early_stopping_callback.verdict)
        _finish(best, last, settings.out)


def _fit(trainer: pl.Trainer, built: Namespace, settings: Namespace, resume: Path | None) -> None:
    """Train; a KeyboardInterrupt comes out as one, which Lightning would turn into an exit without a word."""
    try:
        trainer.fit(built.model, built.samples, ckpt_path=resume)
    except SystemExit:
        if trainer.state.status != TrainerStatus.INTERRUPTED:
            raise
        kept = (settings.out / "checkpoints" / "last.ckpt").exists()
        raise KeyboardInterrupt("go on from the last epoch with --resume last" if kept else "") from None


def _check(settings: Namespace) -> None:
    SceneFolder(settings.data).names("train.txt")
    check_output_folder(settings.out)
    if not 0 <= settings.seed < 2**32:
        raise ConfigError(f"--seed is {settings.seed}, expected 0 to {2**32 - 1}")
    if settings.ema is not None and not 0 < settings.ema < 1:
        raise ConfigError(f"--ema is {settings.ema:g}, expected a decay between 0 and 1, such as 0.999")
    if settings.patience is not None and settings.patience < 1:
        raise ConfigError(f"--patience is {settings.patience}, expected at least 1 validation")
    if settings.pictures < 0:
        raise ConfigError(f"--pictures is {settings.pictures}, expected steps between them, or 0 for none")
    if settings.patience is not None and settings.trainer.limit_val_batches == 0:
        raise ConfigError("--patience waits for a better score, and --trainer.limit_val_batches 0 leaves none")
    for name, value, least in (
        ("model.learning_rate", settings.model.learning_rate, 0),
        ("trainer.gradient_clip_val", settings.trainer.gradient_clip_val or 0, 0),
        ("trainer.accumulate_grad_batches", settings.trainer.accumulate_grad_batches, 1),
    ):
        if not value >= least:
            raise ConfigError(f"--{name} is {value:g}, expected at least {least}")
    if not 0 <= settings.model.loss.ssim_weight <= 1:
        raise ConfigError(f"--model.loss.ssim_weight is {settings.model.loss.ssim_weight:g}, expected 0 to 1")


def _check_end(unit: str, reached: int, end: int | None) -> None:
    """Raise ConfigError where a resumed run has nothing left to train; an end of None or -1 is none."""
    if end not in (None, -1) and reached >= end:
        raise ConfigError(
            f"{unit} {reached} was reached already, and --trainer.max_{unit}s is {end} – raise --trainer.max_{unit}s"
        )


def _callbacks(settings: Namespace) -> list[pl.Callback]:
    """What goes along with the steps, each by its own switch."""
    chosen = [LearningRateMonitor(), NanGuard(settings.out)]
    if settings.trainer.enable_progress_bar is not False:
        chosen.append(ImageProgressBar())
    if settings.pictures:
        chosen.append(PictureLogger(settings.pictures))
    if settings.ema is not None:
        chosen.append(EMAWeightAveraging(decay=settings.ema))
    if settings.patience is not None:
        chosen.append(Patience(settings.patience))
    return chosen


def _checkpoints(settings: Namespace) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """Keepers of best.ckpt, after each validation that improved, and of last.ckpt, after each epoch.

    Two, because Lightning's `save_last` writes last.ckpt only when the best one is written.
    """
    folder = settings.out / "checkpoints"
    best = ModelCheckpoint(
        folder, filename="best", monitor="val/score", enable_version_counter=False, save_on_train_epoch_end=False
    )
    return best, ModelCheckpoint(folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)


def _finish(best: ModelCheckpoint, last: ModelCheckpoint, out: Path) -> None:
    """Export the best checkpoint, or the last one where nothing was validated, and say how good it is."""
    paths = [Path(keeper.best_model_path) for keeper in (best, last) if keeper.best_model_path]
    source = next((path for path in paths if path.is_file()), None)
    if source is None:
        print("no checkpoint was written, so there are no weights to export")
        return
    export(source, out / "weights.safetensors")
    score = best.best_model_score
    if score is None:
        verdict = "not validated"
    elif not score.isfinite():
        verdict = "no validation frame could be compared: depth has collapsed"
    else:
        verdict = f"best validation score {float(score):.4f}"
    print(f"{verdict}, weights of {source.name} in '{out / 'weights.safetensors'}'")


def _from_lightning(error: Exception) -> bool:
    """Whether Lightning itself raised it, as for a setting that it cannot follow."""
    frame = error.__traceback__
    while frame.tb_next is not None:
        frame = frame.tb_next
    return frame.tb_frame.f_globals["__name__"].startswith(("pytorch_lightning", "lightning_fabric"))


def _sentence(error: ScDepthError) -> str:
    """The message of an error; one that comes from a loader process has its sentence at the end of a traceback."""
    text = str(error).strip()
    return text.splitlines()[-1].partition(": ")[2] if text.startswith("Caught ") else text


def export(checkpoint: Path, path: Path) -> None:
    """Write the inference file of a training checkpoint: DepthNet alone, and what is needed to use it."""
    save_weights(path, *load_weights(checkpoint))


def _resume_path(settings: Namespace) -> Path | None:
    last = settings.out / "checkpoints" / "last.ckpt"
    if settings.resume is None:
        if last.exists():
            raise ConfigError(
                f"'{settings.out}' holds a run already – go on with --resume last, or choose another --out"
            )
        return None
    path = last if settings.resume == "last" else Path(settings.resume)
    if not path.exists():
        raise CheckpointError(f"cannot resume from '{path}': no such file – leave --resume out to start anew")
    return path


def _quiet_lightning() -> None:
    """Leave out what does not help: hardware banners, product tips, advice against choices that were made."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning, module="pytorch_lightning")
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*Checkpoint directory.*",
        ".*resuming from a checkpoint that ended before the epoch ended.*",  # AtomicCheckpointIO sees to it
    ):
        warnings.filterwarnings("ignore", message)
