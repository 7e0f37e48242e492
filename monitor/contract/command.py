"""What every command of both packages shares: the everyday flags, and how a fault ends.

Law of this file: a flag is a name for a key of the configuration and nothing else, so the table is the whole story.
An expected fault ends in one line `driftgate: …` on stderr and a documented exit status; a traceback is left to
our own mistakes. Only command-line modules import this file (it needs typer).
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from monitor.contract.config import Config, ConfigError, load_config

INPUT_FAULT = 2
INTERRUPTED = 130


class CommandFault(RuntimeError):
    """A command cannot do its work; the message is one line for a person, `status` the exit status."""

    def __init__(self, message: str, status: int = INPUT_FAULT) -> None:
        super().__init__(message)
        self.status = status


class Flag(NamedTuple):
    """A flag and the key of the configuration that it sets."""

    option: str
    key: str
    metavar: str
    help: str

    @property
    def name(self) -> str:
        """The parameter that carries its value."""
        return self.option.strip("-")


FLAGS = (
    Flag("--upstream", "proxy.upstream", "URL", "Base URL of the model, written as clients write it."),
    Flag("--listen", "proxy.listen", "HOST:PORT", "Where clients reach the proxy."),
    Flag("--admin", "admin.listen", "HOST:PORT", "Where status and metrics of the proxy are."),
    Flag("--monitor", "monitor.listen", "HOST:PORT", "Where the monitor's own pages are."),
    Flag("--state", "state_dir", "DIR", "Directory for the bus, sketches and baselines."),
    Flag("--workers", "proxy.workers", "N", "Proxy processes; about one per core of traffic."),
)


class Settings(NamedTuple):
    """What was given on the command line: a file or none, and overrides by dotted key."""

    file: Path | None
    overrides: dict[str, Any]

    def load(self) -> Config:
        """Load and check. Raises ConfigError."""
        return load_config(self.file, self.overrides)

    def arguments(self) -> list[str]:
        """Write the same settings as arguments for another command."""
        given = ["--config", str(self.file)] if self.file is not None else []
        for flag in FLAGS:
            if flag.key in self.overrides:
                given += [flag.option, str(self.overrides[flag.key])]
        return given


def _default_of(key: str) -> Any:
    return functools.reduce(getattr, key.split("."), Config())


def _parameter(flag: Flag) -> inspect.Parameter:
    option = typer.Option(
        flag.option, metavar=flag.metavar, help=f"{flag.help} [default: {_default_of(flag.key)}]"
    )
    annotation = Annotated[str | None, option]
    return inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _as_yaml(key: str, text: str) -> str | int:
    """Read a flag's text as the file would: the configuration's own check then speaks for both."""
    return int(text) if isinstance(_default_of(key), int) and text.isdecimal() else text


_CONFIG = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Configuration (YAML); see config.example.yaml."),
    ],
)


Command = Callable[..., int]


def with_flags(*options: str) -> Callable[[Command], Command]:
    """Give a command that takes `settings: Settings` first `--config` and these of the everyday flags in its place."""
    flags = [flag for flag in FLAGS if flag.option in options]

    def decorate(command: Command) -> Command:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]

        @functools.wraps(command)
        def with_settings(config: Path | None = None, **given: Any) -> int:
            values = {flag.key: given.pop(flag.name) for flag in flags}
            overrides = {key: _as_yaml(key, value) for key, value in values.items() if value is not None}
            return command(Settings(config, overrides), **given)

        parameters = [*own, _CONFIG, *map(_parameter, flags)]
        with_settings.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
        return with_settings

    return decorate


with_settings = with_flags(*(flag.option for flag in FLAGS))


def run_app(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status; expected faults become one line on stderr."""
    command = typer.main.get_command(app)
    try:
        outcome = command.main(args=arguments, prog_name="driftgate", standalone_mode=False)
    except typer.TyperException as error:
        return _usage_fault(error)
    except CommandFault as fault:
        return _fault(str(fault), fault.status)
    except ConfigError as error:
        return _fault(str(error), INPUT_FAULT)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return outcome if isinstance(outcome, int) else 0


def _usage_fault(error: typer.TyperException) -> int:
    """Tell of a wrong command line; a command whose status 2 means something else names its own as context `obj`."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "driftgate"
    own = context.obj if context is not None else None
    status = own if isinstance(own, int) else error.exit_code
    return _fault(f"{error.format_message().rstrip('.')} (see {path} --help)", status)


def _fault(message: str, status: int) -> int:
    sys.stderr.write(f"driftgate: {' '.join(message.split())}\n")
    return status
