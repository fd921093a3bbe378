"""Which rows of a training set are train, validation and test."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from hitherto.errors import InvalidArgument

Time = datetime.datetime | str
Length = datetime.timedelta | str


@dataclasses.dataclass(frozen=True)
class Split:
    """By time or by key; made by `Split.by_time` or `Split.by_key`. Adds a column `split`."""

    _json: dict[str, Any]

    @classmethod
    def by_time(cls, train_end: Time, validation_end: Time | None = None, gap: Length | None = None) -> Split:
        """Train before `train_end`; validation in [train_end + gap, validation_end); test from validation_end + gap.

        Without `validation_end` there is no validation, and test follows train. Rows in the gaps are in none (null), so that
        labels that look ahead do not overlap. A naive datetime is UTC.
        """
        json: dict[str, Any] = {"by": "time", "train_end": _micros(train_end)}
        if validation_end is not None:
            json["validation_end"] = _micros(validation_end)
        if gap is not None:
            json["gap"] = gap if isinstance(gap, str) else gap // datetime.timedelta(microseconds=1)
        return cls(json)

    @classmethod
    def by_key(cls, *, train: int, validation: int = 0, test: int = 0, columns: Sequence[str] = ()) -> Split:
        """All rows with one key are in one part; the shares are weights. By the key that all views share, unless `columns` are named."""
        if isinstance(columns, str):
            raise InvalidArgument(f"columns is a list of names: write columns=['{columns}']")
        return cls({"by": "key", "columns": list(columns), "weights": [train, validation, test]})

    def to_json(self) -> dict[str, Any]:
        """As the server reads it, and manifests have it."""
        return dict(self._json)


def _micros(time: Time) -> int | str:
    if isinstance(time, str):
        return time
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.UTC)
    return (time - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)
