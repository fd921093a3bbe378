//! Pushing rows.

use futures::SinkExt;
use futures::channel::mpsc;
use hitherto_core::Kind;
use hitherto_proto::{Failure, Push, Pushed, v1};
use tonic::{Status, Streaming};

use crate::{Client, Error, Result};

/// What the calls are, in words that follow "could not".
const WORDS: &str = "push rows";

impl Client {
    /// Appends a batch of rows to a feature view, all or none.
    ///
    /// Never sent twice by itself. With a batch id it may be sent again after any error; without one it must not be
    /// after [`Error::TimedOut`](crate::Error::TimedOut) or [`Error::Lost`](crate::Error::Lost).
    pub async fn push(&self, push: Push) -> Result<Pushed> {
        let call = self.call(WORDS);
        call.receive(self.ingest_service().push(call.send(push)?).await)
    }

    /// Opens a stream on which many batches are on their way at once: what is sent at one end is answered, in the same order, at
    /// the other. It has no timeout, and ends when the first end is dropped and everything is answered.
    ///
    /// The two ends belong into two tasks, or the answers are read between the pushes: a server that waits for its answers to be
    /// read takes no more. To drop both before all is answered is to cancel what is on its way.
    ///
    /// ```no_run
    /// # async fn run(client: hitherto_client::Client, batches: Vec<hitherto_client::Push>) -> hitherto_client::Result<()> {
    /// let (mut pushes, mut answers) = client.push_stream().await?;
    /// let sending = async move {
    ///     for batch in batches {
    ///         pushes.send(batch).await?;
    ///     }
    ///     Ok::<_, hitherto_client::Error>(())
    /// };
    /// let reading = async {
    ///     while let Some(answer) = answers.next().await? {
    ///         match answer {
    ///             Ok(pushed) => println!("{} rows", pushed.rows),
    ///             Err(refused) => println!("refused: {refused}"),
    ///         }
    ///     }
    ///     Ok::<_, hitherto_client::Error>(())
    /// };
    /// futures::try_join!(sending, reading)?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn push_stream(&self) -> Result<(Pushes, PushAnswers)> {
        // what waits to be sent waits with whoever has it
        let (sender, messages) = mpsc::channel(0);
        let call = self.call(WORDS);
        let answers = call.receive_message(self.ingest_service().push_stream(call.open(messages)).await)?;
        let client = self.clone();
        Ok((Pushes { client: client.clone(), sender }, PushAnswers { client, answers }))
    }
}

/// The end of a stream at which batches go in. Dropped, it ends the stream once all is answered.
#[derive(Debug)]
pub struct Pushes {
    client: Client,
    sender: mpsc::Sender<v1::PushRequest>,
}

impl Pushes {
    /// Sends one more batch, as soon as the server takes it: that it is kept is said by its answer alone.
    ///
    /// An error is of this batch, which was not sent, or of a stream that has ended, of which the answers tell why.
    pub async fn send(&mut self, push: Push) -> Result<()> {
        let message = self.client.call(WORDS).send::<_, v1::PushRequest>(push)?.into_inner();
        self.sender.send(message).await.map_err(|_| {
            let ended = "could not push rows: the stream has ended, and its answers tell why";
            Error::Server(Failure::new(Kind::Unavailable, ended))
        })
    }
}

/// The end of a stream at which the answers come out, one for each batch, in their order.
#[derive(Debug)]
pub struct PushAnswers {
    client: Client,
    answers: Streaming<v1::PushResponse>,
}

impl PushAnswers {
    /// What became of the next batch: a batch that was refused is an error within the answer, and the stream goes on. None when
    /// every batch is answered and no more are sent.
    ///
    /// An error beside it is of the stream: what was not answered by then may be kept or not, and can be sent again where it has a
    /// batch id.
    pub async fn next(&mut self) -> Result<Option<Result<Pushed>>> {
        let answer = self.answers.message().await.map_err(|status| self.client.call(WORDS).failed(status))?;
        Ok(answer.map(|mut answer| match answer.error.take() {
            Some(error) => Err(Error::Server(Failure::from(&Status::from(error)))),
            None => Ok(answer.into()),
        }))
    }
}
