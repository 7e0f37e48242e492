"""Scoring in this process, with the very files that Triton would load.

Law of this file: it knows where a model repository keeps its mathematics and nothing of how scores are made. The
parameters are those of `exchange_scorer/config.pbtxt`, so that both ways of scoring give the same numbers under the
same identity.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor.scorer import Scores

# A parameter in protobuf's text format, written as Triton's documentation writes it.
_PARAMETER = re.compile(r'key:\s*"(\w+)"[\s,;]*value:?\s*\{\s*string_value:\s*"([^"]*)"')


# What the repository's `scoring` package must offer.
_NEEDED = ("open_models", "run_stacked")


class RepositoryFault(ValueError):
    """The model repository cannot be used; the message is one line that names it and what is wrong."""


class LocalScorer:
    """Runs the models of a repository here."""

    def __init__(self, repository: Path, device: str = "cpu") -> None:
        """Load them. Raises RepositoryFault."""
        self._scoring = _load_package(repository)
        parameters = read_parameters(repository / "exchange_scorer" / "config.pbtxt")
        weights = repository / "exchange_scorer" / "1" / "weights"
        try:
            self._models = self._scoring.open_models(parameters, weights, device)
        except (ValueError, OSError, ImportError) as error:
            raise RepositoryFault(f"model repository {repository}: {error}") from error

    @property
    def identity(self) -> str:
        """Name and content hash of the models."""
        return str(self._models.identity)

    def score(self, prompts: Sequence[str], responses: Sequence[str | None]) -> Scores:
        """Score n exchanges; never unavailable."""
        n, dim = len(prompts), self._models.embedder.dim
        scores = Scores(
            np.zeros((n, dim), np.float32), np.zeros((n, dim), np.float32), np.full(n, np.nan, np.float32), {}
        )
        requests = [([prompt], [response]) for prompt, response in zip(prompts, responses, strict=True)]
        answers = self._scoring.run_stacked(requests, self._models.score) if n else []
        for row, answer in enumerate(answers):
            if isinstance(answer, Exception):
                scores.errors[row] = str(answer)
            else:
                scores.prompt[row], scores.response[row], scores.reward[row] = (
                    column[0] for column in answer
                )
        return scores

    def close(self) -> None:
        """Hold nothing that needs releasing."""


def read_parameters(config: Path) -> dict[str, str]:
    """Read the model parameters (lower-case keys) of a config.pbtxt. Raises RepositoryFault."""
    try:
        text = config.read_text(encoding="utf-8")
    except OSError as error:
        raise RepositoryFault(
            f"{config}: cannot be read ({error.strerror}); is this a model repository?"
        ) from None
    except UnicodeDecodeError:
        raise RepositoryFault(f"{config}: is not a model configuration (not UTF-8 text)") from None
    found = _PARAMETER.findall(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE))
    parameters = {key: value for key, value in found if key.islower()}
    if "family" not in parameters:
        # Triton refuses what is no protobuf text; without this the defaults would score in its place.
        raise RepositoryFault(f"{config}: sets no model parameter `family`; is this a model configuration?")
    return parameters


def _load_package(repository: Path) -> Any:
    """Import the repository's `scoring` package under a name of its own, whatever else is called that."""
    folder = (repository / "exchange_scorer" / "1" / "scoring").resolve()
    name = f"driftgate_scoring_{hashlib.blake2b(str(folder).encode(), digest_size=6).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
        raise RepositoryFault(f"model repository {repository}: {folder} is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # code of the repository's owner: whatever it raises, it does not load
        for loaded in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
            del sys.modules[loaded]
        raise RepositoryFault(f"model repository {repository}: {_in_one_line(error)}") from error
    if not all(hasattr(module, needed) for needed in _NEEDED):
        raise RepositoryFault(f"model repository {repository}: {folder} has no {' or no '.join(_NEEDED)}")
    return module


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
