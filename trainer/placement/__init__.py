# SPDX-License-Identifier: BSD-3-Clause
"""Where the feature grids go before training begins: boxes searched from the data, where that pays."""

from .boxes import BoxSearch, SearchResult, matrices_from_boxes
from .detail import DetailTable, measure_detail

__all__ = ["BoxSearch", "DetailTable", "SearchResult", "matrices_from_boxes", "measure_detail"]
