"""What it takes to run the embedded Triton: found, checked and written down, without starting anything.

Law of this file: it looks at the machine and returns values. `find_installation` and `check` name the first thing
that is missing and the remedy, in one line (`TritonFault`); `plan` is pure. `monitor.triton.server` runs the plan.

The server is the `tritonserver` that the wheel nvidia-pytriton carries, in an environment of its own. Its Python
backend needs three things: a backend directory that holds the stub built for the running Python version, a library
path that reaches this Python's libpython and the wheel's own libraries, and this environment's Python first on PATH,
because the stub finds its packages (numpy < 2) that way.
"""

from __future__ import annotations

import platform
import socket
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

MACHINES = ("x86_64", "aarch64")
LOCAL_INSTEAD = "or set scoring.kind: local to score without a server"


class TritonFault(RuntimeError):
    """The embedded Triton cannot run; the message is one line that names what is missing and the remedy."""


class Installation(NamedTuple):
    """Where the parts of the server lie."""

    binary: Path
    backend: Path
    stub: Path
    # Folders for the dynamic linker: the wheel's libraries and this Python's libpython.
    libraries: tuple[Path, ...]
    # The environment whose Python and packages the models run with.
    environment: Path


class Ports(NamedTuple):
    """Ports of the server on 127.0.0.1."""

    http: int
    grpc: int
    metrics: int


class Plan(NamedTuple):
    """Everything needed to start the server."""

    command: tuple[str, ...]
    environment: dict[str, str]
    # Link -> target: the backend directory, put together from the wheel's files.
    links: dict[Path, Path]
    # Names in /dev/shm that begin so belong to servers of this port.
    memory_prefix: str
    ports: Ports
    repository: Path
    log: Path


def default_environment() -> Path:
    """Return the environment that `make install` creates for the embedded server."""
    return Path(sys.prefix) / "triton"


def check_platform(system: str, machine: str) -> None:
    """Raise TritonFault where the server's binary cannot run."""
    if system != "Linux" or machine not in MACHINES:
        raise TritonFault(
            f"the embedded Triton runs on Linux ({' or '.join(MACHINES)}), this is {system} {machine}: "
            f"give the address of another Triton in scoring.url, {LOCAL_INSTEAD}"
        )


def find_installation(environment: Path | None = None) -> Installation:
    """Find the server in `environment` (default: `triton` in this one). Raises TritonFault."""
    check_platform(platform.system(), platform.machine())
    environment = default_environment() if environment is None else environment
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / f"python{version}" / "site-packages"
    server = packages / "pytriton" / "tritonserver"
    found = Installation(
        binary=server / "bin" / "tritonserver",
        backend=server / "backends" / "python",
        stub=server / "python_backend_stubs" / version / "triton_python_backend_stub",
        libraries=(packages / "nvidia_pytriton.libs", _find_libpython()),
        environment=environment,
    )
    if not found.binary.is_file():
        raise TritonFault(
            f"the embedded Triton is not installed in {environment}: run `make install`, {LOCAL_INSTEAD}"
        )
    if not found.stub.is_file():
        built = ", ".join(sorted(path.name for path in found.stub.parent.parent.glob("3.*")))
        raise TritonFault(
            f"the embedded Triton has no Python backend for Python {version} (only {built}): "
            f"use one of these, {LOCAL_INSTEAD}"
        )
    return found


def _find_libpython() -> Path:
    """Return the folder of this Python's shared library."""
    names = [str(sysconfig.get_config_var(key) or "") for key in ("INSTSONAME", "LDLIBRARY")]
    name = next((name for name in names if ".so" in name), _soname())
    multiarch = str(sysconfig.get_config_var("MULTIARCH") or "")
    folders = [
        Path(str(sysconfig.get_config_var("LIBDIR") or "")),
        Path(sys.base_prefix) / "lib",
        Path("/usr/lib") / multiarch,
        Path("/usr/lib64"),
        Path("/lib") / multiarch,
    ]
    for folder in folders:
        if (folder / name).is_file():
            return folder
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise TritonFault(
        f"the embedded Triton needs Python's shared library {name}, which this Python ({sys.base_prefix}) lacks: "
        f"install it (Debian and Ubuntu: libpython{version}) or use a Python built with --enable-shared, {LOCAL_INSTEAD}"
    )


def _soname() -> str:
    return f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"


def check_repository(repository: Path) -> None:
    """Raise TritonFault unless the folder holds the models that scoring needs."""
    if not repository.is_dir():
        raise TritonFault(f"model repository {repository} is not a folder: correct scoring.model_repository")
    if not (repository / "exchange_scorer" / "config.pbtxt").is_file():
        raise TritonFault(
            f"model repository {repository} has no model `exchange_scorer`: correct scoring.model_repository"
        )


def check_ports(ports: Ports) -> None:
    """Raise TritonFault when one of them is taken."""
    for name, port in ports._asdict().items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise TritonFault(
                    f"port {port} on 127.0.0.1 cannot be used by the embedded Triton ({error.strerror}): "
                    f"stop what holds it, or choose another in scoring.{name}_port"
                ) from None


def plan(
    installation: Installation,
    repository: Path,
    ports: Ports,
    folder: Path,
    environment: Mapping[str, str],
) -> Plan:
    """Write down how to start the server; `folder` is its own for the backend directory and the log."""
    backends = folder / "triton-backends"
    prefix = f"driftgate_{ports.grpc}_"
    command = (
        str(installation.binary),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        *(
            flag
            for service, port in ports._asdict().items()
            for flag in (f"--{service}-address=127.0.0.1", f"--{service}-port={port}")
        ),
        "--exit-timeout-secs=10",
    )
    parts = [*installation.backend.glob("*"), installation.stub]
    return Plan(
        command=command,
        environment=_server_environment(installation, environment),
        links={backends / "python" / part.name: part for part in parts},
        memory_prefix=prefix,
        ports=ports,
        repository=repository,
        log=folder / "triton.log",
    )


def _server_environment(installation: Installation, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the server: the caller's, but with this Python and these libraries."""
    libraries = ":".join(str(path) for path in installation.libraries)
    kept = {key: value for key, value in environment.items() if key not in {"PYTHONHOME", "PYTHONPATH"}}
    return {
        # The models use one thread each; threads of a mathematics library would only fight for the cores.
        "OPENBLAS_NUM_THREADS": "1",
        **kept,
        "PATH": f"{installation.environment / 'bin'}:{kept.get('PATH', '/usr/bin:/bin')}",
        "LD_LIBRARY_PATH": ":".join(filter(None, [libraries, kept.get("LD_LIBRARY_PATH", "")])),
    }
