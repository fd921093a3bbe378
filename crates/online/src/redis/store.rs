//! The Redis store's calls.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use hitherto_core::Name;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, Value};
use tokio::sync::OnceCell;

use super::failure;
use super::keys::Keys;
use super::script::{self, NONCE_LEN, Scripts};
use crate::batch::{Limit, pieces};
use crate::{
    Advance, Answer, Error, Group, Marks, OnlineRow, OnlineStore, Reading, Result, Run, Write, Written, record,
};

/// Rows of one script call: the server does nothing else for about a millisecond.
const CALL: Limit = Limit { rows: 256, bytes: 1 << 20 };
/// Rows of one round trip of a write.
const ROUND_TRIP: Limit = Limit { rows: 8 * CALL.rows, bytes: 4 * CALL.bytes };
/// Keys of one MGET; a read of more is several of them in one round trip.
const READ_KEYS: usize = 10_000;

/// A store in one Redis server, from 5.0 on.
///
/// It connects when it is first called. A connection that breaks is made again by itself, and a call that found it
/// broken is tried once more. Reads have a connection of their own, so that a bulk write does not stand before them.
pub struct RedisStore {
    reads: ConnectionManager,
    writes: ConnectionManager,
    scripts: Scripts,
    keys: Keys,
    name: String,
    /// Whether somebody has looked for eviction.
    eviction: OnceCell<()>,
}

impl RedisStore {
    /// The store at `redis://[user[:password]@]host[:port][/db]`. A server that is down is told of by the first call,
    /// so that what does not need it goes on, and what serves from it can wait for it. Must be called within a runtime.
    pub fn new(url: &str, project: &Name) -> Result<Self> {
        // the library's message is not shown, in case it ever quotes the url
        let client =
            Client::open(url).map_err(|_| Error::Url { problem: "it is not a url of a Redis server".to_owned() })?;
        let connection = client.get_connection_info();
        let name = format!("redis at {}/{}", connection.addr(), connection.redis_settings().db());
        let failed = |source| failure::named("connect to", &name, source);
        let reads = ConnectionManager::new_lazy_with_config(client.clone(), timeouts(1)).map_err(failed)?;
        let writes = ConnectionManager::new_lazy_with_config(client, timeouts(10)).map_err(failed)?;
        let (scripts, keys) = (Scripts::new(), Keys::new(project));
        Ok(Self { reads, writes, scripts, keys, name, eviction: OnceCell::new() })
    }

    /// A server that throws away keys when it is full loses rows without losing marks.
    async fn warn_of_eviction(&self) {
        let info: RedisResult<String> = redis::cmd("INFO").arg("memory").query_async(&mut self.reads.clone()).await;
        let info = info.unwrap_or_default();
        let field = |name: &str| info.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_default();
        let policy = field("maxmemory_policy:");
        if policy.starts_with("allkeys") && field("maxmemory:") != "0" {
            tracing::warn!(store = %self.name, policy, "redis may evict rows unnoticed: set maxmemory-policy noeviction");
        }
    }

    /// Runs a pipeline; once more where the connection turns out to be broken, or the server has forgotten the script.
    async fn run(
        &self,
        doing: &'static str,
        connection: &ConnectionManager,
        pipeline: &Pipeline,
        script: Option<&Script>,
    ) -> Result<Vec<Value>> {
        let mut connection = connection.clone();
        let mut result: RedisResult<Vec<Value>> = pipeline.query_async(&mut connection).await;
        if result.as_ref().is_err_and(is_broken) {
            result = pipeline.query_async(&mut connection).await;
        }
        if let (Some(script), Err(error)) = (script, &result)
            && error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
        {
            result = match script.load_async(&mut connection).await {
                Ok(_) => pipeline.query_async(&mut connection).await,
                Err(error) => Err(error),
            };
        }
        result.map_err(|source| failure::named(doing, &self.name, source))
    }

