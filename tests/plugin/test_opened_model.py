# SPDX-License-Identifier: BSD-3-Clause
"""What the reader says about a model; needs no ParaView."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import make_model
import pytest
from harness import ROOT

sys.path.insert(
    0, str(ROOT / "paraview_plugin" / "algorithms")
)  # the package itself is imported by ParaView's Python only

from opened_model import OpenedModel

from amgsrn_core.storage import save_field, write_tree

NODES = 64 * 56 * 48


def about(path: Any) -> list[str]:
    return OpenedModel.of(str(path), None).about


@pytest.mark.parametrize("source", ["a.nc", {"missing": "few"}, {"missing": None}, {}])
def test_a_model_opens_whatever_its_training_says(tmp_path, source):
    array = make_model.ArrayInfo("density")
    field = make_model.linear([(1.0, 0.0, 0.0)], array, make_model.domain("uniform"))
    save_field(tmp_path / "m.amgsrn", field, {"source": source})
    assert about(tmp_path / "m.amgsrn") == ["64 x 56 x 48 nodes", f"{field.network.parameter_count()} parameters"]


def test_missing_nodes_of_a_series_are_a_share_of_all_its_steps(tmp_path):
    header, parts = make_model.series()
    header = replace(header, training={"source": {"missing": 3 * NODES // 4}})
    write_tree(tmp_path / "s.amgsrn", header, parts)
    assert f"{3 * NODES // 4} nodes without a value (25.0 %)" in about(tmp_path / "s.amgsrn")
