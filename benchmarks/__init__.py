# SPDX-License-Identifier: BSD-3-Clause
"""Benchmarks: `python -m benchmarks`. Speeds are ratios within one run, because machines differ and are busy."""
