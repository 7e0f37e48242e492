"""The command line `driftgate`, composed of what each package offers.

Law of this file: it knows no command. Packages name their typer apps in the entry-point group `driftgate.commands`
(pyproject.toml), so that neither imports the other. Commands import what they need when they run: `--help` costs
no numpy and no server.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from monitor.contract.command import run_app

GROUP = "driftgate.commands"
_ABOUT = """\
Watches a fine-tuned model for drift, from a proxy that leaves its traffic unchanged.

Start with `driftgate demo`, or `driftgate up --upstream URL` and change your client's base URL.
"""


def _show_version(wanted: bool) -> None:  # noqa: FBT001 typer gives the flag's value by position
    if wanted:
        sys.stdout.write(f"driftgate {version('driftgate')}\n")
        raise typer.Exit


def _root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that need no command."""


def build_app() -> typer.Typer:
    """Compose the command line."""
    app = typer.Typer(help=_ABOUT, no_args_is_help=True, rich_markup_mode=None, add_completion=False)
    app.callback(help=_ABOUT)(_root)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name, reverse=True):
        app.add_typer(entry.load())
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `driftgate` and exit with its status."""
    sys.exit(run_app(build_app(), arguments))
