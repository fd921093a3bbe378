"""The exchange that builds a training set: the spine goes up while its rows come down."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight

from hitherto.address import Address
from hitherto.errors import Error, Internal, Unavailable
from hitherto.progress import Progress
from hitherto.spine import Spine
from hitherto.transport import Flight

Tell = Callable[[Progress], object]


class Exchange:
    """One answer: its schema, its rows, and the manifest behind them. Made when the first row is there, or that there is none."""

    def __init__(self, address: Address, command: dict[str, Any], spine: Spine | None, tell: Tell | None, timeout: float | None):
        self.manifest: dict[str, Any] | None = None
        self._is_closed = False
        self._tell = _Teller(tell)
        self._flight = Flight(address, timeout)
        descriptor = flight.FlightDescriptor.for_command(json.dumps({"training_set": command}).encode())
        exchange = self._flight.guarded(self._flight.client.do_exchange)
        writer, self._reader = exchange(descriptor, self._flight.options)
        # a server may answer before it has read all, so nobody waits for the other
        self._upload = _Upload(writer, self._reader, spine, self._tell)
        try:
            self._first = self._next()
            self.schema: pa.Schema = self._flight.guarded(lambda: self._reader.schema)()
        except BaseException:
            self.close()
            raise

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows; the manifest is there after the last. To close this before is to cancel the exchange."""
        rows = 0
        try:
            batch, self._first = self._first, None
            while batch is not None:
                rows += batch.num_rows
                self._tell(Progress("receiving", rows, self._upload.rows))
                yield batch
                batch = self._next()
            if self.manifest is None:
                raise Unavailable("the answer ended before the manifest of the training set came; ask again")
            expected = self.manifest.get("rows")
            if expected is not None and expected != rows:
                raise Internal(f"the answer has {rows} rows, and its manifest says {expected}")
        finally:
            self.close()

    def close(self) -> None:
        """Ends the exchange, wherever it is, and whoever calls: what is told of it may do so itself."""
        if self._is_closed:
            return
        self._is_closed = True
        self._tell.stop()
        try:
            if self.manifest is None:
                self._reader.cancel()
            self._upload.close()
        finally:
            self._flight.close()
        self._tell.done()

    def _next(self) -> pa.RecordBatch | None:
        try:
            for chunk in self._flight.chunks(self._reader):
                if chunk.app_metadata is not None:
                    self._hear(chunk.app_metadata.to_pybytes())
                if chunk.data is not None:
                    return chunk.data
        except Error as error:
            # what stopped the upload here is the cause, and the cancelled call what came of it
            raise self._upload.failure() or error from error
        if (failed := self._upload.failure()) is not None:
            raise failed
        return None

    def _hear(self, metadata: bytes) -> None:
        if not metadata:
            return
        try:
            said = json.loads(metadata)
        except ValueError as error:
            raise Internal("the server says something of the training set that is no JSON") from error
        if "dataset" in said:
            self.manifest = said["dataset"]
        progress = said.get("progress")
        # what the server has received, this side has said as sent
        if isinstance(progress, dict) and progress.get("phase") != "receiving":
            self._tell(Progress(str(progress.get("phase", "working")), int(progress.get("rows", 0)), progress.get("total")))


def fetched(address: Address, dataset: str, timeout: float | None) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Columns and rows of a training set that is there."""
    rows = _fetched(Flight(address, timeout), flight.Ticket(json.dumps({"dataset": dataset}).encode()))
    return next(rows), rows


def _fetched(connection: Flight, ticket: flight.Ticket) -> Iterator[Any]:
    """The schema, then the batches; closes the connection behind them."""
    try:
        reader = connection.guarded(connection.client.do_get)(ticket, connection.options)
        try:
            yield connection.guarded(lambda: reader.schema)()
            yield from (chunk.data for chunk in connection.chunks(reader) if chunk.data is not None)
        finally:
            # what was not read need not be sent
            reader.cancel()
    finally:
        connection.close()


class _Upload:
    """Sends the spine in a thread of its own."""

    def __init__(self, writer: Any, reader: Any, spine: Spine | None, tell: Tell) -> None:
        self.rows = 0
        self._writer, self._reader, self._spine, self._tell = writer, reader, spine, tell
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="hitherto-spine", daemon=True)
        if spine is None:
            # nothing that could wait; and said before anything is read, since pyarrow forgets what has come when a server ends
            # the answer before it has heard the end of the question
            self._run()
        else:
            self._thread.start()

    def failure(self) -> BaseException | None:
        """What was wrong with the spine itself, on this side."""
        return self._failure

    def close(self) -> None:
        """Waits for its end, which comes when the call ends."""
        if self._spine is not None and self._thread is not threading.current_thread():
            self._thread.join()
        try:
            self._writer.close()
        except (pa.ArrowException, OSError):
            # of a call that has failed or was cancelled, which is known
            pass

    def _run(self) -> None:
        try:
            if self._spine is None:
                # carries the descriptor
                self._wire(self._writer.write_metadata, b"")
            else:
                self._send(self._spine)
            self._wire(self._writer.done_writing)
        except _Refused:
            # who reads the answer is told why
            return
        except BaseException as error:
            self._failure = error
            self._reader.cancel()

    def _send(self, spine: Spine) -> None:
        self._wire(self._writer.begin, spine.shape.plain)
        for batch in spine.batches():
            self._wire(self._writer.write_batch, batch)
            self.rows += batch.num_rows
            self._tell(Progress("sending", self.rows, None))

    def _wire(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except (pa.ArrowException, OSError) as error:
            raise _Refused from error


class _Refused(Exception):
    """The server takes no more."""


class _Teller:
    """Both directions tell how far they are, and whoever is told need not expect two at once."""

    def __init__(self, tell: Tell | None) -> None:
        self._tell = tell
        # who is told may close the exchange, which tells that it is done
        self._lock = threading.RLock()
        self._is_over = threading.Event()

    def __call__(self, progress: Progress) -> None:
        if self._tell is None:
            return
        # who closes waits for the other direction, which must not wait for whoever is told at that moment
        while not self._lock.acquire(timeout=0.05):
            if self._is_over.is_set():
                return
        try:
            if not self._is_over.is_set():
                self._tell(progress)
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Nothing is told from now on, but that it is done."""
        self._is_over.set()

    def done(self) -> None:
        """The last that is told."""
        if self._tell is not None:
            with self._lock:
                self._tell(Progress("done", 0, None))
