# SPDX-License-Identifier: BSD-3-Clause
"""Volumes in, fields out: fits networks to volumes, measures how good they are, and writes them as other things.

Used from the command line, `python -m trainer`; `fit.fit_volume` is the same from Python. Nothing is imported here, so
that the command line can answer at once.
"""
