# SPDX-License-Identifier: BSD-3-Clause
"""Measuring a network as it would be stored."""

from __future__ import annotations

import copy
from collections.abc import Callable

from amgsrn_core.models import AMGSRN

from .candidate import Candidate
from .fields import Fields
from .metrics import Metrics, measure
from .precision import Stored, choose_precision
from .probe import Probe
from .progress import Display
from .settings import FitSettings
from .volumes import Volume
from .volumes.region import Region


class Judge:
    """Measures the networks of one fit.

    Args:
        volume: what they learn.
        settings: of the fit.
        fields: what networks are as fields.
        probe: None for a constant volume.
        quiet: show no progress.
        region: of the nodes that count, see `measure`.
    """

    def __init__(
        self,
        volume: Volume,
        settings: FitSettings,
        fields: Fields,
        probe: Probe | None,
        quiet: bool,
        region: Region | None = None,
    ) -> None:
        self._volume, self._settings, self._fields, self._probe = volume, settings, fields, probe
        self._quiet, self._region = quiet, region

    def judge(self, network: AMGSRN, check: Callable[[], object]) -> Candidate:
        """The network as it would be stored now, and the errors of exactly that.

        Args:
            network: it is copied, and may be trained further.
            check: called now and then; may raise to stop.
        """
        settings, target = self._settings, self._settings.target_psnr
        sized = settings.target_size is not None
        stored = choose_precision(network, settings.precision, sized, self._probe)
        model = Candidate(stored, self._metrics(stored.network, check))
        could_be_single = stored.half and settings.precision == "auto" and not sized
        if target is None or model.reaches(target) or not could_be_single:
            return model
        # Where a hundredth of a dB decides, twice the bytes are worth it.
        if (model.metrics.psnr_db or 0.0) + 2.0 * (stored.half_costs_db or 0.0) < target:
            return model
        exact = Stored(copy.deepcopy(network), False, stored.half_costs_db)
        better = Candidate(exact, self._metrics(exact.network, check))
        return better if better.reaches(target) else model

    def _metrics(self, network: AMGSRN, check: Callable[[], object]) -> Metrics:
        field = self._fields.of(network)
        with Display("measuring", 1000, quiet=self._quiet) as display:

            def progress(fraction: float) -> None:
                display.update(int(1000 * fraction))
                check()

            return measure(field, self._volume, progress, self._region)
