"""The one place that chooses transports from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import structlog

from monitor.contract.config import Config
from proxy.tls import towards_upstreams
from proxy.transport import Transport

log = structlog.get_logger(__name__)

# What a transport cannot do, whoever uses it; `docs/conformance.md` says more.
_CUT_SHORT = (
    "over TLS, an answer without a length that is cut off without a close_notify passes for a whole one"
)
KNOWN_GAPS = {
    "aiohttp": (_CUT_SHORT,),
    "httpx": (
        _CUT_SHORT,
        "over TLS, what an upstream answers before an upload's end is heard at the upload's end",
        "an upload that its upstream does not read is not told of an early answer",
    ),
}


def open_transports(
    config: Config, kept: Mapping[str, Transport] = MappingProxyType({})
) -> dict[str, Transport]:
    """Make a transport for each provider that a route's variant names, but for those that are `kept`.

    To be called in the running loop.
    """
    providers = {route.variant.provider for route in config.routes}
    opened: dict[str, Transport] = {
        provider: transport for provider, transport in kept.items() if provider in providers
    }
    if "openai" in providers - opened.keys():
        opened["openai"] = _openai(config)
    if "litellm" in providers - opened.keys():
        from proxy.litellm_provider import LitellmTransport  # noqa: PLC0415 - takes seconds, only where configured

        opened["litellm"] = LitellmTransport(config.proxy.timeouts)
    return opened


def settings_of(config: Config) -> tuple[object, ...]:
    """Return what transports depend on: with equal ones they can be kept."""
    tls = config.proxy.tls
    # A file under an old name may hold a new certificate.
    files = object() if tls.ca_file or tls.client_cert else None
    return config.proxy.transport, config.proxy.timeouts, files


def _openai(config: Config) -> Transport:
    timeouts, context = config.proxy.timeouts, towards_upstreams(config.proxy.tls)
    if gaps := KNOWN_GAPS.get(config.proxy.transport):
        log.warning("this transport has known gaps", transport=config.proxy.transport, gaps=gaps)
    if config.proxy.transport == "httpx":
        from proxy.transport.httpx_client import HttpxTransport  # noqa: PLC0415 - memory, only where configured

        return HttpxTransport(timeouts, context=context)
    if config.proxy.transport == "http1":
        from proxy.transport.http1_client import Http1Transport  # noqa: PLC0415 - as above

        return Http1Transport(timeouts, context)
    from proxy.transport.aiohttp_client import AiohttpTransport  # noqa: PLC0415 - as above

    return AiohttpTransport(timeouts, context)
