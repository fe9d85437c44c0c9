# SPDX-License-Identifier: BSD-3-Clause
"""Fields to files and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..device import select_device
from ..errors import ModelFileDamaged
from ..field import Field
from ..models.amgsrn import AMGSRN, AMGSRNConfig, AMGSRNField
from .model_file import ModelHeader, read_header, read_tensors, write_model


def save_field(
    path: str | Path, field: AMGSRNField, training: dict[str, Any] | None = None, half: bool = False
) -> None:
    """Write a field as an .amgsrn file, all or nothing.

    Args:
        path: the file.
        field: the field.
        training: JSON-ready, how it was made.
        half: store the features of the grids as float16, all else as float32.

    Raises:
        ModelNotWritable: no such folder, not allowed, or no space; what was there before is untouched.
    """
    header = ModelHeader(field.network.config.to_dict(), field.domain, field.array, training or {})
    write_model(path, header, stored_tensors(field.network, half))


def stored_tensors(network: AMGSRN, half: bool) -> dict[str, torch.Tensor]:
    """A network's tensors as they are stored, see `save_field`."""
    tensors: dict[str, torch.Tensor] = dict(network.state_dict())
    if half:
        tensors["grids"] = tensors["grids"].half()
    return tensors


def open_field(path: str | Path, device: str | torch.device = "auto") -> Field:
    """The field stored in an .amgsrn file, ready to be sampled on a device.

    Raises:
        ModelFileError: missing, damaged, too new, or not a model; one clear line each.
        DeviceUnavailable: no such device here.
    """
    target = select_device(device) if isinstance(device, str) else device
    header = read_header(path)
    if header.architecture.get("type") != "amgsrn":
        raise ModelFileDamaged(path, f"unknown model type '{header.architecture.get('type')}'")
    try:
        network = AMGSRN(AMGSRNConfig.from_dict(header.architecture))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileDamaged(path, f"unreadable architecture: {error}") from error
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict(read_tensors(path, expected, torch.device("cpu")))
    return AMGSRNField(network.to(target), header.domain, header.array)
