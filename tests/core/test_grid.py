# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
import torch

from amgsrn_core import ArrayInfo, Axis, Domain, Field
from amgsrn_core.errors import Aborted
from amgsrn_core.grid import native_nodes, sample_nodes


class Coordinates(Field):
    """Two components: x + 10 y + 100 z, and x."""

    domain = Domain((Axis.uniform(70), Axis.uniform(60), Axis.uniform(50)))
    array = ArrayInfo("coordinates", components=2)

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        return torch.stack([points @ torch.tensor([1.0, 10.0, 100.0]), points[:, 0]], dim=1)


def test_values_are_at_z_y_x() -> None:
    x, y, z = np.array([0.5, -1.0]), np.array([0.0, 0.25, 1.0]), np.array([-0.5])
    values = sample_nodes(Coordinates(), x, y, z)
    assert values.shape == (1, 3, 2, 2)
    expected = x[None, None, :] + 10 * y[None, :, None] + 100 * z[:, None, None]
    np.testing.assert_allclose(values[..., 0], expected, rtol=1e-6)
    np.testing.assert_allclose(values[..., 1], np.broadcast_to(x, (1, 3, 2)), rtol=1e-6)


def test_more_points_than_a_batch_fill_the_given_array_and_report_progress() -> None:
    field = Coordinates()
    out = np.full((50, 60, 70, 2), np.nan, np.float32)
    fractions: list[float] = []
    assert sample_nodes(field, *native_nodes(field), out=out, progress=fractions.append) is out
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out[-1, -1, -1], [111.0, 1.0])
    np.testing.assert_allclose(out[0, 0, -1], [-109.0, 1.0])
    assert len(fractions) > 2
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_it_stops_when_told() -> None:
    field = Coordinates()
    calls: list[float] = []

    def stop(fraction: float) -> bool:
        calls.append(fraction)
        return len(calls) < 2

    with pytest.raises(Aborted):
        sample_nodes(field, *native_nodes(field), progress=stop)
    assert len(calls) == 2
