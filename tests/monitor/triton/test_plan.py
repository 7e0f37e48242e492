"""What it takes to run the embedded Triton, and what is said when something is missing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from monitor.scorer.open import SHIPPED
from monitor.triton.plan import (
    Installation,
    Ports,
    TritonFault,
    check_platform,
    check_ports,
    check_repository,
    find_installation,
    plan,
)

PORTS = Ports(http=1, grpc=2, metrics=3)


@pytest.fixture
def installation(tmp_path):
    """Lay out an installation without its contents."""
    backend = tmp_path / "backends" / "python"
    backend.mkdir(parents=True)
    (backend / "libtriton_python.so").touch()
    return Installation(
        binary=tmp_path / "tritonserver",
        backend=backend,
        stub=tmp_path / "stubs" / "triton_python_backend_stub",
        libraries=(Path("/wheel/libs"), Path("/python/lib")),
        environment=tmp_path / "env",
    )


def test_the_plan_is_complete(installation):
    """Ports on loopback, the backend directory with its stub, this Python first, both library folders."""
    made = plan(
        installation, SHIPPED, PORTS, Path("/state"), {"PATH": "/bin", "PYTHONPATH": "/x", "CUDA": "1"}
    )
    assert {"--http-port=1", "--grpc-port=2", "--metrics-port=3", "--grpc-address=127.0.0.1"} <= set(
        made.command
    )
    assert f"--model-repository={SHIPPED}" in made.command
    assert made.links[Path("/state/triton-backends/python/triton_python_backend_stub")] == installation.stub
    assert Path("/state/triton-backends/python/libtriton_python.so") in made.links
    assert made.environment["PATH"] == f"{installation.environment}/bin:/bin"
    assert made.environment["LD_LIBRARY_PATH"] == "/wheel/libs:/python/lib"
    assert made.environment["CUDA"] == "1"
    assert "PYTHONPATH" not in made.environment


def test_two_servers_do_not_share_memory(installation):
    """The names of shared memory differ by port and end, so that one is no prefix of another."""
    one = plan(installation, SHIPPED, PORTS._replace(grpc=80), Path("/a"), {}).memory_prefix
    two = plan(installation, SHIPPED, PORTS._replace(grpc=8001), Path("/a"), {}).memory_prefix
    assert not two.startswith(one)


@pytest.mark.parametrize(
    ("system", "machine"), [("Darwin", "arm64"), ("Linux", "riscv64"), ("Windows", "AMD64")]
)
def test_other_platforms_are_told_what_to_do(system, machine):
    """Where the binary cannot run the message names the platform and both ways out."""
    with pytest.raises(TritonFault, match=rf"{machine}.*scoring\.url.*scoring\.kind: local"):
        check_platform(system, machine)


def test_a_missing_installation_names_the_remedy(tmp_path):
    """Without the environment the message says `make install`."""
    with pytest.raises(TritonFault, match=r"make install|runs on Linux"):
        find_installation(tmp_path)


def test_a_taken_port_is_named_with_its_key():
    """A port in use is one line with the key that changes it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(TritonFault, match=rf"port {port} .*scoring\.grpc_port"):
            check_ports(Ports(http=0, grpc=port, metrics=0))


@pytest.mark.parametrize("kind", ["absent", "file", "empty"])
def test_a_folder_that_is_no_repository_is_named(tmp_path, kind):
    """An absent folder, a file and a folder without the model each name themselves and the key."""
    path = tmp_path / kind
    if kind == "file":
        path.touch()
    if kind == "empty":
        path.mkdir()
    with pytest.raises(TritonFault, match=rf"{kind}.*scoring\.model_repository"):
        check_repository(path)
