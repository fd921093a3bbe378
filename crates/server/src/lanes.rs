//! Threads that answer reads of features, and nothing else.
//!
//! A read is a few steps of some microseconds each: its connection is read, the store is asked, its answer is written. Where
//! any thread may take the next step, most of the time goes into waking threads and moving memory between processors. So each
//! connection belongs to one thread, a lane, which takes all steps of its reads; every other call is handed to the runtime
//! that does everything else, lest a read wait for it.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener as StdListener;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tracing::Instrument;

use crate::threads::STACK_BYTES;
use crate::{Error, Result};

/// How many lanes there are: every second processor has one, for the store, the follower and queries need the others.
fn lanes() -> usize {
    (thread::available_parallelism().map_or(1, NonZeroUsize::get) / 2).max(1)
}

/// Runs `serve` in each lane, on the same listening socket: who has time takes the next connection. Ends with the first that
/// fails, or when all have ended; dropped, it cuts them off.
pub(crate) async fn run<F>(
    listener: TcpListener,
    serve: impl Fn(TcpListener) -> F + Clone + Send + 'static,
) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let failed = |source| Error::serve("start a thread for reads", source);
    let listener = listener.into_std().map_err(failed)?;
    let mut running = Vec::new();
    for number in 0..lanes() {
        running.push(lane(number, listener.try_clone().map_err(failed)?, serve.clone()).map_err(failed)?);
    }
    drop(listener);
    futures::future::try_join_all(running.into_iter().map(ended)).await.map(drop)
}

/// Starts one; it tells when it has ended, and ends when nobody wants to know any more.
fn lane<F>(
    number: usize,
    listener: StdListener,
    serve: impl FnOnce(TcpListener) -> F + Send + 'static,
) -> io::Result<oneshot::Receiver<Result<()>>>
where
    F: Future<Output = Result<()>>,
{
    let (mut tell, told) = oneshot::channel();
    // plans are compiled by whoever asks first, and a transform is SQL
    thread::Builder::new().name(format!("lane-{number}")).stack_size(STACK_BYTES).spawn(move || {
        let served = in_own_runtime(async {
            let listener =
                TcpListener::from_std(listener).map_err(|source| Error::serve("listen in a lane", source))?;
            tokio::select! {
                served = serve(listener) => served,
                () = tell.closed() => Ok(()),
            }
        });
        let _ = tell.send(served);
    })?;
    Ok(told)
}

/// When it is over, whatever of it is still in flight is cut off.
fn in_own_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = Builder::new_current_thread().thread_stack_size(STACK_BYTES).enable_all().build();
    runtime.map_err(|source| Error::serve("start a runtime for reads", source))?.block_on(work)
}

async fn ended(told: oneshot::Receiver<Result<()>>) -> Result<()> {
    told.await.map_err(|_| Error::serve("go on serving", "a thread for reads has panicked"))?
}

/// A service whose calls are worked on by a runtime, whoever receives them, in the span in which they were received.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere<S> {
    service: S,
    runtime: Handle,
}

impl<S> Elsewhere<S> {
    pub(crate) fn new(service: S, runtime: &Handle) -> Self {
        Self { service, runtime: runtime.clone() }
    }
}

impl<S: NamedService> NamedService for Elsewhere<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<B>> for Elsewhere<S>
where
    S: Service<http::Request<B>, Error = Infallible>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Call<S::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Call(self.runtime.spawn(self.service.call(request).in_current_span()))
    }
}

/// A call that is worked on elsewhere, no longer than somebody waits for it.
#[derive(Debug)]
pub(crate) struct Call<T>(JoinHandle<Result<T, Infallible>>);

impl<T> Future for Call<T> {
    type Output = Result<T, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(response) => Poll::Ready(response),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // the runtime is gone, and with it whoever waits
            Err(_) => Poll::Pending,
        }
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Says which thread works on a call, or waits for ever.
    #[derive(Clone)]
    struct Where;

    impl Service<http::Request<bool>> for Where {
        type Response = Option<String>;
        type Error = Infallible;
        type Future = tonic::codegen::BoxFuture<Option<String>, Infallible>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, waits: http::Request<bool>) -> Self::Future {
            Box::pin(async move {
                if waits.into_body() {
                    std::future::pending::<()>().await;
                }
                Ok(thread::current().name().map(str::to_owned))
            })
        }
    }

    #[test]
    fn a_call_is_worked_on_by_the_other_runtime_as_long_as_somebody_waits() {
        let other = Builder::new_multi_thread().worker_threads(1).thread_name("other").build().expect("a runtime");
        let here = Builder::new_current_thread().build().expect("a runtime");
        let mut service = Elsewhere::new(Where, other.handle());
        here.block_on(async {
            poll_fn(|context| Service::<http::Request<bool>>::poll_ready(&mut service, context)).await.expect("ready");
            let name = service.call(http::Request::new(false)).await.expect("a name");
            assert_eq!(name.as_deref(), Some("other"));
        });
        let call = service.call(http::Request::new(true));
        let task = call.0.abort_handle();
        drop(call);
        other.block_on(async {
            while !task.is_finished() {
                tokio::task::yield_now().await;
            }
        });
    }

    async fn accept_all(listener: TcpListener) -> Result<()> {
        loop {
            drop(listener.accept().await);
        }
    }

    #[tokio::test]
    async fn lanes_serve_the_socket_and_end_when_nobody_waits_for_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("its address");
        let running = tokio::spawn(run(listener, accept_all));
        tokio::net::TcpStream::connect(address).await.expect("somebody listens");
        running.abort();
        assert!(running.await.expect_err("it is cut off").is_cancelled());
        // the socket is closed when the last lane has ended
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
