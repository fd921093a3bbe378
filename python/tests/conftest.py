"""What the tests share: the binary as a user has it, servers of it, and stand-ins where none is needed."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
import served
import standins

NOW = "2013-07-10T18:00:00Z"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[served.Place]:
    """A server over an empty store."""
    with served.Place(tmp_path_factory.mktemp("empty")) as place:
        place.serve()
        yield place


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[served.Place]:
    """A server over what `hitherto demo` leaves, on a Wednesday afternoon of July 2013."""
    folder = tmp_path_factory.mktemp("flights") / "hitherto-demo"
    with served.Place(folder.parent) as before:
        before.run("demo", "hitherto-demo")
    with served.Place(folder) as place:
        place.serve("--clock", NOW)
        yield place


@pytest.fixture
def grpc_standin() -> Iterator[standins.Grpc]:
    with standins.Grpc() as server:
        yield server


@pytest.fixture
def flight_standin() -> Iterator[standins.Flight]:
    with standins.Flight() as server:
        yield server


@pytest.fixture
def checkout() -> pathlib.Path:
    return pathlib.Path(__file__).resolve().parents[2]
