# SPDX-License-Identifier: BSD-3-Clause
"""VTK algorithms on neural volumes, free of ParaView decorators; they need nothing but VTK's Python modules."""
