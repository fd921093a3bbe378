"""Where the server is, what goes to it, and how often."""

from __future__ import annotations

import pathlib
import random

import pytest

import hitherto
from hitherto.address import Tls, address
from hitherto.retry import Retry


@pytest.mark.parametrize(
    ("url", "target", "is_secure"),
    [
        ("127.0.0.1:7420", "127.0.0.1:7420", False),
        ("features", "features:7420", False),
        ("http://features:1/", "features:1", False),
        ("grpc://[::1]:5", "[::1]:5", False),
        ("https://features", "features:7420", True),
        ("grpc+tls://features:443", "features:443", True),
    ],
)
def test_urls(url: str, target: str, is_secure: bool) -> None:
    found = address(url, None, None)
    assert (found.target, found.tls is not None) == (target, is_secure)
    assert found.flight_location == f"grpc+{'tls' if is_secure else 'tcp'}://{target}"


@pytest.mark.parametrize("url", ["", "ftp://a", "a:b", "a:0", "a:70000", "http://", "a/b:1", "a:1/b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(hitherto.InvalidArgument, match="is no address of a server"):
        address(url, None, None)


def test_tls_is_what_was_asked_for(tmp_path: pathlib.Path) -> None:
    roots = tmp_path / "ca.pem"
    roots.write_bytes(b"pem")
    assert address("a", None, True).tls == Tls()
    assert address("a", None, roots).tls == Tls(roots=roots)
    assert address("a", None, b"pem").tls == Tls(roots=b"pem")
    assert address("https://a", None, Tls(roots=b"pem")).tls == Tls(roots=b"pem")
    for url, tls in (("http://a", True), ("https://a", False)):
        with pytest.raises(hitherto.InvalidArgument, match="contradict each other"):
            address(url, None, tls)
    with pytest.raises(hitherto.InvalidArgument, match="could not read '.*none.pem': No such file"):
        hitherto.Client("a", tls=tmp_path / "none.pem")


def test_a_token_does_not_travel_in_the_clear_and_is_not_shown() -> None:
    for url in ("127.0.0.1", "localhost:1", "[::1]:1"):
        assert address(url, "s3cret", None).metadata == [("authorization", "Bearer s3cret")]
    assert address("https://a", " s3cret\n", None).metadata == [("authorization", "Bearer s3cret")]
    assert address("10.0.0.1", "s3cret", False).metadata != []
    with pytest.raises(hitherto.InvalidArgument, match="would travel to 10.0.0.1 in the clear"):
        address("10.0.0.1", "s3cret", None)
    for token in ("", " ", "a\nb", "é"):
        with pytest.raises(hitherto.InvalidArgument, match="^the token is empty, or has"):
            address("127.0.0.1", token, None)
    assert "s3cret" not in repr(address("127.0.0.1", "s3cret", None)) + repr(hitherto.Client("127.0.0.1", "s3cret"))


def test_waits_grow_and_end() -> None:
    random.seed(7)
    retry = Retry(attempts=4, first=1, factor=10, longest=50)
    down = hitherto.Unavailable("down")
    waits = [retry.wait(down, attempt, None) for attempt in range(4)]
    assert waits[3] is None
    for wait, most in zip(waits[:3], (1, 10, 50), strict=True):
        assert wait is not None and most / 2 <= wait <= most
    asked = hitherto.Unavailable("down", retry_after=70)
    assert retry.wait(asked, 0, None) == 70
    assert retry.wait(asked, 0, 71) == 70 and retry.wait(asked, 0, 70) is None
    for other in (hitherto.Timeout("late"), hitherto.Conflict("other"), hitherto.Exhausted("full"), hitherto.NotFound("none")):
        assert retry.wait(other, 0, None) is None, other
