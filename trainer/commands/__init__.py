# SPDX-License-Identifier: BSD-3-Clause
"""The sub-commands: each module has `add_arguments(parser)` and `run(arguments) -> exit code`.

Modules here import only what the parser needs; the rest is imported when a command runs, so that --help answers at
once.
"""
