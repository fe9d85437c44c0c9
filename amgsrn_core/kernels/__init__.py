# SPDX-License-Identifier: BSD-3-Clause
"""The hot loops as one table of functions; back ends are interchangeable and have the signatures of `reference`."""

from .dispatch import Evaluator, chosen_backend, density, evaluator, forward, mean_squared_error
from .reference import encode, mlp, to_local

__all__ = [
    "Evaluator",
    "chosen_backend",
    "density",
    "encode",
    "evaluator",
    "forward",
    "mean_squared_error",
    "mlp",
    "to_local",
]
