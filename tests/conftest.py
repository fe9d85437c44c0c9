# SPDX-License-Identifier: BSD-3-Clause
"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# Busy machines make any deadline flaky, and a failure has to be there again on the next run.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")
