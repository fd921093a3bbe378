"""How far a training set is, as a line on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NamedTuple, TextIO, TypeAlias

WIDTH = 28
REDRAW_S = 0.1


class Progress(NamedTuple):
    """How far a training set is."""

    stage: str
    """`sending` the spine, `reading` history, `writing` the set, `receiving` its rows; `done`."""
    done: int
    """Rows so far."""
    total: int | None
    """Rows that there are, where that is known."""


ProgressLike: TypeAlias = bool | Callable[[Progress], object] | None
"""None for a bar where somebody looks (a terminal, a notebook), True or False, or a function that is told (from
another thread, too, but never by two at once)."""


def sink(wanted: ProgressLike) -> Callable[[Progress], object] | None:
    """Who is to be told, if anybody."""
    if callable(wanted):
        return wanted
    if wanted is None:
        wanted = sys.stderr.isatty() or _in_notebook()
    return Bar(sys.stderr) if wanted else None


class Bar:
    """One line that is drawn over again, and gone when all is done."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._drawn_at = 0.0
        self._stage = ""
        self._length = 0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage == "done":
            self._draw("")
            return
        if progress.stage == self._stage and now - self._drawn_at < REDRAW_S:
            return
        self._stage, self._drawn_at = progress.stage, now
        self._draw(line(progress))

    def _draw(self, text: str) -> None:
        self._out.write("\r" + text.ljust(self._length) + ("" if text else "\r"))
        self._out.flush()
        self._length = len(text)


def line(progress: Progress) -> str:
    """`writing     [#####.....]  50%  1,000 of 2,000 rows`"""
    stage, done, total = progress
    if not total:
        return f"{stage:<10} {done:,} rows"
    share = min(1.0, done / total)
    full = round(WIDTH * share)
    return f"{stage:<10} [{'#' * full}{'.' * (WIDTH - full)}] {share:4.0%}  {done:,} of {total:,} rows"


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
