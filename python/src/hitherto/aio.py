"""The client for a program with an event loop: what a service asks while it serves."""

from __future__ import annotations

import os

from hitherto import features, pushes
from hitherto.address import Tls, address
from hitherto.channel import AsyncChannel
from hitherto.client import DEFAULT
from hitherto.errors import Error, InvalidArgument
from hitherto.features import Features
from hitherto.frames import Frame
from hitherto.methods import DESCRIBE_VIEW, GET_FEATURES, PUSH
from hitherto.pushes import Pushed, To
from hitherto.retry import Retry


class AsyncClient:
    """As `Client`, for `get_features` and `push`. Belongs to the event loop in which it is first used."""

    def __init__(
        self,
        url: str = "127.0.0.1:7420",
        token: str | None = None,
        *,
        tls: bool | str | os.PathLike[str] | bytes | Tls | None = None,
        timeout: float | None = 30.0,
        retry: Retry = DEFAULT,
    ) -> None:
        self._address = address(url, token, tls)
        self._timeout = timeout
        self._retry = retry
        self._open: AsyncChannel | None = None
        self._is_closed = False

    async def get_features(
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
        """As `Client.get_features`."""
        request = features.request(
            entities,
            feature_set=feature_set,
            model=model,
            request_fields=request_fields,
            event_times=event_times,
            routing_key=routing_key,
        )
        return features.answer(await self._channel().call(GET_FEATURES, request, self._or_default(timeout)))

    async def push(self, view: str, rows: Frame, *, batch_id: str | None = None, to: To = "both", timeout: float | None = None) -> Pushed:
        """As `Client.push`."""
        push = pushes.Push(view, rows, batch_id, to)
        question = push.question()
        known = None if question is None else await self._channel().call(DESCRIBE_VIEW, question, self._or_default(timeout))
        done = Pushed()
        for size, message in push.messages(known):
            try:
                answer = await self._channel().call(PUSH, message, self._or_default(timeout), is_idempotent=batch_id is not None)
            except Error as error:
                if done.rows:
                    error.add_note(f"{done.rows:,} rows before were taken, in {done.batches} batches")
                raise
            done = done.and_(size, answer)
        return done

    async def close(self) -> None:
        """Closes the connection."""
        channel, self._open, self._is_closed = self._open, None, True
        if channel is not None:
            await channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _channel(self) -> AsyncChannel:
        if self._is_closed:
            raise InvalidArgument("the client is closed")
        if self._open is None:
            # here and not before: it takes the event loop that runs
            self._open = AsyncChannel(self._address, self._retry)
        return self._open

    def _or_default(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is None else timeout