    /// Runs one script on the marks of a reading; both answer with an array of two.
    async fn run_on_marks(&self, script: &Script, reading: &Reading, args: &[&[u8]]) -> Result<(Value, Value)> {
        let mut pipeline = Pipeline::new();
        let keys = [self.keys.marks(reading)];
        pipeline.add_command(script::call(script, &keys, args.iter().copied()));
        let mut answers = self.run("move the marks in", &self.writes, &pipeline, Some(script)).await?;
        match answers.pop() {
            Some(Value::Array(mut pair)) if pair.len() == 2 => {
                let second = pair.swap_remove(1);
                Ok((pair.swap_remove(0), second))
            }
            _ => Err(self.corrupt("the marks", reading, "redis answered with something else")),
        }
    }

    fn row(&self, reading: &Reading, value: Value) -> Result<Option<OnlineRow>> {
        match value {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => record::row(bytes.into()).map(Some),
            _ => Err("redis answered with something else"),
        }
        .map_err(|problem| self.corrupt("a row", reading, problem))
    }

    fn marks_of(&self, reading: &Reading, value: &Value) -> Result<Option<Marks>> {
        match value {
            Value::Nil => Ok(None),
            Value::BulkString(entry) if entry.is_empty() => Ok(None),
            Value::BulkString(entry) => script::parse(entry).map(|(_, marks)| marks),
            _ => Err("redis answered with something else"),
        }
        .map_err(|problem| self.corrupt("the marks", reading, problem))
    }

    fn corrupt(&self, what: &str, reading: &Reading, problem: &'static str) -> Error {
        Error::Corrupt { what: format!("{what} of {reading}"), store: self.name.clone(), problem }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.name).finish()
    }
}

