"""The models' parameters and their defaults; README.md of the repository says what each means."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULTS = {
    "family": "static",
    "embedder_model": "",
    "reward_model": "",
    "reward_activation": "sigmoid",
    "reward_label": "-1",
    "max_tokens": "512",
    "batch_rows": "32",
    "max_text_bytes": str(16 * 1024 * 1024),
}


def whole_number(chosen: Mapping[str, str], name: str) -> int:
    """Read a parameter that counts something. Raises ValueError naming it."""
    try:
        return int(chosen[name])
    except ValueError:
        raise ValueError(f"model parameter `{name}` is {chosen[name]!r}; expected a whole number") from None
