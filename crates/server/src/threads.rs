//! Threads of their own for what computes for long: queries are planned, bound and run there, training sets received, built and sent.
//! So a query that is hard to plan holds up its own kind, and not the reads of features.
//!
//! Parsing and optimizing never wait, and so never give their thread back. Here the system shares the processors among threads;
//! on a thread that serves, everybody else would wait for the end.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinHandle, JoinSet};

use crate::{Error, Result};

/// SQL is planned by recursion, and a text's height is bounded so that this is enough.
pub(crate) const STACK_BYTES: usize = 16 << 20;

/// The threads, as many as the machine has cores.
#[derive(Debug)]
pub(crate) struct Threads {
    handle: Handle,
    /// There until this is dropped.
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts them.
    pub(crate) fn start() -> Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.thread_name("hitherto-sql").thread_stack_size(STACK_BYTES).enable_all().build();
        let runtime = runtime.map_err(|error| Error::serve("start the threads of queries", error))?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Does `work` there, whether somebody waits for it or not.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn(work)
    }

    /// Does `work` there; it is dropped if this is. Nothing where it panicked.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let mut running = JoinSet::new();
        running.spawn_on(work, &self.handle);
        running.join_next().await?.ok()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // to wait for them here would hold up whoever drops this, perhaps one of them
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn what_never_waits_holds_up_nobody_here() {
        let threads = Threads::start().expect("threads");
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        // the one thread of this test would never come back from it
        let busy = threads.run(async move {
            while !told.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            thread::current().name().map(str::to_owned)
        });
        let other = async { is_over.store(true, Ordering::Relaxed) };
        let (name, ()) = futures::join!(busy, other);
        assert_eq!(name.flatten().as_deref(), Some("hitherto-sql"));
    }

    #[tokio::test]
    async fn what_panics_or_is_dropped_is_gone() {
        let threads = Threads::start().expect("threads");
        let died: Option<()> = threads.run(async { panic!("a fault that no query should have") }).await;
        assert_eq!(died, None);
        let held = Arc::new(());
        let kept = Arc::clone(&held);
        let mut running = Box::pin(threads.run(async move {
            std::future::pending::<()>().await;
            drop(kept);
        }));
        assert!(futures::poll!(running.as_mut()).is_pending());
        drop(running);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