#[async_trait]
impl OnlineStore for RedisStore {
    async fn read(&self, groups: &[Group<'_>]) -> Result<Vec<Answer>> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        // the marks of all groups come first, so no row can be older than the marks say
        let marks = groups.iter().map(|group| self.keys.marks(group.reading));
        let rows = groups.iter().flat_map(|group| group.keys.iter().map(|key| self.keys.row(group.reading, key)));
        let keys: Vec<Vec<u8>> = marks.chain(rows).collect();
        let mut pipeline = Pipeline::new();
        for piece in keys.chunks(READ_KEYS) {
            pipeline.cmd("MGET").arg(piece);
        }
        let pieces = self.run("read from", &self.reads, &pipeline, None).await?;
        let mut values = pieces.into_iter().flat_map(|piece| match piece {
            Value::Array(values) => values,
            other => vec![other],
        });
        let mut next = || values.next().unwrap_or(Value::Nil);
        let marks: Vec<Value> = groups.iter().map(|_| next()).collect();
        let answer = |(group, marks): (&Group<'_>, Value)| {
            let rows = group.keys.iter().map(|_| self.row(group.reading, next())).collect::<Result<_>>()?;
            Ok(Answer { marks: self.marks_of(group.reading, &marks)?, rows })
        };
        groups.iter().zip(marks).map(answer).collect()
    }

    async fn write(&self, reading: &Reading, run: &Run, writes: &[Write]) -> Result<Written> {
        let Some((nonce, _)) = run.witness().split_at_checked(NONCE_LEN) else {
            return Err(Error::ForeignRun { reading: reading.to_string() });
        };
        let mut total = Written::default();
        for round_trip in pieces(writes, ROUND_TRIP) {
            let mut pipeline = Pipeline::new();
            for piece in pieces(round_trip, CALL) {
                let records: Vec<Vec<u8>> = piece
                    .iter()
                    .map(|write| {
                        let mut out = Vec::new();
                        record::push_row(&mut out, &write.row);
                        out
                    })
                    .collect();
                let rows = piece.iter().map(|write| self.keys.row(reading, &write.key));
                let keys: Vec<Vec<u8>> = std::iter::once(self.keys.marks(reading)).chain(rows).collect();
                let args = std::iter::once(nonce).chain(records.iter().map(Vec::as_slice));
                pipeline.add_command(script::call(&self.scripts.supersede, &keys, args));
            }
            let answers = self.run("write to", &self.writes, &pipeline, Some(&self.scripts.supersede)).await?;
            if answers.iter().any(|answer| matches!(answer, Value::Int(..0))) {
                return Err(Error::Overtaken { reading: reading.to_string() });
            }
            let written: u64 = answers
                .iter()
                .map(|answer| if let Value::Int(count) = answer { u64::try_from(*count).unwrap_or(0) } else { 0 })
                .sum();
            total += Written { written, superseded: (round_trip.len() as u64).saturating_sub(written) };
        }
        Ok(total)
    }

    async fn erase(&self, reading: &Reading, key: &[u8]) -> Result<bool> {
        let mut pipeline = Pipeline::new();
        let keys = [self.keys.marks(reading), self.keys.row(reading, key)];
        let nonce = script::nonce();
        pipeline.add_command(script::call(&self.scripts.erase, &keys, std::iter::once(&nonce[..])));
        let answers = self.run("erase from", &self.writes, &pipeline, Some(&self.scripts.erase)).await?;
        match answers.first() {
            Some(Value::Int(deleted)) => Ok(*deleted > 0),
            _ => Err(self.corrupt("a row", reading, "redis answered with something else")),
        }
    }

    async fn marks(&self, readings: &[Reading]) -> Result<Vec<Option<Marks>>> {
        let groups: Vec<Group<'_>> = readings.iter().map(|reading| Group { reading, keys: &[] }).collect();
        Ok(self.read(&groups).await?.into_iter().map(|answer| answer.marks).collect())
    }

    async fn begin(&self, reading: &Reading) -> Result<Run> {
        let answer = self.run_on_marks(&self.scripts.begin, reading, &[&script::nonce()]).await?;
        let (Value::BulkString(entry), Value::BulkString(server)) = answer else {
            return Err(self.corrupt("the marks", reading, "redis answered with something else"));
        };
        let (nonce, marks) = script::parse(&entry).map_err(|problem| self.corrupt("the marks", reading, problem))?;
        self.eviction.get_or_init(|| self.warn_of_eviction()).await;
        Ok(Run::new(marks, [nonce, &server].concat()))
    }

    async fn advance(&self, reading: &Reading, run: &Run, to: Marks) -> Result<Advance> {
        if let Some(from) = run.marks().filter(|from| to.sequence < from.sequence || to.clock < from.clock) {
            return Err(Error::Backward { reading: reading.to_string(), from, to });
        }
        let Some((nonce, server)) = run.witness().split_at_checked(NONCE_LEN) else {
            return Err(Error::ForeignRun { reading: reading.to_string() });
        };
        let (from, after) = (script::entry(nonce, run.marks()), script::entry(nonce, Some(to)));
        match self.run_on_marks(&self.scripts.advance, reading, &[&from, server, &after]).await? {
            (Value::Int(1), _) => Ok(Advance::Done),
            (_, held) => match self.marks_of(reading, &held)? {
                Some(held) if held == to => Ok(Advance::Done),
                held => Ok(Advance::Moved(held)),
            },
        }
    }

    async fn ping(&self) -> Result<()> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("PING");
        self.run("reach", &self.reads, &pipeline, None).await.map(drop)
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

/// One quick attempt to connect again: a caller would rather hear that Redis is down than wait for it.
fn timeouts(response_s: u64) -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(1)))
        .set_response_timeout(Some(Duration::from_secs(response_s)))
        .set_number_of_retries(1)
        .set_min_delay(Duration::from_millis(50))
        .set_max_delay(Duration::from_millis(100))
        .set_pipeline_buffer_size(1000)
}

fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error() && !error.is_timeout()
}
