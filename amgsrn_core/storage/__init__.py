# SPDX-License-Identifier: BSD-3-Clause
"""Model files: written whole or not at all, read without running code."""

from .atomic import atomic_path, write_atomically
from .fields import open_field, save_field, stored_tensors
from .model_file import FORMAT_VERSION, SUFFIX, ModelHeader, encode_model, read_header

__all__ = [
    "FORMAT_VERSION",
    "SUFFIX",
    "ModelHeader",
    "atomic_path",
    "encode_model",
    "open_field",
    "read_header",
    "save_field",
    "stored_tensors",
    "write_atomically",
]
