# SPDX-License-Identifier: BSD-3-Clause
"""Model files: written whole or not at all, read without running code."""

from .assembly import Part, part_of, part_of_field, share_masks, write_tree
from .atomic import atomic_path, write_atomically
from .fields import open_field, save_field, stored_field, stored_tensors
from .model_file import FORMAT_VERSION, SUFFIX, ModelHeader, encode_model, read_header
from .tree import Node, brick_prefix, ensemble_description, series_description, step_prefix

__all__ = [
    "FORMAT_VERSION",
    "SUFFIX",
    "ModelHeader",
    "Node",
    "Part",
    "atomic_path",
    "brick_prefix",
    "encode_model",
    "ensemble_description",
    "open_field",
    "part_of",
    "part_of_field",
    "read_header",
    "save_field",
    "series_description",
    "share_masks",
    "step_prefix",
    "stored_field",
    "stored_tensors",
    "write_atomically",
    "write_tree",
]
