//! Batches made in a thread of their own, a few ahead of who takes them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::Stream;
use tokio::sync::mpsc;

use super::InputError;
use super::open::InputFile;

/// A batch ends when it has this many rows,
pub(super) const BATCH_ROWS: usize = 8192;
/// or about this many bytes.
pub(super) const BATCH_BYTES: usize = 4 << 20;
/// A row of text that is longer than this is refused.
pub(super) const ROW_BYTES_MAX: usize = 64 << 20;
/// Batches that wait to be taken.
const BATCHES_AHEAD: usize = 2;

/// A stream of batches of one schema; after an error it ends.
///
/// Only a stream that ends without an error has given all rows: take nothing for done before.
#[derive(Debug)]
pub struct Batches {
    schema: SchemaRef,
    files: Arc<[InputFile]>,
    reading: Arc<AtomicUsize>,
    receiver: mpsc::Receiver<Message>,
    is_done: bool,
}

#[derive(Debug)]
enum Message {
    Batch(RecordBatch),
    Failed(Box<InputError>),
    /// All rows are read. A channel that closes without it belongs to a thread that died.
    End,
}

/// Where a thread puts its batches.
pub(super) struct Sink {
    sender: mpsc::Sender<Message>,
    reading: Arc<AtomicUsize>,
}

/// Why a thread stops before the end.
pub(super) enum Halt {
    /// Nobody takes batches any more.
    Unwanted,
    Failed(InputError),
}

impl From<InputError> for Halt {
    fn from(error: InputError) -> Self {
        Self::Failed(error)
    }
}

impl Batches {
    /// The batches that `read` makes of `files`. Must be called in a Tokio runtime.
    pub(super) fn spawn(
        schema: SchemaRef,
        files: Arc<[InputFile]>,
        read: impl FnOnce(&[InputFile], &Sink) -> Result<(), Halt> + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let reading = Arc::new(AtomicUsize::new(0));
        let sink = Sink { sender, reading: Arc::clone(&reading) };
        let read_files = Arc::clone(&files);
        tokio::task::spawn_blocking(move || {
            let last = match read(&read_files, &sink) {
                Ok(()) => Message::End,
                Err(Halt::Failed(error)) => Message::Failed(Box::new(error)),
                Err(Halt::Unwanted) => return,
            };
            // copies on disk are gone before the end is told
            drop(read_files);
            // nobody may be left to hear it
            let _ = sink.sender.blocking_send(last);
        });
        Self { schema, files, reading, receiver, is_done: false }
    }

    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Stream for Batches {
    type Item = Result<RecordBatch, InputError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let message = ready!(self.receiver.poll_recv(cx));
        self.is_done = !matches!(message, Some(Message::Batch(_)));
        Poll::Ready(match message {
            Some(Message::Batch(batch)) => Some(Ok(batch)),
            Some(Message::Failed(error)) => Some(Err(*error)),
            Some(Message::End) => None,
            None => {
                let file = self.files.get(self.reading.load(Ordering::Relaxed));
                Some(Err(InputError::Stopped { file: file.map_or_else(|| "-".to_owned(), |file| file.name.clone()) }))
            }
        })
    }
}

impl Sink {
    /// Says which file is being read, for the case that its decoder dies.
    pub(super) fn enter(&self, file: usize) {
        self.reading.store(file, Ordering::Relaxed);
    }

    pub(super) fn put(&self, batch: RecordBatch) -> Result<(), Halt> {
        self.sender.blocking_send(Message::Batch(batch)).map_err(|_| Halt::Unwanted)
    }
}
