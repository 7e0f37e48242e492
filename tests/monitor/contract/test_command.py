"""Flags are names for keys, and every fault ends in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from monitor.contract.command import FLAGS, CommandFault, Settings, run_app, with_flags, with_settings
from monitor.contract.config import Config
from monitor.contract.config_errors import type_at


def app_of(command) -> typer.Typer:
    """Make a command line of one command."""
    app = typer.Typer()
    app.command("x")(command)
    app.callback()(lambda: None)
    return app


def test_every_flag_names_a_key_of_the_configuration():
    """With the default in its help, so that nobody has to look it up."""
    for flag in FLAGS:
        assert type_at(Config, flag.key) in {str, int}, flag.key


def test_flags_become_overrides(tmp_path: Path):
    """Numbers only where the key is one."""
    seen: list[Settings] = []

    @with_settings
    def command(settings: Settings, *, own: int = 5) -> int:
        seen.append(settings)
        return own

    app = app_of(command)
    assert run_app(app, ["x", "--workers", "3", "--state", "7", "--own", "4", "-c", str(tmp_path)]) == 4
    assert seen == [Settings(tmp_path, {"proxy.workers": 3, "state_dir": "7"})]
    assert run_app(app, ["x"]) == 5
    assert seen[1] == Settings(None, {})


def test_settings_can_be_handed_on():
    """As arguments for another command, in the order of the table."""
    settings = Settings(Path("f"), {"proxy.workers": 3, "proxy.upstream": "u"})
    assert settings.arguments() == ["--config", "f", "--upstream", "u", "--workers", "3"]
    assert Settings(None, {}).arguments() == []


def test_a_command_has_only_the_flags_that_it_uses(capsys: pytest.CaptureFixture[str]):
    """Others would promise something."""

    @with_flags("--state")
    def command(settings: Settings) -> int:
        return 0

    assert run_app(app_of(command), ["x", "--state", "s"]) == 0
    assert run_app(app_of(command), ["x", "--workers", "3"]) == 2
    assert capsys.readouterr().err == "driftgate: No such option: --workers (see driftgate x --help)\n"


def test_a_fault_is_one_line_whatever_its_message(capsys: pytest.CaptureFixture[str]):
    """Newlines of foreign messages included."""

    def command() -> int:
        raise CommandFault("first\n  second", status=7)

    assert run_app(app_of(command), ["x"]) == 7
    assert capsys.readouterr().err == "driftgate: first second\n"


def test_ctrl_c_is_status_130():
    """As shells expect."""

    def command() -> int:
        raise KeyboardInterrupt

    assert run_app(app_of(command), ["x"]) == 130
