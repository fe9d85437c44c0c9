# SPDX-License-Identifier: BSD-3-Clause
"""Neural volumes: fields, models, kernels, files and ray marching. Imports neither VTK nor ParaView."""

from . import errors
from .domain import Axis, Domain
from .field import ArrayInfo, Field
from .storage import open_field, read_header, save_field

__version__ = "0.1.0"

__all__ = ["ArrayInfo", "Axis", "Domain", "Field", "__version__", "errors", "open_field", "read_header", "save_field"]
