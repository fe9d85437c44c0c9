# SPDX-License-Identifier: BSD-3-Clause
"""What networks that learn a volume become: fields on its domain, in its units, with its gaps."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch

from amgsrn_core import ArrayInfo, Domain
from amgsrn_core.field import Ranges
from amgsrn_core.models import AMGSRN, AMGSRNField, Mask, MaskedField
from amgsrn_core.storage import stored_field
from amgsrn_core.storage.masks import encode_mask

from .volumes import Volume


class Fields:
    """Makes fields of the networks of one volume.

    Args:
        domain, array: of all of them.
        scaling: the ranges that outputs are in units of; those of the array if None.
        mask: which nodes have values; None where none is missing.
    """

    def __init__(
        self, domain: Domain, array: ArrayInfo, scaling: Ranges | None = None, mask: Mask | None = None
    ) -> None:
        self.domain, self.array, self.mask = domain, array, mask
        self._scaling = scaling

    @classmethod
    def of_volume(cls, volume: Volume) -> Fields:
        """Those of a volume's networks."""
        mask = Mask.of(np.isfinite(volume.values[..., 0])) if volume.missing else None
        return cls(volume.domain, volume.array_info(), volume.output_ranges, mask)

    def of(self, network: AMGSRN) -> AMGSRNField | MaskedField:
        """A network as a field."""
        field = AMGSRNField(network, self.domain, self.array, self._scaling)
        return field if self.mask is None else MaskedField(field, self.mask)

    def stored(self, network: AMGSRN, half: bool = False) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Its node and tensors in a model file, see `storage.stored_field`; quick to make again."""
        node, tensors = stored_field(AMGSRNField(network, self.domain, self.array, self._scaling), half)
        if self._encoded_mask is None:
            return node, tensors
        entry, content = self._encoded_mask
        return {**node, "mask": entry}, {**tensors, "mask": content}

    @cached_property
    def _encoded_mask(self) -> tuple[dict[str, Any], torch.Tensor] | None:
        return None if self.mask is None else encode_mask(self.mask)
