"""Rows on their way into history, in as many messages as they need."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias, Union

import pyarrow as pa

from hitherto import columns, frames
from hitherto.address import MESSAGE_BYTES_MAX
from hitherto.errors import Error, InvalidArgument, from_code
from hitherto.v1 import ingest_pb2 as v1
from hitherto.v1 import registry_pb2

ROWS = 100_000
"""In one message, unless their bytes are too many. Each message is a batch of its own: all of it or nothing."""
BYTES_MAX = MESSAGE_BYTES_MAX - (1 << 20)

TIMES = frozenset({"event_timestamp", "created_timestamp"})
"""No feature and no key can be called so; a view may call its source's times otherwise."""

Batch: TypeAlias = Union[frames.Frame, tuple[frames.Frame, str]]
"""Rows, or rows with the id of their batch."""

To: TypeAlias = Literal["both", "offline"]
_DESTINATIONS = {"both": v1.DESTINATION_BOTH, "offline": v1.DESTINATION_OFFLINE}


@dataclasses.dataclass(frozen=True)
class Pushed:
    """What became of the rows."""

    rows: int = 0
    """How many there were."""
    already: int = 0
    """How many of them had been ingested before, so that nothing changed."""
    batches: int = 0
    """In how many batches they went."""
    first_sequence: int | None = None
    """The sequence of the first row that is new; None if none is."""
    last_sequence: int | None = None
    """The sequence of the last."""
    online_rows: int = 0
    """How many were written online: those that were available and superseded what was there."""
    null_key_rows: int = 0
    """How many are kept in history and match nothing, because a part of their key is null."""
    backdated_rows: int = 0
    """How many were available before they were ingested, so that past answers change."""

    def and_(self, rows: int, answer: v1.PushResponse) -> Pushed:
        """With one more batch, of so many rows."""
        first = answer.first_sequence if answer.HasField("first_sequence") else None
        last = answer.last_sequence if answer.HasField("last_sequence") else None
        return Pushed(
            rows=self.rows + rows,
            already=self.already + (rows if answer.already else 0),
            batches=self.batches + 1,
            first_sequence=first if self.first_sequence is None else self.first_sequence,
            last_sequence=self.last_sequence if last is None else last,
            online_rows=self.online_rows + answer.online_rows,
            null_key_rows=self.null_key_rows + answer.null_key_rows,
            backdated_rows=self.backdated_rows + answer.backdated_rows,
        )


class Push:
    """Rows that are to be pushed to a view."""

    def __init__(self, view: str, rows: frames.Frame, batch_id: str | None, to: To) -> None:
        if to not in _DESTINATIONS:
            raise InvalidArgument(f"rows cannot go to '{to}': write to='both' or to='offline'")
        table = frames.table_of(rows, "the rows")
        if table.num_rows == 0:
            raise InvalidArgument(f"there are no rows to push to '{view}'")
        self._view, self._table, self._batch_id, self._destination = view, table, batch_id, _DESTINATIONS[to]

    def question(self) -> registry_pb2.DescribeFeatureViewRequest | None:
        """What has to be asked first: which columns are the view's times. Only where that is not clear, and makes a difference.

        Its times are rounded up, so that no row is seen before its time; a key or a feature must be what it was.
        """
        if columns.fine(self._table) <= TIMES:
            return None
        return registry_pb2.DescribeFeatureViewRequest(feature_view=self._view)

    def messages(self, view: registry_pb2.FeatureView | None) -> Iterator[tuple[int, v1.PushRequest]]:
        """The messages, each with its number of rows. `view` is the answer to the question, if there was one."""
        times = TIMES if view is None else TIMES | {view.event_timestamp, view.created_timestamp}
        return _messages(self._view, self._table, self._batch_id, self._destination, times)


def _messages(
    view: str, table: pa.Table, batch_id: str | None, destination: v1.Destination, times: frozenset[str]
) -> Iterator[tuple[int, v1.PushRequest]]:
    """How they are cut depends on the rows alone, so that the same frame with the same id is the same batches. The first has the id
    as it is, the next ones `ID.2`, `ID.3`, …
    """
    number = 0
    for start in range(0, table.num_rows, ROWS):
        for size, message in _fitting(view, table.slice(start, ROWS), destination, times):
            number += 1
            if batch_id is not None:
                message.batch_id = batch_id if number == 1 else f"{batch_id}.{number}"
            yield size, message


def _fitting(
    view: str, table: pa.Table, destination: v1.Destination, times: frozenset[str]
) -> Iterator[tuple[int, v1.PushRequest]]:
    message = v1.PushRequest(view=view, columns=columns.send(table, rounded_up=times), destination=destination)
    rows = table.num_rows
    if message.ByteSize() <= BYTES_MAX:
        yield rows, message
        return
    if rows == 1:
        raise InvalidArgument(f"a row has more than {BYTES_MAX >> 20} MiB, which no message holds")
    half = rows // 2
    yield from _fitting(view, table.slice(0, half), destination, times)
    yield from _fitting(view, table.slice(half), destination, times)


class Stream:
    """Batches on their way, and what becomes of each, in their order."""

    def __init__(self, view: str, to: To, describe: Callable[[registry_pb2.DescribeFeatureViewRequest], registry_pb2.FeatureView]) -> None:
        self._view, self._to, self._describe = view, to, describe
        self._described: registry_pb2.FeatureView | None = None
        # what was sent and is not answered, or could not be sent; filled by who sends, emptied by who reads the answers
        self._sent: collections.deque[_Sent] = collections.deque()
        self._failure: BaseException | None = None

    def messages(self, batches: Iterable[Batch]) -> Iterator[v1.PushRequest]:
        """What is to be sent. Where the iterable itself fails, the rest is not sent, and whoever reads the answers hears why."""
        try:
            for batch in batches:
                rows, batch_id = batch if isinstance(batch, tuple) else (batch, None)
                try:
                    parts = list(self._parts(rows, batch_id))
                except Error as error:
                    self._sent.append(_Sent([], error))
                    continue
                self._sent.append(_Sent([size for size, _ in parts]))
                for _, message in parts:
                    yield message
        except Exception as error:
            self._failure = error

    def outcomes(self, answers: Iterator[v1.PushResponse]) -> Iterator[Pushed | Error]:
        """One for each batch."""
        for answer in answers:
            yield from self._done()
            self._sent[0].take(answer)
            yield from self._done()
        yield from self._done()
        if self._failure is not None:
            raise self._failure

    def _parts(self, rows: frames.Frame, batch_id: str | None) -> Iterator[tuple[int, v1.PushRequest]]:
        push = Push(self._view, rows, batch_id, self._to)
        question = push.question()
        if question is not None and self._described is None:
            self._described = self._describe(question)
        return push.messages(self._described)

    def _done(self) -> Iterator[Pushed | Error]:
        while self._sent and not self._sent[0].sizes:
            sent = self._sent.popleft()
            yield sent.done if sent.error is None else sent.error


@dataclasses.dataclass
class _Sent:
    """A batch: how many rows each of its messages has that are not answered yet, and what the answers say."""

    sizes: list[int]
    error: Error | None = None
    done: Pushed = dataclasses.field(default_factory=Pushed)

    def take(self, answer: v1.PushResponse) -> None:
        size = self.sizes.pop(0)
        if not answer.HasField("error"):
            self.done = self.done.and_(size, answer)
        elif self.error is None:
            self.error = from_code(answer.error.code, answer.error.message, answer.error.details)
            if self.done.rows:
                self.error.add_note(f"{self.done.rows:,} rows before were taken, in {self.done.batches} batches")
