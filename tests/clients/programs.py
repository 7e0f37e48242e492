"""The clients, what each offers, and how a client's program is started and spoken to.

Law: clients run in environments of their own (`make test-clients`), so that none of them is a dependency of ours. A
program lives as long as the test run, so that a client is imported once and its connections end only when it ends them.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv" / "clients" / "bin" / "python"
NODE_MODULES = HERE / "node" / "node_modules"
FEATURES = {
    "chat": "chat",
    "stream": "streaming",
    "tools": "tools",
    "stream_tools": "tools, streamed",
    "structured": "structured output",
    "embeddings": "embeddings",
    "busy": "429 with retry-after",
    "patience": "retries as told",
    "wrong": "400",
    "cancel": "cancellation",
    "responses": "Responses API",
    "responses_stream": "Responses API, streamed",
    "responses_tools": "Responses API, tools",
}
ANSWER_S = 90.0


class Client(NamedTuple):
    """A client: its name in the table, its package in the lock file, its program, and what it lacks and why."""

    name: str
    package: str
    program: str
    lacks: Mapping[str, str] = MappingProxyType({})

    @property
    def node(self) -> bool:
        """Whether it runs in Node."""
        return self.program.endswith(".mjs")

    def missing(self) -> str:
        """Say what is not installed; empty when it can run."""
        if self.node:
            there = shutil.which("node") and (NODE_MODULES / self.package).exists()
        else:
            there = PYTHON.exists()
        return "" if there else f"{self.package} is not installed; `make test-clients` does"


_SAME = "not tried: the synchronous client's is"
_ITEMS = "not tried: the official client's is"
CLIENTS = (
    Client("openai", "openai", "programs/openai_sync.py"),
    Client(
        "openai, async",
        "openai",
        "programs/openai_async.py",
        dict.fromkeys(("tools", "stream_tools", "structured", "responses_stream", "responses_tools"), _SAME),
    ),
    Client("LiteLLM SDK", "litellm", "programs/litellm_sdk.py", {"responses_tools": _ITEMS}),
    Client(
        "LangChain", "langchain-openai", "programs/langchain_openai_classes.py", {"responses_tools": _ITEMS}
    ),
    Client(
        "LlamaIndex",
        "llama-index-llms-openai",
        "programs/llama_index_classes.py",
        {"responses_tools": _ITEMS},
    ),
    Client(
        "llm",
        "llm",
        "programs/llm_library.py",
        {"busy": "its retries cannot be turned off", "responses_tools": _ITEMS},
    ),
    Client("openai for Node", "openai", "node/openai.mjs"),
    Client("Vercel AI SDK", "ai", "node/ai_sdk.mjs"),
)


def _environment() -> dict[str, str]:
    """Return ours without what would lead a client elsewhere than to the base URL that it is given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("OPENAI", "LITELLM"))
    }
    kept = {name: value for name, value in kept.items() if not name.upper().endswith("_PROXY")}
    return kept | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}


class Program:
    """A client's process."""

    def __init__(self, client: Client, log: Path) -> None:
        self._log, self._read = log, b""
        command = ["node" if client.node else str(PYTHON), str(HERE / client.program)]
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
            )

    def ask(self, feature: str, base: str, heard: Callable[[], None] = lambda: None) -> Any:
        """Have a feature used at a base URL; return what the client made of it.

        `heard` is called when the first words of a stream have come.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"feature": feature, "base": base}).encode() + b"\n")
        while "heard" in (found := self._line()):
            heard()
        assert "failed" not in found, found.get("failed")
        return found["answer"]

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + ANSWER_S
        while b"\n" not in self._read:
            ready = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
            assert ready, f"no answer\n{self._log.read_text()}"
            piece = self._process.stdout.read(65536)
            assert piece, f"the program ended\n{self._log.read_text()}"
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return dict(json.loads(line))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
