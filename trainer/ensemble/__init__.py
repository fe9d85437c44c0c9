# SPDX-License-Identifier: BSD-3-Clause
"""Volumes learned brick by brick: one network each, on one machine or many (section 5 of the paper)."""
