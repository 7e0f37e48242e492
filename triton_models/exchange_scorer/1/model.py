"""Both embeddings and the reward of an exchange in one round trip."""

from __future__ import annotations

from typing import Any

from scoring import Answer
from serving import flags, open_from, respond, texts

OUTPUTS = ("PROMPT_EMBEDDING", "RESPONSE_EMBEDDING", "REWARD")


class TritonPythonModel:
    """PROMPT, RESPONSE, HAS_RESPONSE -> PROMPT_EMBEDDING, RESPONSE_EMBEDDING, REWARD, IDENTITY."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the models."""
        self.models = open_from(args)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request."""
        columns = [_columns(request) for request in requests]
        return respond(requests, columns, self._run, OUTPUTS, self.models.identity)

    def _run(self, prompts: list[bytes], responses: list[bytes | None]) -> Answer:
        scores = self.models.score(prompts, responses)
        return scores.prompt, scores.response, scores.reward[:, None]


def _columns(request: Any) -> tuple[list[bytes], list[bytes | None]]:
    prompts, responses = texts(request, "PROMPT"), texts(request, "RESPONSE")
    there = flags(request, "HAS_RESPONSE", len(prompts))
    return prompts, [text if has else None for text, has in zip(responses, there, strict=True)]
