"""`docs/clients.md` says which client does what, and in which version; here it is held to that."""

from __future__ import annotations

import json
import re

from tests.clients.programs import CLIENTS, FEATURES, HERE, Client

ROOT = HERE.parents[1]
PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
PYTHON_LOCK = (ROOT / "requirements" / "clients.lock").read_text(encoding="utf-8")
NODE_LOCK = json.loads((HERE / "node" / "package-lock.json").read_text(encoding="utf-8"))


def version(client: Client) -> str:
    """Return the locked version of a client's package."""
    if client.node:
        return str(NODE_LOCK["packages"][f"node_modules/{client.package}"]["version"])
    found = re.search(rf"^{client.package}==(\S+)", PYTHON_LOCK, re.MULTILINE)
    assert found, client.package
    return found[1]


def table() -> list[str]:
    """Write the page's table: a client a row, a feature a column."""
    features = list(FEATURES)
    lines = [["client", "version", *FEATURES.values()], ["---"] * (len(features) + 2)]
    for client in CLIENTS:
        cells = ["no" if feature in client.lacks else "yes" for feature in features]
        lines.append([client.name, version(client), *cells])
    return ["| " + " | ".join(line) + " |" for line in lines]


def test_the_page_has_the_table():
    """Clients, versions and features are those that are tested and locked."""
    assert [line for line in PAGE.splitlines() if line.startswith("|")] == table()


def test_the_page_says_why_not():
    """Every gap of the table has its reason on the page."""
    for client in CLIENTS:
        for reason in client.lacks.values():
            assert reason in PAGE


def test_locks_name_no_place():
    """Where packages come from is the machine's affair; what they are is in the hashes."""
    assert "--index-url" not in PYTHON_LOCK
    assert not [name for name, package in NODE_LOCK["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in NODE_LOCK["packages"].items() if name)
