"""Between Triton and the mathematics: tensors in, tensors out, one response for each request.

Law of this file: the only shared one that knows Triton. It reads inputs by the names in config.pbtxt, runs all
requests of an execute call as one stack, and turns what is wrong with one request into that request's error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from scoring import Answer, Models, open_models, run_stacked

WEIGHTS = Path(__file__).resolve().parent / "weights"
# Answers which models spoke; scores of different identities must not be compared.
IDENTITY = "IDENTITY"


def open_from(args: dict[str, str]) -> Models:
    """Open the models that the instance's configuration describes, on the instance's device."""
    config = json.loads(args["model_config"])
    # Keys in capitals are the backend's own, such as EXECUTION_ENV_PATH.
    parameters = {
        key: entry["string_value"] for key, entry in config.get("parameters", {}).items() if key.islower()
    }
    gpu = args["model_instance_kind"] == "GPU"
    return open_models(parameters, WEIGHTS, f"cuda:{args['model_instance_device_id']}" if gpu else "cpu")


def texts(request: Any, name: str) -> list[bytes]:
    """Return a required BYTES input of shape (n, 1) as n texts."""
    column: list[bytes] = pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel().tolist()
    return column


def flags(request: Any, name: str, rows: int) -> list[bool]:
    """Return an optional BOOL input of shape (n, 1), all true where it is not given."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return [True] * rows if tensor is None else tensor.as_numpy().ravel().tolist()


def respond(
    requests: Sequence[Any],
    columns: Sequence[Sequence[Sequence[Any]]],
    run: Callable[..., Answer],
    outputs: Sequence[str],
    identity: str,
) -> list[Any]:
    """Run all requests as one stack and return their responses, in order."""
    answers = run_stacked(columns, run)
    return [
        _response(request, dict(zip(outputs, answer, strict=True)), identity)
        if isinstance(answer, tuple)
        else pb_utils.InferenceResponse(
            error=pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG)
        )
        for request, answer in zip(requests, answers, strict=True)
    ]


def _response(request: Any, arrays: dict[str, Any], identity: str) -> Any:
    wanted = request.requested_output_names()
    if IDENTITY in wanted:
        rows = len(next(iter(arrays.values())))
        arrays[IDENTITY] = np.full((rows, 1), identity.encode(), dtype=np.object_)
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(name, array) for name, array in arrays.items() if name in wanted]
    )
