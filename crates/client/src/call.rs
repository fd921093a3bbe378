//! One call: sent with a timeout, its failure put into words.

use std::time::Duration;

use hitherto_proto::{Error as WireError, Failure, MESSAGE_BYTES_MAX, kind, v1};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::error::first_cause;
use crate::{Client, Error, Result};

/// What tonic says when the timeout of a request is over, as a status that no server sent.
const TIMEOUT_EXPIRED: &str = "Timeout expired";

/// The generated clients, each sharing the connection.
macro_rules! services {
    ($($name:ident: $module:ident::$client:ident),* $(,)?) => {
        impl Client {
            $(pub(crate) fn $name(&self) -> v1::$module::$client<Channel> {
                v1::$module::$client::new(self.channel.clone())
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(MESSAGE_BYTES_MAX)
            })*
        }
    };
}

services! {
    online_features_service: online_features_client::OnlineFeaturesClient,
    ingest_service: ingest_client::IngestClient,
    registry_service: registry_client::RegistryClient,
    models_service: models_client::ModelsClient,
    training_sets_service: training_sets_client::TrainingSetsClient,
}

/// One call on its way: its words for errors, and its timeout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    client: &'a Client,
    words: &'static str,
    timeout: Duration,
}

impl Client {
    /// A call that is, in words that follow "could not", `words`.
    pub(crate) fn call(&self, words: &'static str) -> Call<'_> {
        Call { client: self, words, timeout: self.timeouts.request }
    }
}

impl Call<'_> {
    /// The same with another timeout.
    pub(crate) fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The request to send.
    pub(crate) fn send<T, M>(self, wanted: T) -> Result<Request<M>>
    where
        M: TryFrom<T, Error: Into<WireError>>,
    {
        let message =
            M::try_from(wanted).map_err(|source| Error::Request { call: self.words, source: source.into() })?;
        Ok(self.send_message(message))
    }

    /// The request to send, of a message that is complete.
    pub(crate) fn send_message<M>(self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        if let Some(shown) = &self.client.authorization {
            request.metadata_mut().insert("authorization", shown.clone());
        }
        request
    }

    /// The request that opens a stream of messages, which goes on for as long as it likes.
    pub(crate) fn open<S>(self, messages: S) -> Request<S> {
        let mut request = Request::new(messages);
        if let Some(shown) = &self.client.authorization {
            request.metadata_mut().insert("authorization", shown.clone());
        }
        request
    }

    /// What the server answered.
    pub(crate) fn receive<M, T>(self, answer: Result<Response<M>, Status>) -> Result<T>
    where
        T: TryFrom<M, Error: Into<WireError>>,
    {
        T::try_from(self.receive_message(answer)?)
            .map_err(|source| Error::Answer { call: self.words, source: source.into() })
    }

    /// The items of a list that the server answered.
    pub(crate) fn receive_all<M, T>(self, sent: Vec<M>) -> Result<Vec<T>>
    where
        T: TryFrom<M, Error: Into<WireError>>,
    {
        let items = sent.into_iter().map(|item| T::try_from(item).map_err(Into::into)).collect::<Result<_, _>>();
        items.map_err(|source| Error::Answer { call: self.words, source })
    }

    /// The message that the server answered.
    pub(crate) fn receive_message<M>(self, answer: Result<Response<M>, Status>) -> Result<M> {
        answer.map(Response::into_inner).map_err(|status| self.failed(status))
    }

    /// How the call failed.
    pub(crate) fn failed(self, status: Status) -> Error {
        let (call, url) = (self.words, self.client.url.to_string());
        let timed_out = status.code() == Code::Cancelled && status.message() == TIMEOUT_EXPIRED;
        if timed_out || status.code() == Code::DeadlineExceeded {
            return Error::TimedOut { call, url, after: self.timeout };
        }
        // a status that a server sent has no source
        match std::error::Error::source(&status).map(first_cause) {
            Some(reason) => {
                let kind = match status.code() {
                    // hyper's errors of a broken connection
                    Code::Unknown | Code::Internal => hitherto_core::Kind::Unavailable,
                    code => kind(code),
                };
                Error::Lost { call, url, reason, kind, source: Box::new(status) }
            }
            None => Error::Server(Failure::from(&status)),
        }
    }
}
