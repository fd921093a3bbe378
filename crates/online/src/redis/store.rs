//! The Redis store's calls.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use hitherto_core::Name;
use redis::{Cmd, Script, Value};

use super::address::{Address, Kind};
use super::dial::{Dial, Expected, Link};
use super::keys::Keys;
use super::read::{self, Answers, Asked, Part, Want, least};
use super::script::{self, Begun, Entry, Scripts};
use super::servers::{Call, Reply, Servers};
use crate::batch::{Limit, pieces};
use crate::{
    Advance, Answer, Error, Group, Location, Marks, OnlineRow, OnlineStore, Reading, Result, Run, Write, Written,
    record,
};

/// Rows of one script call: the server does nothing else for about a millisecond.
const CALL: Limit = Limit { rows: 256, bytes: 1 << 20 };
/// Rows of one round trip of a write.
const ROUND_TRIP: Limit = Limit { rows: 8 * CALL.rows, bytes: 4 * CALL.bytes };

/// A store in Redis, from 5.0 on: one server, the master that Sentinels name, or a cluster.
///
/// It connects when it is first called. A connection that breaks is made again by itself, and a call that found it
/// broken is tried once more. Reads have connections of their own, so that a bulk write does not stand before them.
pub struct RedisStore {
    reads: Servers,
    writes: Servers,
    scripts: Scripts,
    keys: Keys,
    name: String,
}

impl RedisStore {
    /// The store at `redis://[user[:password]@]host[:port][/db]`, `redis-sentinel://…host:port,…/NAME[/db]` or
    /// `redis-cluster://…host:port,…`; with `rediss` in the place of `redis`, encrypted. A server that is down is told of by
    /// the first call, so that what does not need it goes on, and what serves from it can wait for it.
    pub fn new(location: impl Into<Location>, project: &Name) -> Result<Self> {
        let location = location.into();
        let address = Address::parse(&location)?;
        let (expected, keys) = match &address.kind {
            Kind::Server(_) | Kind::Socket(_) => (Expected::Server, Keys::of_server(project)),
            Kind::Sentinels { .. } => (Expected::Master, Keys::of_server(project)),
            Kind::Cluster(_) => (Expected::Node, Keys::of_cluster(project)),
        };
        let servers = |patience_s| {
            let tls = address.is_tls.then_some(&location.tls);
            let dial = Dial::new(address.settings.clone(), tls, expected, Duration::from_secs(patience_s))?;
            Ok::<_, Error>(Servers::new(&address.kind, dial))
        };
        Ok(Self { reads: servers(1)?, writes: servers(10)?, scripts: Scripts::new(), keys, name: address.name() })
    }

    async fn run(
        &self,
        doing: &'static str,
        servers: &Servers,
        calls: &[Call],
        script: Option<&Script>,
    ) -> Result<Vec<Reply>> {
        servers.run(calls, script).await.map_err(|failure| failure.named(doing, &self.name))
    }

    fn call(&self, bucket: usize, command: Cmd) -> Call {
        Call { slot: self.keys.slot(bucket), command }
    }

    /// Runs one script on the marks of a reading in some of its buckets; it answers with an array of two.
    async fn run_on_marks(
        &self,
        script: &Script,
        reading: &Reading,
        args: impl Iterator<Item = (usize, Vec<Vec<u8>>)> + Send,
    ) -> Result<Vec<(Value, Value)>> {
        let calls = args.map(|(bucket, args)| {
            let keys = [self.keys.marks(reading, bucket)];
            self.call(bucket, script::call(script, &keys, args.iter().map(Vec::as_slice)))
        });
        let calls: Vec<Call> = calls.collect();
        let replies = self.run("move the marks in", &self.writes, &calls, Some(script)).await?;
        let pair = |reply: Reply| match reply.value {
            Value::Array(mut pair) if pair.len() == 2 => {
                let second = pair.swap_remove(1);
                Ok((pair.swap_remove(0), second))
            }
            _ => Err(self.corrupt("the marks", reading, "redis answered with something else")),
        };
        replies.into_iter().map(pair).collect()
    }

    /// Moves the marks in these buckets; the marks of each that did not let itself be moved.
    async fn advance_in(
        &self,
        buckets: std::ops::Range<usize>,
        reading: &Reading,
        begun: &[Begun],
        to: Marks,
    ) -> Result<Vec<Option<Marks>>> {
        let args = buckets.map(|bucket| {
            let Begun { entry, server } = &begun[bucket];
            let nonce = script::parse(entry).map_or(&[][..], |entry| entry.nonce);
            (bucket, vec![entry.clone(), server.clone(), Entry::bytes(nonce, Some(to))])
        });
        let args: Vec<_> = args.collect();
        let mut held = Vec::new();
        for (done, entry) in self.run_on_marks(&self.scripts.advance, reading, args.into_iter()).await? {
            if done != Value::Int(1) {
                held.push(self.entry(reading, &entry)?.and_then(|entry| entry.marks));
            }
        }
        held.retain(|held| *held != Some(to));
        Ok(held)
    }

