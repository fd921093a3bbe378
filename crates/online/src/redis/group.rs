//! The commands of one round that go to one server, in one round trip.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, Script, ServerErrorKind, Value};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::dial::Link;
use super::failure::{Failure, ends_connection};
use super::node::{Node, Place};
use super::servers::Call;
use crate::spans;

/// A call that is still to be answered, by the server of its slot, or by the one to which the slot is moving.
pub(super) struct Open {
    pub(super) call: usize,
    pub(super) asking: Option<Arc<Node>>,
}

/// Calls to one server.
pub(super) struct Group {
    pub(super) node: Arc<Node>,
    /// Whether the server does not have the slot yet, and has to be told that we know.
    pub(super) is_asking: bool,
    /// Which calls.
    pub(super) members: Vec<usize>,
}

/// What became of a group.
pub(super) enum Outcome {
    /// A value for each member, some of which may be errors.
    Answered(Arc<Link>, Vec<Value>),
    /// There is no connection to the server.
    Unreached(Failure),
    /// The connection broke, and nobody knows what was done.
    Broken(Failure),
    /// It would be no use to try again.
    Failed(Failure),
}

impl Group {
    /// Sends the calls. A server that does not know the script is told it, for the next time.
    pub(super) async fn send(self, calls: &[Call], script: Option<&Script>) -> (Self, Outcome) {
        let span = self.span();
        let (group, outcome) = self.sent(calls, script).instrument(span.clone()).await;
        if !matches!(outcome, Outcome::Answered(..)) {
            span.record("otel.status_code", "ERROR");
        }
        (group, outcome)
    }

    /// The round trip's span: which server, how many commands, and nothing of them.
    fn span(&self) -> Span {
        let span = tracing::trace_span!(
            target: spans::STEP,
            "redis",
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = "redis",
            db.operation.batch.size = self.members.len() as i64,
            server.address = Empty,
            server.port = Empty,
        );
        if span.is_disabled() {
            return span;
        }
        match &self.node.place {
            Place::Host((host, port)) => {
                span.record("server.address", host.as_str()).record("server.port", i64::from(*port));
            }
            Place::Socket(path) => {
                span.record("server.address", path.display().to_string());
            }
            // which server it is now, the Sentinels know
            Place::Master { name, .. } => {
                span.record("server.address", name.as_str());
            }
        }
        span
    }

    async fn sent(self, calls: &[Call], script: Option<&Script>) -> (Self, Outcome) {
        let link = match self.node.link().await {
            Ok(link) => link,
            Err(failure @ Failure::Unfit(_)) => return (self, Outcome::Failed(failure)),
            Err(failure) => return (self, Outcome::Unreached(failure)),
        };
        let outcome = match self.exchange(&link, calls, script).await {
            Ok(values) => Outcome::Answered(link, values),
            Err(error) => {
                if ends_connection(&error) {
                    self.node.let_go(&link);
                }
                // what was not answered in time would not be the second time
                let is_worth_another = ends_connection(&error) && !error.is_timeout();
                if is_worth_another { Outcome::Broken(error.into()) } else { Outcome::Failed(error.into()) }
            }
        };
        (self, outcome)
    }

    async fn exchange(&self, link: &Link, calls: &[Call], script: Option<&Script>) -> Result<Vec<Value>, RedisError> {
        let mut connection = link.connection.clone();
        let values = match (self.members.as_slice(), self.is_asking) {
            // as a read of one server is: nothing of it is copied into a pipeline
            ([only], false) => vec![connection.send_packed_command(&calls[*only].command).await?],
            _ => self.send_pipeline(&mut connection, calls).await?,
        };
        let is_unknown = |value: &Value| matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript));
        if let (Some(script), true) = (script, values.iter().any(is_unknown)) {
            script.load_async(&mut connection).await?;
        }
        Ok(values)
    }

    async fn send_pipeline(
        &self,
        connection: &mut MultiplexedConnection,
        calls: &[Call],
    ) -> Result<Vec<Value>, RedisError> {
        let mut pipeline = Pipeline::with_capacity(self.members.len());
        for call in &self.members {
            if self.is_asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(calls[*call].command.clone());
        }
        let values = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await?;
        Ok(if self.is_asking { values.into_iter().skip(1).step_by(2).collect() } else { values })
    }
}
