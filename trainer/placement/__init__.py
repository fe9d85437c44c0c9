# SPDX-License-Identifier: BSD-3-Clause
"""Where the feature grids go: before training begins into boxes searched from the data, where that pays; and, early in
a run, to where the network errs."""

from .boxes import BoxSearch, SearchResult
from .detail import DetailTable, measure_detail
from .insertion import Insertion, find_insertion
from .moving import CAUTIOUS_WORTH_DB, WORTH_DB, Move, is_due, may_move, move_grids
from .place import METHODS, Placement, keep_grids, place_grids
from .proportions import CUBES, Proportions, find_proportions, grid_proportions
from .residual import Cells, measure_residual, residual_at

__all__ = [
    "CAUTIOUS_WORTH_DB",
    "CUBES",
    "METHODS",
    "WORTH_DB",
    "BoxSearch",
    "Cells",
    "DetailTable",
    "Insertion",
    "Move",
    "Placement",
    "Proportions",
    "SearchResult",
    "find_insertion",
    "find_proportions",
    "grid_proportions",
    "is_due",
    "keep_grids",
    "may_move",
    "measure_detail",
    "measure_residual",
    "move_grids",
    "place_grids",
    "residual_at",
]
