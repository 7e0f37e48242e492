"""The command line: complete, quick to help, and clear about faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

from monitor.cli import build_app
from monitor.contract.command import run_app

COMMANDS = (
    "calibrate",
    "feedback",
    "review",
    "up",
    "proxy",
    "monitor",
    "triton",
    "demo",
    "replay",
    "standin",
    "compare",
    "backtest",
    "baseline",
    "status",
)
HEAVY = (
    "numpy",
    "scipy",
    "sklearn",
    "litellm",
    "aiohttp",
    "httpx",
    "starlette",
    "uvicorn",
    "grpc",
    "rich",
    "sqlite3",
)


def driftgate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command line."""
    return subprocess.run(
        [sys.executable, "-P", "-c", "from monitor.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_every_command():
    """Those of both packages, in one list."""
    told = driftgate("--help")
    assert told.returncode == 0
    listed = {line.split()[0] for line in told.stdout.partition("Commands:")[2].splitlines() if line.strip()}
    assert listed == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_its_exit_statuses(command: str, capsys: pytest.CaptureFixture[str]):
    """In its help, which a person reads at three in the morning."""
    assert run_app(build_app(), [command, "--help"]) == 0
    assert "0" in capsys.readouterr().out.partition("Exit status")[2]


def test_help_imports_nothing_heavy():
    """So that it answers at once."""
    code = (
        "import sys\nfrom monitor.cli import build_app\nfrom monitor.contract.command import run_app\n"
        "run_app(build_app(), ['proxy', '--help'])\n"
        f"sys.exit(','.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nope"], 2, "No such command 'nope' (see driftgate --help)"),
        (["proxy", "--nope"], 2, "No such option: --nope (see driftgate proxy --help)"),
        (["proxy", "--workers", "x"], 2, "command line: proxy.workers: got 'x'; expected a whole number"),
        (["proxy", "--workers", "0"], 2, "command line: proxy.workers: got 0; expected between 1 and 256 processes"),
        (["up", "--config", "/nope.yaml"], 2, "/nope.yaml: cannot be read (No such file or directory); give an existing file with --config"),
        (["up", "--listen", "127.0.0.1:0"], 2, "proxy.listen: got '127.0.0.1:0'; `up` expects a fixed port"),
        (["replay", "/nope.jsonl"], 2, "/nope.jsonl: cannot be read (No such file or directory)"),
        (["replay"], 2, "Missing argument 'FILE' (see driftgate replay --help)"),
        (["standin", "/"], 2, "/: is a directory, expected a file of exchanges (JSON Lines)"),
        (["status", "--nope"], 3, "No such option: --nope (see driftgate status --help)"),
        (["status", "--config", "/nope.yaml"], 3, "/nope.yaml: cannot be read (No such file or directory); give an existing file with --config"),
        (["status", "--url", "nope"], 3, "got 'nope'; expected a URL such as http://127.0.0.1:8081"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_and_a_status(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
):
    """On stderr; nothing on stdout."""
    assert run_app(build_app(), arguments) == status
    assert tuple(capsys.readouterr()) == ("", f"driftgate: {message}\n")


def test_the_real_process_ends_so_too():
    """Without a traceback."""
    told = driftgate("proxy", "--nope")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == "driftgate: No such option: --nope (see driftgate proxy --help)\n"


def test_the_version():
    """As the distribution has it."""
    assert driftgate("--version").stdout.startswith("driftgate 0.")
