"""The client: one object for a training job, a notebook, a service."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from hitherto import applying, features, flight_sql, pushes
from hitherto.address import Address, Tls, address
from hitherto.applying import DefinitionsLike, Plan
from hitherto.channel import Channel
from hitherto.errors import Error, InvalidArgument
from hitherto.exchange import Exchange, fetched
from hitherto.features import Features, consumer_of
from hitherto.flight_sql import Params
from hitherto.frames import Frame
from hitherto.methods import APPLY, DESCRIBE_VIEW, GET_DATASET, GET_FEATURES, PLAN, PUSH, PUSH_STREAM
from hitherto.models import Models
from hitherto.progress import ProgressLike, sink
from hitherto.pushes import Batch, Pushed, Stream, To
from hitherto.retry import Deadline, Retry
from hitherto.rows import Rows
from hitherto.spine import SQL, SpineLike, spine_of
from hitherto.splits import Split
from hitherto.training_set import TrainingSet
from hitherto.v1 import training_sets_pb2

DEFAULT = Retry()


class Client:
    """A connection to `hitherto serve`. May be shared by threads; not across a fork after its first call.

    `url` is host:port, or `https://host:port` for TLS with the system's authorities; `tls` names others (a PEM file), or a `Tls`
    with a certificate of our own. `token` goes with every call. `timeout` is in seconds and for every call but `training_set`,
    `dataset` and `sql`, which take as long as their data do unless told otherwise. Nothing is connected before the first call.
    """

    def __init__(
        self,
        url: str = "127.0.0.1:7420",
        token: str | None = None,
        *,
        tls: bool | str | os.PathLike[str] | bytes | Tls | None = None,
        timeout: float | None = 30.0,
        retry: Retry = DEFAULT,
    ) -> None:
        self._address: Address = address(url, token, tls)
        self._timeout = timeout
        self._retry = retry
        self._open: Channel | None = Channel(self._address, retry)
        self.models = Models(self._channel, timeout)
        """Model versions and aliases."""

    def training_set(
        self,
        spine: SpineLike | SQL = None,
        *,
        sql: str | None = None,
        feature_set: str | None = None,
        model: str | None = None,
        mode: Literal["knowledge", "event"] = "knowledge",
        event_timestamp: str | None = None,
        evidence: bool = False,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        split: Split | None = None,
        fresh: bool = False,
        progress: ProgressLike = None,
        timeout: float | None = None,
    ) -> TrainingSet:
        """Every row of the spine, in its order, with what was known at its time.

        The spine is an Arrow table, batch or reader, a pandas or Polars frame, anything with `__arrow_c_stream__`, or the path of a Parquet
        or CSV file, which is opened here and streamed. A query that the server runs over its history is `SQL("select …")`, or
        `sql="select …"` in place of the spine: a plain `str` is a path, always.

        `event_timestamp` is the spine's column of prediction times (`event_timestamp` by default). Mode `event` leaks: it reads what was
        true by then, known or not. `evidence` adds when each view's winner was true and when it was available. `split` adds a column
        `split`. Without `fresh`, what an equal request has built before is the answer.

        Returns when the first rows are there; what is wrong with the request is raised here.
        """
        command: dict[str, Any] = {**consumer_of(feature_set, model), "mode": mode, "evidence": evidence, "fresh": fresh}
        optional = {"event_timestamp": event_timestamp, "name": name, "tags": tags and dict(tags), "split": split and split.to_json()}
        command |= {field: value for field, value in optional.items() if value is not None}
        query = _query(spine, sql)
        source = None if query is not None else spine_of(spine)
        if query is not None:
            command["spine_sql"] = query
        tell = sink(progress)
        command["progress"] = tell is not None
        deadline = Deadline(timeout)

        def begin() -> Exchange:
            return Exchange(self._address, command, source, tell, deadline.left())

        exchange = self._retry.run(begin, deadline, is_repeatable=source is None or source.is_repeatable)
        return TrainingSet(
            exchange.schema,
            exchange.batches(),
            manifest=lambda: exchange.manifest,
            again=lambda dataset: fetched(self._address, dataset, timeout)[1],
            shape=None if source is None else source.shape,
            kind="arrow" if source is None else source.kind,
            end=exchange.close,
        )

    def dataset(self, dataset: str, *, timeout: float | None = None) -> TrainingSet:
        """A training set that is there: by its id, the beginning of one that is unique, or its name."""
        found = self._channel().call(GET_DATASET, training_sets_pb2.GetTrainingSetRequest(dataset=dataset), self._timeout)
        manifest = applying.manifest(found)
        schema, batches = fetched(self._address, found.id, timeout)
        return TrainingSet(
            schema,
            batches,
            manifest=lambda: manifest,
            again=lambda dataset: fetched(self._address, dataset, timeout)[1],
        )

    def get_features(
        self,
        entities: Frame,
        *,
        feature_set: str | None = None,
        model: str | None = None,
        request_fields: Frame | None = None,
        event_times: bool = True,
        routing_key: str | None = None,
        timeout: float | None = None,
    ) -> Features:
        """The latest features of entity keys: a frame, a dict of columns or of one row, or a list of dicts.

        Of a feature set (`NAME`, `NAME@VERSION`), or of a model (`NAME`, `NAME@VERSION`, `NAME@ALIAS`). A key that is not there is no
        error: its statuses are `NOT_FOUND`. `request_fields` are the set's, as many rows as the entities.
        """
        request = features.request(
            entities,
            feature_set=feature_set,
            model=model,
            request_fields=request_fields,
            event_times=event_times,
            routing_key=routing_key,
        )
        return features.answer(self._channel().call(GET_FEATURES, request, self._or_default(timeout)))

    def push(self, view: str, rows: Frame, *, batch_id: str | None = None, to: To = "both", timeout: float | None = None) -> Pushed:
        """Appends rows to a view's history, and to the online store unless `to="offline"`.

        Up to 100,000 rows are a batch: all of them or none. More go as several, `timeout` for each; if one fails, those before it stay, and
        the error says how many rows they had. With a `batch_id` the same push may be done again, and changes nothing that was done:
        what could not be reached is then tried again by itself. Without one, nothing is.
        """
        push = pushes.Push(view, rows, batch_id, to)
        question = push.question()
        known = None if question is None else self._channel().call(DESCRIBE_VIEW, question, self._or_default(timeout))
        done = Pushed()
        for size, message in push.messages(known):
            try:
                answer = self._channel().call(PUSH, message, self._or_default(timeout), is_idempotent=batch_id is not None)
            except Error as error:
                if done.rows:
                    error.add_note(f"{done.rows:,} rows before were taken, in {done.batches} batches")
                raise
            done = done.and_(size, answer)
        return done

    def push_stream(
        self, view: str, batches: Iterable[Batch], *, to: To = "both", timeout: float | None = None
    ) -> Iterator[Pushed | Error]:
        """Pushes batch after batch to a view, many of them on their way at once, and gives what became of each, in their order.

        A batch is rows (as for `push`), or a pair of rows and a batch id. Each is kept or refused by itself: an `Error` that is given, not
        raised, is one batch's. One that is raised is the stream's: what had no outcome by then may be kept or not, and can be pushed
        again where it has an id. The batches are taken from their iterable as the server takes them, in another thread, and only
        while the outcomes are read. To close the generator early cancels what is on its way. `timeout` is for the whole stream.
        """
        stream = Stream(view, to, lambda question: self._channel().call(DESCRIBE_VIEW, question, self._timeout))
        return stream.outcomes(self._channel().stream(PUSH_STREAM, stream.messages(batches), timeout))

    def sql(self, query: str, params: Params = None, *, timeout: float | None = None) -> Rows:
        """The rows of a query over feature history, training sets and the registry: `.to_arrow()`, `.to_pandas()`, `.batches()`.

        `params` are values for `$1`, `$2`, … or, as a dict, for `$name`.
        """
        deadline = Deadline(timeout)

        def begin() -> Rows:
            return flight_sql.query(self._address, query, params, deadline.left())

        return self._retry.run(begin, deadline, is_repeatable=True)

    def plan(self, definitions: DefinitionsLike, *, allow_new_table: bool = False) -> Plan:
        """What applying definitions would change. See `apply`."""
        request = applying.plan_request(definitions, allow_new_table)
        return applying.plan(self._channel().call(PLAN, request, self._timeout))

    def apply(self, definitions: DefinitionsLike, *, allow_new_table: bool = False) -> Plan:
        """Applies definitions, all or none.

        They are `Entity`, `FeatureView`, `FeatureSet`, `Gate`, the path of a YAML file or of a folder of them, or YAML text (a `str` with
        a line break; without one it is a path); one or a list. `allow_new_table` lets views begin tables whose history must be
        ingested again.
        """
        request = applying.apply_request(definitions, allow_new_table)
        return applying.plan(self._channel().call(APPLY, request, self._timeout))

    def close(self) -> None:
        """Closes the connection. Rows that are being read can still be read."""
        channel, self._open = self._open, None
        if channel is not None:
            channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._address.target!r})"

    def _channel(self) -> Channel:
        if self._open is None:
            raise InvalidArgument("the client is closed")
        return self._open

    def _or_default(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is None else timeout


def _query(spine: SpineLike | SQL, sql: str | None) -> str | None:
    if (spine is None) == (sql is None):
        raise InvalidArgument("give either a spine or sql=: the rows to be enriched, or a query that has them")
    if isinstance(spine, SQL):
        return spine.query
    return sql
