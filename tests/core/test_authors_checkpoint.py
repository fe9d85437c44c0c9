# SPDX-License-Identifier: BSD-3-Clause
"""The network against outputs of the paper's authors' own class."""

from __future__ import annotations

import collections
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from amgsrn_core import kernels

DATA = Path(os.environ.get("AMGSRN_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
FOLDER = DATA / "authors_checkpoint"


class _TensorsOnly(pickle.Unpickler):
    """Reads float32 tensors from an unzipped checkpoint and refuses everything else."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}/data.pkl"))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch", "FloatStorage"):
            return "float32"
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: torch.as_strided(storage, size, stride, offset)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: tuple[object, ...]) -> torch.Tensor:
        assert pid[1] == "float32"
        return torch.frombuffer(bytearray(self._archive.read(f"{self._root}/data/{pid[2]}")), dtype=torch.float32)


@pytest.mark.skipif(not FOLDER.exists(), reason=f"no authors' checkpoint at {FOLDER} (set AMGSRN_DATA)")
def test_network_reproduces_the_authors_outputs() -> None:
    options = json.loads((FOLDER / "options.json").read_text())
    with zipfile.ZipFile(FOLDER / "model.ckpt.tar") as archive:
        root = archive.namelist()[0].split("/")[0]
        state = _TensorsOnly(archive, root).load()["state_dict"]
    reference = np.load(FOLDER / "reference.npz")
    low, high = options["data_min"], options["data_max"]
    weights = [state[k] for k in ("decoder.0.linear.weight", "decoder.1.linear.weight", "decoder.2.weight")]
    transforms, grids = state["encoder.transformation_matrices"], state["encoder.feature_grids"]
    values = kernels.forward(torch.from_numpy(reference["points"]), transforms, grids, weights) * (high - low) + low
    error = np.abs(values.detach().numpy() - reference["values"]).max() / (high - low)
    assert error < 1e-5
