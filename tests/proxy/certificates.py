"""Certificates for tests, made by the `openssl` command; tests that need them are skipped, visibly, where it is absent."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Pair(NamedTuple):
    """A certificate and its key."""

    cert: str
    key: str


class Authority:
    """An authority of its own, in a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        self.pair = self._make(name, extensions)
        self.file = self.pair.cert

    def issue(self, name: str, host: str = "IP:127.0.0.1") -> Pair:
        """Make a certificate for a host, signed here."""
        signed_by = ["-CA", self.pair.cert, "-CAkey", self.pair.key]
        extensions = [f"subjectAltName={host}", "basicConstraints=critical,CA:FALSE"]
        return self._make(name, extensions, *signed_by)

    def _make(self, name: str, extensions: list[str], *signed_by: str) -> Pair:
        cert, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]
        command += ["-days", "2", "-subj", f"/CN={name}", "-out", str(cert), "-keyout", str(key), *signed_by]
        for extension in extensions:
            command += ["-addext", extension]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this openssl cannot make certificates: {done.stderr.strip()[-200:]}")
        return Pair(str(cert), str(key))


def authority(directory: Path, name: str = "authority") -> Authority:
    """Make an authority; skip where there is no `openssl` command."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make certificates with")
    return Authority(directory, name)
