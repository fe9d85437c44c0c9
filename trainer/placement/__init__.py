# SPDX-License-Identifier: BSD-3-Clause
"""Where the feature grids go before training begins: boxes searched from the data, where that pays."""

from .boxes import BoxSearch, SearchResult
from .detail import DetailTable, measure_detail
from .place import METHODS, Placement, place_grids

__all__ = ["METHODS", "BoxSearch", "DetailTable", "Placement", "SearchResult", "measure_detail", "place_grids"]
