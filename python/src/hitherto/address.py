"""Where the server is, and how it is spoken to: TLS and the token."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import pathlib

import grpc

from hitherto.errors import InvalidArgument

PORT = 7420
MESSAGE_BYTES_MAX = 64 << 20
"""The largest message either side takes."""

_PLAIN = {"http", "grpc", "grpc+tcp"}
_SECURE = {"https", "grpcs", "grpc+tls"}

OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # errors carry details in a trailer, up to 8 KiB of it
    ("grpc.max_metadata_size", 64 << 10),
    # the client decides which calls may be repeated
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


@dataclasses.dataclass(frozen=True)
class Tls:
    """Whom to trust, and who we are. Each is a path or PEM bytes."""

    roots: str | os.PathLike[str] | bytes | None = None
    """The authorities to trust; the system's where it is None."""
    certificate: str | os.PathLike[str] | bytes | None = None
    """Our certificate chain, where the server wants one."""
    key: str | os.PathLike[str] | bytes | None = dataclasses.field(default=None, repr=False)
    """Its private key."""


@dataclasses.dataclass(frozen=True)
class Address:
    """A server, and what every call to it carries."""

    host: str
    port: int
    tls: Tls | None = None
    token: str | None = dataclasses.field(default=None, repr=False)

    @property
    def target(self) -> str:
        """host:port, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def flight_location(self) -> str:
        return f"grpc+tls://{self.target}" if self.tls else f"grpc+tcp://{self.target}"

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [] if self.token is None else [("authorization", f"Bearer {self.token}")]

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What a channel of grpcio wants; None for one without TLS."""
        if self.tls is None:
            return None
        return grpc.ssl_channel_credentials(pem(self.tls.roots), pem(self.tls.key), pem(self.tls.certificate))


def address(url: str, token: str | None, tls: bool | str | os.PathLike[str] | bytes | Tls | None) -> Address:
    """The address that `Client(url, token, tls)` means.

    `url` is `host`, `host:port`, or a URL whose scheme says whether there is TLS (`https`, `grpc+tls`) or not (`http`,
    `grpc`). `tls` is True for the system's authorities, a path or PEM bytes for others, a `Tls` for a certificate of our own.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        scheme, rest = "", url
    if scheme and scheme not in _PLAIN | _SECURE:
        raise InvalidArgument(f"'{url}' is no address of a server: write host:port, http://host:port or https://host:port")
    if tls is None:
        wanted = Tls() if scheme in _SECURE else None
    elif isinstance(tls, Tls):
        wanted = tls
    elif isinstance(tls, bool):
        wanted = Tls() if tls else None
    else:
        wanted = Tls(roots=tls)
    if (wanted is None and scheme in _SECURE) or (wanted is not None and scheme in _PLAIN):
        raise InvalidArgument(f"'{url}' and the argument tls contradict each other: leave one of them out")
    host, port = _host_and_port(url, rest.rstrip("/"))
    if token is not None:
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable():
            # not shown: it may be a secret that was pasted wrongly
            raise InvalidArgument("the token is empty, or has characters that no token has")
        if wanted is None and tls is not False and not _is_loopback(host):
            raise InvalidArgument(
                f"the token would travel to {host} in the clear: use tls=True (or tls=False if the network is trusted)"
            )
    return Address(host, port, wanted, token)


def pem(source: str | os.PathLike[str] | bytes | None) -> bytes | None:
    """The bytes of a path, or the bytes themselves."""
    if source is None or isinstance(source, bytes):
        return source
    try:
        return pathlib.Path(source).read_bytes()
    except OSError as error:
        raise InvalidArgument(f"could not read '{os.fspath(source)}': {error.strerror}") from error


def _host_and_port(url: str, rest: str) -> tuple[str, int]:
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.partition(":")
    if not host or "/" in rest or (port and not (port.isdecimal() and port.isascii() and 0 < int(port) < 65536)):
        raise InvalidArgument(f"'{url}' is no address of a server: write host:port, such as 127.0.0.1:{PORT}")
    return host, int(port or PORT)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
