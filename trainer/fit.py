# SPDX-License-Identifier: BSD-3-Clause
"""Fitting a network to a volume: resumable, and the same to the last bit whether it was interrupted or not, unless time
limits it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amgsrn_core import read_header
from amgsrn_core.errors import ModelFileError
from amgsrn_core.models import AMGSRN, AMGSRNConfig

from .errors import OutputExists
from .fitting import Fit, FitOptions
from .interrupts import Interrupts
from .parts import refuse_parts
from .settings import FitSettings, difference
from .volumes import Volume

__all__ = ["FitOptions", "FitResult", "fit_volume", "missed_target"]


@dataclass(frozen=True)
class FitResult:
    """A finished fit.

    Attributes:
        training: what the model file says about it: settings, source, cost and errors.
        fresh: False if it had been finished before.
    """

    training: dict[str, Any]
    fresh: bool


def fit_volume(
    volume: Volume, output: Path, settings: FitSettings, options: FitOptions, start: AMGSRN | AMGSRNConfig | None = None
) -> FitResult:
    """Fit a network to a volume and write it as an .amgsrn file; continues where an interrupted fit of the same
    stopped.

    Args:
        start: a network to begin with, which keeps its grids; or the size of a new one; else the settings decide.

    Raises:
        OutputNotWritable, OutputExists, OutputBusy, CheckpointMismatch, ModelFileError, TargetSizeTooSmall: before
            anything is computed.
        FitInterrupted: by Ctrl-C or SIGTERM, after a checkpoint was written.
        FitDiverged: the loss is not finite.
        ModelNotWritable: the model could not be written; the checkpoint is kept.
    """
    identity = {
        **settings.to_dict(),
        "variable": volume.source.variable,
        "array": volume.name,
        "time_index": volume.source.time_index,
        "shape": list(volume.shape),
        "fingerprint": volume.fingerprint(),
        **_beginning(start),
    }
    done = finished_before(output, identity, options.overwrite)
    if done is not None:
        return FitResult(done, fresh=False)
    refuse_parts(output, options.overwrite)
    fit = Fit(volume, output, settings, options, identity, start)
    with Interrupts() as interrupts:
        training = fit.run(interrupts)
    warning = missed_target(training)
    if warning:
        options.say(warning)
    return FitResult(training, fresh=True)


def finished_before(output: Path, identity: dict[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """What an existing output says about its training if it is this very fit; None if there is no output, or it may
    be replaced."""
    if overwrite or not output.exists():
        return None
    try:
        training = read_header(output).training
    except ModelFileError as error:
        raise OutputExists(output, "and is not a readable model") from error
    if "identity" not in training:
        raise OutputExists(output, "a model from elsewhere")
    reason = difference(training["identity"], identity)
    if reason:
        raise OutputExists(output, f"a model with {reason}")
    return training


def _beginning(start: AMGSRN | AMGSRNConfig | None) -> dict[str, Any]:
    """What tells a fit from others that begin otherwise."""
    if start is None:
        return {}
    if isinstance(start, AMGSRNConfig):
        return {"network": start.to_dict()}
    digest = hashlib.blake2b(digest_size=16)
    for tensor in start.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return {"network": start.config.to_dict(), "start": digest.hexdigest()}


def missed_target(training: dict[str, Any]) -> str | None:
    """A warning, one line, if a fit had a target and has not reached it."""
    if training.get("target_reached", True):
        return None
    return (
        f"warning: the target of {training['target_psnr_db']:.2f} dB was not reached; "
        f"the best model, of {training['psnr_db']:.2f} dB, is kept"
    )