    fn begun(&self, reading: &Reading, run: &Run) -> Result<Vec<Begun>> {
        let begun = script::begun(run.witness()).filter(|begun| begun.len() == self.keys.buckets());
        begun.ok_or_else(|| Error::ForeignRun { reading: reading.to_string() })
    }

    fn row(&self, reading: &Reading, value: Value) -> Result<Option<OnlineRow>> {
        match value {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => record::row(bytes.into()).map(Some),
            _ => Err("redis answered with something else"),
        }
        .map_err(|problem| self.corrupt("a row", reading, problem))
    }

    fn entry<'a>(&self, reading: &Reading, value: &'a Value) -> Result<Option<Entry<'a>>> {
        match value {
            Value::Nil => Ok(None),
            Value::BulkString(entry) if entry.is_empty() => Ok(None),
            Value::BulkString(entry) => script::parse(entry).map(Some),
            _ => Err("redis answered with something else"),
        }
        .map_err(|problem| self.corrupt("the marks", reading, problem))
    }

    fn corrupt(&self, what: &str, reading: &Reading, problem: &'static str) -> Error {
        Error::Corrupt { what: format!("{what} of {reading}"), store: self.name.clone(), problem }
    }

    /// A read while a slot moves: its keys are on two servers, and no command finds them all. They are asked for one by one,
    /// in a second round trip the rows, so that none can be older than the marks say.
    async fn read_apart(&self, groups: &[Group<'_>], asked: &[Asked]) -> Result<Vec<Answer>> {
        let mut answers = Answers::new(groups);
        for part in [Part::Marks, Part::Rows] {
            let mut wants = Vec::new();
            let mut calls = Vec::new();
            for asked in asked {
                for (want, command) in asked.apart(part) {
                    wants.push(want);
                    calls.push(self.call(asked.bucket, command));
                }
            }
            let replies = self.run("read from", &self.reads, &calls, None).await?;
            for (want, Reply { value, link }) in wants.into_iter().zip(replies) {
                self.fill(&mut answers, groups, want, value, &link)?;
            }
        }
        Ok(answers.done())
    }

    fn fill(&self, answers: &mut Answers, groups: &[Group<'_>], want: Want, value: Value, link: &Link) -> Result<()> {
        match want {
            Want::Marks(group) => {
                let entry = self.entry(groups[group].reading, &value)?;
                let is_stale = entry.is_some_and(|entry| is_of_another(entry.server, &link.server));
                answers.marks(group, entry.and_then(|entry| entry.marks), is_stale);
            }
            Want::Row(group, index) => answers.row(group, index, self.row(groups[group].reading, value)?),
        }
        Ok(())
    }

    /// The calls that write these rows: each of one bucket, whose rows are compared and set together.
    fn supersede(&self, reading: &Reading, begun: &[Begun], writes: &[Write]) -> Vec<Call> {
        let mut buckets: Vec<Vec<&Write>> = vec![Vec::new(); self.keys.buckets()];
        for write in writes {
            buckets[self.keys.bucket(&write.key)].push(write);
        }
        let mut calls = Vec::new();
        for (bucket, writes) in buckets.iter().enumerate() {
            let nonce = script::parse(&begun[bucket].entry).map_or(&[][..], |entry| entry.nonce);
            for piece in pieces(writes, CALL) {
                let records: Vec<Vec<u8>> = piece.iter().map(|write| record_of(&write.row)).collect();
                let rows = piece.iter().map(|write| self.keys.row(reading, &write.key));
                let keys: Vec<Vec<u8>> = std::iter::once(self.keys.marks(reading, bucket)).chain(rows).collect();
                let args = std::iter::once(nonce).chain(records.iter().map(Vec::as_slice));
                calls.push(self.call(bucket, script::call(&self.scripts.supersede, &keys, args)));
            }
        }
        calls
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
        let asked = read::asked(&self.keys, groups);
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let calls: Vec<Call> = asked.iter().map(|asked| self.call(asked.bucket, asked.command())).collect();
        let replies = match self.reads.run(&calls, None).await {
            Ok(replies) => replies,
            Err(failure) if failure.is_of_a_moving_slot() => return self.read_apart(groups, &asked).await,
            Err(failure) => return Err(failure.named("read from", &self.name)),
        };
        let mut answers = Answers::new(groups);
        for (asked, Reply { value, link }) in asked.iter().zip(replies) {
            let values = match value {
                Value::Array(values) if values.len() == asked.wants.len() => values,
                _ => return Err(self.corrupt("rows", groups[0].reading, "redis answered with something else")),
            };
            for (want, value) in asked.wants.iter().zip(values) {
                self.fill(&mut answers, groups, *want, value, &link)?;
            }
        }
        Ok(answers.done())
    }

    async fn write(&self, reading: &Reading, run: &Run, writes: &[Write]) -> Result<Written> {
        let begun = self.begun(reading, run)?;
        let mut total = Written::default();
        for round_trip in pieces(writes, ROUND_TRIP) {
            let calls = self.supersede(reading, &begun, round_trip);
            let replies = self.run("write to", &self.writes, &calls, Some(&self.scripts.supersede)).await?;
            if replies.iter().any(|reply| matches!(reply.value, Value::Int(..0))) {
                return Err(Error::Overtaken { reading: reading.to_string() });
            }
            let counts = replies.iter().map(|reply| if let Value::Int(count) = reply.value { count } else { 0 });
            let written: u64 = counts.map(|count| u64::try_from(count).unwrap_or(0)).sum();
            total += Written { written, superseded: (round_trip.len() as u64).saturating_sub(written) };
        }
        Ok(total)
    }

    async fn erase(&self, reading: &Reading, key: &[u8]) -> Result<bool> {
        let own = self.keys.bucket(key);
        // every bucket is told: runs that have begun are to write no more, whatever they write
        let calls = (0..self.keys.buckets()).map(|bucket| {
            let marks = self.keys.marks(reading, bucket);
            let keys = if bucket == own { vec![marks, self.keys.row(reading, key)] } else { vec![marks] };
            self.call(bucket, script::call(&self.scripts.erase, &keys, std::iter::once(&script::nonce()[..])))
        });
        let calls: Vec<Call> = calls.collect();
        let replies = self.run("erase from", &self.writes, &calls, Some(&self.scripts.erase)).await?;
        match replies.get(own).map(|reply| &reply.value) {
            Some(Value::Int(deleted)) => Ok(*deleted > 0),
            _ => Err(self.corrupt("a row", reading, "redis answered with something else")),
        }
    }

    async fn marks(&self, readings: &[Reading]) -> Result<Vec<Option<Marks>>> {
        let groups: Vec<Group<'_>> = readings.iter().map(|reading| Group { reading, keys: &[] }).collect();
        Ok(self.read(&groups).await?.into_iter().map(|answer| answer.marks).collect())
    }

    async fn begin(&self, reading: &Reading) -> Result<Run> {
        let args = (0..self.keys.buckets()).map(|bucket| (bucket, vec![script::nonce().to_vec()]));
        let mut begun = Vec::with_capacity(self.keys.buckets());
        let mut marks = Vec::with_capacity(self.keys.buckets());
        for answer in self.run_on_marks(&self.scripts.begin, reading, args).await? {
            let (Value::BulkString(entry), Value::BulkString(server)) = answer else {
                return Err(self.corrupt("the marks", reading, "redis answered with something else"));
            };
            let parsed = script::parse(&entry).map_err(|problem| self.corrupt("the marks", reading, problem))?;
            marks.push(parsed.marks);
            begun.push(Begun { entry, server });
        }
        Ok(Run::new(marks.into_iter().reduce(least).flatten(), script::witness(&begun)))
    }

    async fn advance(&self, reading: &Reading, run: &Run, to: Marks) -> Result<Advance> {
        if let Some(from) = run.marks().filter(|from| to.sequence < from.sequence || to.clock < from.clock) {
            return Err(Error::Backward { reading: reading.to_string(), from, to });
        }
        let begun = self.begun(reading, run)?;
        // the first bucket decides which of several runs moves the marks; the others follow it
        let mut held = self.advance_in(0..1, reading, &begun, to).await?;
        if held.is_empty() && begun.len() > 1 {
            held = self.advance_in(1..begun.len(), reading, &begun, to).await?;
        }
        Ok(match held.into_iter().reduce(least) {
            None => Advance::Done,
            Some(held) => Advance::Moved(held),
        })
    }

    async fn ping(&self) -> Result<()> {
        let calls: Vec<Call> = (0..self.keys.buckets()).map(|bucket| self.call(bucket, redis::cmd("PING"))).collect();
        self.run("reach", &self.reads, &calls, None).await.map(drop)
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

fn record_of(row: &OnlineRow) -> Vec<u8> {
    let mut record = Vec::new();
    record::push_row(&mut record, row);
    record
}

/// Whether marks were written to another run of the server, so that rows may have been lost since. A run that is not told
/// may be any.
fn is_of_another(noted: &[u8], server: &str) -> bool {
    !noted.is_empty() && !server.is_empty() && noted != server.as_bytes()
}
