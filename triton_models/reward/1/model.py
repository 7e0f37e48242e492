"""Exchanges to rewards. The mathematics lies with `exchange_scorer`, beside this model in the repository."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "exchange_scorer" / "1"))

from scoring import Answer
from serving import open_from, respond, texts


class TritonPythonModel:
    """PROMPT, RESPONSE -> REWARD, IDENTITY."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the models."""
        self.models = open_from(args)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request."""
        columns = [(texts(request, "PROMPT"), texts(request, "RESPONSE")) for request in requests]
        return respond(requests, columns, self._run, ("REWARD",), self.models.rewarder.identity)

    def _run(self, prompts: list[bytes], responses: list[bytes]) -> Answer:
        return (self.models.reward(prompts, responses)[:, None],)
