"""The typer app that the monitor's commands register with."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
