"""The binary, run as a user runs it."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")
VARIABLE = "HITHERTO_TEST_BINARY"


def binary() -> pathlib.Path:
    path = os.environ.get(VARIABLE)
    if not path or not pathlib.Path(path).is_file():
        pytest.fail(
            f"{VARIABLE} names no file: `./test --test it python_client` builds the binary and sets it; by hand, "
            "cargo build, then set it to target/debug/hitherto"
        )
    return pathlib.Path(path).resolve()


def environment() -> dict[str, str]:
    """Without what would configure the binary; with it on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HITHERTO_")}
    return kept | {"PATH": f"{binary().parent}{os.pathsep}{os.environ['PATH']}"}


def until(what: str, ask: Callable[[], T | None]) -> T:
    """Asks again and again until there is an answer. What is asked takes time of its own, so nothing is paused."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if (answer := ask()) is not None:
            return answer
    raise AssertionError(f"not within 30 s: {what}")


class Place:
    """A folder with a store, and perhaps a server of it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.address = ""
        self._server: subprocess.Popen[str] | None = None

    def run(self, *arguments: str) -> str:
        """What a command prints; it must end well."""
        done = subprocess.run([binary(), *arguments], cwd=self.folder, env=environment(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"hitherto {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def serve(self, *flags: str) -> None:
        """Starts a server, and returns when it listens."""
        command = [binary(), "serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", *flags]
        server = subprocess.Popen(command, cwd=self.folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        said = []
        for line in server.stderr:
            said.append(line)
            if found := re.match(r"gRPC .*on ([0-9.]+:[0-9]+)", line):
                self.address = found[1]
                break
        assert self.address, f"hitherto serve ended: {''.join(said)}"
        # read on, so that it never waits for a reader
        threading.Thread(target=server.stderr.read, daemon=True).start()
        self._server = server

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(timeout=60)
            assert self._server.stderr is not None
            self._server.stderr.close()
