# SPDX-License-Identifier: BSD-3-Clause
"""Where the feature grids go: before training begins into boxes searched from the data, where that pays; and, early in
a run, to where the network errs."""

from .boxes import BoxSearch, SearchResult
from .detail import DetailTable, measure_detail
from .insertion import Insertion, find_insertion
from .moving import Move, is_due, move_grids
from .place import METHODS, Placement, place_grids
from .residual import Cells, measure_residual

__all__ = [
    "METHODS",
    "BoxSearch",
    "Cells",
    "DetailTable",
    "Insertion",
    "Move",
    "Placement",
    "SearchResult",
    "find_insertion",
    "is_due",
    "measure_detail",
    "measure_residual",
    "move_grids",
    "place_grids",
]
