"""Calls of `hitherto.v1` over one connection, with their timeouts and retries: waiting, and not waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio

from hitherto.address import OPTIONS, Address
from hitherto.errors import from_grpc
from hitherto.methods import Answer, Method, Request
from hitherto.retry import NEVER, Deadline, Retry


class Channel:
    """A connection, made when it is first needed and again when it is lost. May be shared by threads."""

    def __init__(self, address: Address, retry: Retry) -> None:
        self._metadata = address.metadata
        self._retry = retry
        credentials = address.credentials()
        if credentials is None:
            self._channel = grpc.insecure_channel(address.target, options=OPTIONS)
        else:
            self._channel = grpc.secure_channel(address.target, credentials, options=OPTIONS)

    def call(
        self, method: Method[Request, Answer], request: Request, timeout: float | None, *, is_idempotent: bool | None = None
    ) -> Answer:
        """The answer, or one of our errors. `timeout` is for all attempts together."""
        deadline = Deadline(timeout)
        call: Any = self._channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.answer.FromString,
        )

        def once() -> Answer:
            try:
                answer: Answer = call(request, timeout=deadline.left(), metadata=self._metadata)
                return answer
            except grpc.RpcError as error:
                raise from_grpc(error) from error

        return self._retry.run(once, deadline, is_repeatable=_is_repeatable(method, is_idempotent))

    def stream(self, method: Method[Request, Answer], requests: Iterator[Request], timeout: float | None) -> Iterator[Answer]:
        """The answers to messages, which are taken from their iterator, in a thread of its own, as the server takes them. Never tried
        again. Whoever closes this early cancels the call.
        """
        open_call: Any = self._channel.stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        call = open_call(requests, timeout=timeout, metadata=self._metadata)
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_grpc(error) from error
        finally:
            call.cancel()

    def close(self) -> None:
        self._channel.close()


class AsyncChannel:
    """The same for a program with an event loop."""

    def __init__(self, address: Address, retry: Retry) -> None:
        self._metadata = address.metadata
        self._retry = retry
        credentials = address.credentials()
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address.target, options=OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address.target, credentials, options=OPTIONS)

    async def call(
        self, method: Method[Request, Answer], request: Request, timeout: float | None, *, is_idempotent: bool | None = None
    ) -> Answer:
        """The answer, or one of our errors. `timeout` is for all attempts together."""
        deadline = Deadline(timeout)
        retry = self._retry if _is_repeatable(method, is_idempotent) else NEVER
        call: Any = self._channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        attempt = 0
        while True:
            try:
                answer: Answer = await call(request, timeout=deadline.left(), metadata=self._metadata)
                return answer
            except grpc.RpcError as error:
                failure = from_grpc(error)
                wait = retry.wait(failure, attempt, deadline.left())
                if wait is None:
                    raise failure from error
            await asyncio.sleep(wait)
            attempt += 1

    async def close(self) -> None:
        await self._channel.close(grace=None)


def _is_repeatable(method: Method[Any, Any], is_idempotent: bool | None) -> bool:
    return method.is_idempotent if is_idempotent is None else is_idempotent
