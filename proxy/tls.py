"""TLS on both sides: certificates from the configuration, checked before anything uses them.

Law: an upstream's certificate and name are always verified; a configured authority is trusted besides the system's.
What cannot be loaded is one ConfigError that names the key and the file, and never a question for a passphrase.
"""

from __future__ import annotations

import ssl

from monitor.contract.config import ConfigError, Tls


def check_tls(tls: Tls) -> None:
    """Load everything once. Raises ConfigError."""
    towards_upstreams(tls)
    for_clients(tls)


def towards_upstreams(tls: Tls) -> ssl.SSLContext | None:
    """Return how upstreams are verified and what they are shown; None for the defaults. Raises ConfigError."""
    if not tls.ca_file and not tls.client_cert:
        return None
    context = ssl.create_default_context()
    if tls.ca_file:
        try:
            context.load_verify_locations(tls.ca_file)
        except OSError as error:  # which an SSLError is
            raise _fault("ca_file", tls.ca_file, "authorities' certificates in PEM", error) from None
    if tls.client_cert:
        _load_chain(context, "client_cert", tls.client_cert, tls.client_key)
    return context


def for_clients(tls: Tls) -> ssl.SSLContext | None:
    """Return what clients are shown; None where they speak plain HTTP. Raises ConfigError."""
    if not tls.cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    load_own(context, tls)
    return context


def load_own(context: ssl.SSLContext, tls: Tls) -> None:
    """Show this certificate in every handshake from now on. Raises ConfigError."""
    _load_chain(context, "cert", tls.cert, tls.key)


def _load_chain(context: ssl.SSLContext, name: str, cert: str, key: str) -> None:
    try:
        # A passphrase that is never right: OpenSSL would ask for it at the terminal.
        context.load_cert_chain(cert, key or None, password="")
    except OSError as error:
        files = f"{cert} and {key}" if key else cert
        raise _fault(
            name, files, "a certificate and its key in PEM, the key without a passphrase", error
        ) from None


def _fault(name: str, files: str, right: str, error: OSError) -> ConfigError:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return ConfigError(
        f"proxy.tls.{name}: got {files!r} ({reason or type(error).__name__}); expected {right}"
    )
