# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints of a fit: model files that also hold the optimiser's state, so that they can be looked at while a fit
runs. They hold float32, whatever the model will be stored as.

`OUT.amgsrn.checkpoint` is written to a temporary name, made durable and renamed: there is always a whole one. It
belongs to one volume and one set of settings, and is refused for others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from amgsrn_core.errors import ModelFileDamaged, ModelFileError
from amgsrn_core.models import AMGSRN, AMGSRNConfig
from amgsrn_core.storage.model_file import ModelHeader, read_header, read_tensors, write_model

from .candidate import Candidate
from .errors import CheckpointMismatch
from .fields import Fields
from .metrics import Metrics
from .optimisers import Optimiser
from .precision import Stored
from .sampling import Sampler
from .settings import difference

_SUFFIX = ".checkpoint"
_KEY = "checkpoint"


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoint of a fit is."""
    return output.with_name(output.name + _SUFFIX)


@dataclass(frozen=True)
class Progress:
    """How far a fit is.

    Attributes:
        step: number of steps done.
        points: number of points learned from.
        seconds, cpu_seconds: spent so far.
        training_seconds: of them, since the first step of all; what a time budget limits.
        placement: how the grids were placed, JSON-ready; empty before.
        networks: how many networks, each larger than the one before, have been trained.
        network_step, network_seconds: steps and training seconds when the present one began.
        seeker: state of the `TargetSeeker`; empty without a target.
        early_stop: state of the `EarlyStop`; empty without one.
    """

    step: int = 0
    points: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    training_seconds: float = 0.0
    placement: dict[str, Any] = field(default_factory=dict)
    networks: int = 1
    network_step: int = 0
    network_seconds: float = 0.0
    seeker: dict[str, Any] = field(default_factory=dict)
    early_stop: dict[str, Any] = field(default_factory=dict)


class Checkpoint:
    """The checkpoint of one fit.

    Args:
        path: its file.
        identity: JSON-ready description of volume and settings.
        fields: what the network is as a field, so that the checkpoint is a model file.
    """

    def __init__(self, path: Path, identity: dict[str, Any], fields: Fields) -> None:
        self.path = path
        self._identity = identity
        self._fields = fields

    def save(self, optimiser: Optimiser, sampler: Sampler, progress: Progress, best: Candidate | None = None) -> None:
        """Write the state, in place of an older one.

        Args:
            optimiser: with its network.
            sampler: of the training samples.
            progress: how far the fit is.
            best: the best model measured so far, if one is to be kept.

        Raises:
            ModelNotWritable: no space, say; the older one is untouched.
        """
        node, tensors = self._fields.stored(optimiser.network)
        tensors.update({_moment(name, moment): tensor for name, moment, tensor in optimiser.moments()})
        for name, series in optimiser.series().items():
            tensors[_series(name)] = torch.from_numpy(series).to(torch.float32)
        tensors.update({_sampled(name): tensor for name, tensor in sampler.state().items()})
        state = {"identity": self._identity, "progress": vars(progress), "counters": optimiser.counters(), "best": None}
        if best is not None:
            tensors.update({_best(name): tensor for name, tensor in best.stored.network.state_dict().items()})
            state["best"] = {
                "config": best.stored.network.config.to_dict(),
                "half": best.stored.half,
                "half_costs_db": best.stored.half_costs_db,
                "metrics": best.metrics.to_dict(),
            }
        header = ModelHeader(node, self._fields.domain, self._fields.array, {_KEY: state})
        write_model(self.path, header, tensors)

    def config(self) -> AMGSRNConfig | None:
        """The network that the file holds; None if there is no file.

        Raises:
            CheckpointMismatch: it is another fit's.
            ModelFileError: it is damaged.
        """
        if not self.path.exists():
            return None
        reason = difference(self._state()["identity"], self._identity)
        if reason:
            raise CheckpointMismatch(self.path, reason)
        try:
            return AMGSRNConfig.from_dict(read_header(self.path).architecture)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileDamaged(self.path, f"unreadable architecture: {error!r}") from error

    def load(self, optimiser: Optimiser, sampler: Sampler) -> Progress:
        """Continue from the file: set parameters, moments and schedules of an optimiser of the network it holds, and
        the sampler.

        Raises:
            ModelFileError: it is damaged.
        """
        state = self._state()
        mine: dict[str, torch.Tensor] = dict(optimiser.network.named_parameters())
        mine.update({_moment(name, moment): tensor for name, moment, tensor in optimiser.moments()})
        expected = {name: tuple(tensor.shape) for name, tensor in mine.items()}
        expected.update({_series(name): series.shape for name, series in optimiser.series().items()})
        expected.update({_sampled(name): tuple(tensor.shape) for name, tensor in sampler.state().items()})
        tensors = read_tensors(self.path, expected, torch.device("cpu"))
        with torch.no_grad():
            for name, tensor in mine.items():
                tensor.copy_(tensors[name])
        try:
            series = {name: tensors[_series(name)].double().numpy() for name in optimiser.series()}
            optimiser.restore(state["counters"], series)
            sampler.restore({name: tensors[_sampled(name)] for name in sampler.state()})
            return Progress(**state["progress"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileDamaged(self.path, f"unreadable state: {error!r}") from error

    def load_best(self, device: torch.device) -> Candidate | None:
        """The best model measured so far, if the file holds one.

        Raises:
            ModelFileError: it is damaged.
        """
        best = self._state()["best"]
        if best is None:
            return None
        try:
            network = AMGSRN(AMGSRNConfig.from_dict(best["config"]))
            half, cost, metrics = bool(best["half"]), best["half_costs_db"], Metrics.from_dict(best["metrics"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileDamaged(self.path, f"unreadable state: {error!r}") from error
        shapes = {_best(name): tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        tensors = read_tensors(self.path, shapes, torch.device("cpu"))
        network.load_state_dict({name: tensors[_best(name)] for name in network.state_dict()})
        return Candidate(Stored(network.to(device), half, cost), metrics)

    def delete(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        try:
            state = read_header(self.path).training[_KEY]
            keys = ("progress", "counters", "best")
            return {"identity": dict(state["identity"]), **{key: state[key] for key in keys}}
        except ModelFileError as error:
            raise ModelFileDamaged(self.path, f"{error}; or delete it, or start afresh with --overwrite") from error
        except (KeyError, TypeError) as error:
            raise ModelFileDamaged(self.path, "it holds no state of a fit") from error


def _moment(parameter: str, moment: str) -> str:
    return f"adam.{moment}.{parameter}"


def _series(name: str) -> str:
    return f"series.{name}"


def _sampled(name: str) -> str:
    return f"sampler.{name}"


def _best(name: str) -> str:
    return f"best.{name}"
