"""Rows on their way into history, in as many messages as they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal, TypeAlias

import pyarrow as pa

from hitherto import columns, frames
from hitherto.address import MESSAGE_BYTES_MAX
from hitherto.errors import InvalidArgument
from hitherto.v1 import ingest_pb2 as v1
from hitherto.v1 import registry_pb2

ROWS = 100_000
"""In one message, unless their bytes are too many. Each message is a batch of its own: all of it or nothing."""
BYTES_MAX = MESSAGE_BYTES_MAX - (1 << 20)

TIMES = frozenset({"event_timestamp", "created_timestamp"})
"""No feature and no key can be called so; a view may call its source's times otherwise."""

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
