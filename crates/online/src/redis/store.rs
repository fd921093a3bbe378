//! The Redis store's calls.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use hitherto_core::Name;
use redis::{Cmd, Script, Value};

use super::address::{Address, Kind};
use super::believed::Believed;
use super::dial::{Dial, Expected, Link};
use super::keys::Keys;
use super::read::{self, Answers, Asked, Part, Want, least};
use super::script::{self, Begun, Entry, Scripts, Witness};
use super::servers::{Call, Reply, Servers};
use crate::batch::{Limit, pieces};
use crate::{
    Advance, Answer, Error, Generation, Group, Location, Marks, OnlineRow, OnlineStore, Reading, Result, Run, Write,
    Written, record,
};

/// Rows of one script call: the server does nothing else for about a millisecond.
const CALL: Limit = Limit { rows: 256, bytes: 1 << 20 };
/// Rows of one round trip of a write.
const ROUND_TRIP: Limit = Limit { rows: 8 * CALL.rows, bytes: 4 * CALL.bytes };
/// How often a read asks again because a generation has taken another's place. Buckets of a cluster do so one by one.
const READS_MAX: usize = 16;

/// A store in Redis, from 5.0 on: one server, the master that Sentinels name, or a cluster.
///
/// It connects when it is first called. A connection that breaks is made again by itself, and a call that found it
/// broken is tried once more. Reads have connections of their own, so that a bulk write does not stand before them.
pub struct RedisStore {
    reads: Servers,
    pub(super) writes: Servers,
    pub(super) scripts: Scripts,
    pub(super) keys: Keys,
    believed: Believed,
    pub(super) name: String,
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
        let (reads, writes) = (servers(1)?, servers(10)?);
        let (scripts, believed) = (Scripts::new(), Believed::new());
        Ok(Self { reads, writes, scripts, keys, believed, name: address.name() })
    }

    pub(super) async fn run(
        &self,
        doing: &'static str,
        servers: &Servers,
        calls: &[Call],
        script: Option<&Script>,
    ) -> Result<Vec<Reply>> {
        servers.run(calls, script).await.map_err(|failure| failure.named(doing, &self.name))
    }

    pub(super) fn call(&self, bucket: usize, command: Cmd) -> Call {
        Call { slot: self.keys.slot(bucket), command }
    }

    /// Runs one script on the entry of a reading, or of its next generation, in some of its buckets; it answers with an array of
    /// two.
    async fn run_on_marks(
        &self,
        script: &Script,
        reading: &Reading,
        beside: Option<Generation>,
        args: impl Iterator<Item = (usize, Vec<Vec<u8>>)> + Send,
    ) -> Result<Vec<(Value, Value)>> {
        let calls = args.map(|(bucket, args)| {
            let keys = [self.keys.entry(reading, beside, bucket)];
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

    /// Begins a run in every bucket. Where there is no entry one is made, but for a next generation.
    pub(super) async fn begin_in(
        &self,
        reading: &Reading,
        beside: Option<Generation>,
    ) -> Result<(Witness, Option<Marks>)> {
        let nonce = || if beside.is_none() { script::nonce().to_vec() } else { Vec::new() };
        let args: Vec<_> = (0..self.keys.buckets()).map(|bucket| (bucket, vec![nonce()])).collect();
        let mut buckets = Vec::with_capacity(self.keys.buckets());
        let mut marks = Vec::with_capacity(self.keys.buckets());
        for answer in self.run_on_marks(&self.scripts.begin, reading, beside, args.into_iter()).await? {
            let (Value::BulkString(entry), Value::BulkString(server)) = answer else {
                return Err(self.corrupt("the marks", reading, "redis answered with something else"));
            };
            if !entry.is_empty() {
                let parsed = script::parse(&entry).map_err(|problem| self.corrupt("the marks", reading, problem))?;
                marks.push(parsed.marks);
            }
            buckets.push(Begun { entry, server });
        }
        Ok((Witness { beside, buckets }, marks.into_iter().reduce(least).flatten()))
    }

    /// Moves the marks in these buckets; the marks of each that did not let itself be moved.
    async fn advance_in(
        &self,
        buckets: &[usize],
        reading: &Reading,
        witness: &Witness,
        to: Marks,
    ) -> Result<Vec<Option<Marks>>> {
        let args = buckets.iter().map(|bucket| {
            let Begun { entry, server } = &witness.buckets[*bucket];
            // the server's run is appended by the script
            let moved = script::parse(entry).map(|entry| Entry { marks: Some(to), server: &[], ..entry }.bytes());
            (*bucket, vec![entry.clone(), server.clone(), moved.unwrap_or_default()])
        });
        let args: Vec<_> = args.collect();
        let mut held = Vec::new();
        for (done, entry) in self.run_on_marks(&self.scripts.advance, reading, witness.beside, args.into_iter()).await?
        {
            if done != Value::Int(1) {
                held.push(self.entry(reading, &entry)?.and_then(|entry| entry.marks));
            }
        }
        held.retain(|held| *held != Some(to));
        Ok(held)
    }

    fn begun(&self, reading: &Reading, run: &Run) -> Result<Witness> {
        let witness = Witness::parse(run.witness()).filter(|begun| begun.buckets.len() == self.keys.buckets());
        witness.ok_or_else(|| Error::ForeignRun { reading: reading.to_string() })
    }

    fn row(&self, reading: &Reading, value: Value) -> Result<Option<OnlineRow>> {
        match value {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => record::row(bytes.into()).map(Some),
            _ => Err("redis answered with something else"),
        }
        .map_err(|problem| self.corrupt("a row", reading, problem))
    }

    pub(super) fn entry<'a>(&self, reading: &Reading, value: &'a Value) -> Result<Option<Entry<'a>>> {
        match value {
            Value::Nil => Ok(None),
            Value::BulkString(entry) if entry.is_empty() => Ok(None),
            Value::BulkString(entry) => script::parse(entry).map(Some),
            _ => Err("redis answered with something else"),
        }
        .map_err(|problem| self.corrupt("the marks", reading, problem))
    }

    pub(super) fn corrupt(&self, what: &str, reading: &Reading, problem: &'static str) -> Error {
        Error::Corrupt { what: format!("{what} of {reading}"), store: self.name.clone(), problem }
    }

    /// One read; none where rows were asked for of a generation that is not the current one.
    async fn read_once(&self, groups: &[Group<'_>]) -> Result<Option<Vec<Answer>>> {
        let asked = read::asked(&self.keys, &self.believed.now(), groups);
        if asked.is_empty() {
            return Ok(Some(Vec::new()));
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
                self.fill(&mut answers, groups, (asked.bucket, *want), value, &link)?;
            }
        }
        Ok((!answers.are_outdated()).then(|| answers.done()))
    }

    /// A read while a slot moves: its keys are on two servers, and no command finds them all. They are asked for one by one,
    /// in a second round trip the rows, so that none can be older than the marks say.
    async fn read_apart(&self, groups: &[Group<'_>], asked: &[Asked]) -> Result<Option<Vec<Answer>>> {
        let mut answers = Answers::new(groups);
        for part in [Part::Marks, Part::Rows] {
            let mut wants = Vec::new();
            let mut calls = Vec::new();
            for asked in asked {
                for (want, command) in asked.apart(part) {
                    wants.push((asked.bucket, want));
                    calls.push(self.call(asked.bucket, command));
                }
            }
            let replies = self.run("read from", &self.reads, &calls, None).await?;
            for (want, Reply { value, link }) in wants.into_iter().zip(replies) {
                self.fill(&mut answers, groups, want, value, &link)?;
            }
        }
        Ok((!answers.are_outdated()).then(|| answers.done()))
    }

    fn fill(
        &self,
        answers: &mut Answers,
        groups: &[Group<'_>],
        (bucket, want): (usize, Want),
        value: Value,
        link: &Link,
    ) -> Result<()> {
        match want {
            Want::Marks(group, asked_for) => {
                let Group { reading, keys } = groups[group];
                let entry = self.entry(reading, &value)?;
                let current = entry.map_or(Generation::FIRST, |entry| entry.numbers.current);
                if current != asked_for {
                    self.believed.learn(reading, bucket, current, self.keys.buckets());
                    // who asks for marks alone has them
                    if !keys.is_empty() {
                        answers.outdate();
                    }
                }
                let is_stale = entry.is_some_and(|entry| is_of_another(entry.server, &link.server));
                answers.marks(group, entry.and_then(|entry| entry.marks), is_stale);
            }
            // rows of another generation are of no use, and may be what it was replaced for
            Want::Row(..) if answers.are_outdated() => {}
            Want::Row(group, index) => answers.row(group, index, self.row(groups[group].reading, value)?),
        }
        Ok(())
    }

    /// The calls that write these rows: each of one bucket, whose rows are compared and set together.
    fn supersede(&self, reading: &Reading, witness: &Witness, writes: &[Write]) -> Vec<Call> {
        let mut buckets: Vec<Vec<&Write>> = vec![Vec::new(); self.keys.buckets()];
        for write in writes {
            buckets[self.keys.bucket(&write.key)].push(write);
        }
        let mut calls = Vec::new();
        let begun = witness.buckets.iter().enumerate().filter(|(_, begun)| !begun.is_left_out());
        for (bucket, begun) in begun {
            let generation = witness.beside.unwrap_or_else(|| begun.current());
            let nonce = script::parse(&begun.entry).map_or(&[][..], |entry| entry.nonce);
            for piece in pieces(&buckets[bucket], CALL) {
                let records: Vec<Vec<u8>> = piece.iter().map(|write| record_of(&write.row)).collect();
                let rows = piece.iter().map(|write| self.keys.row(reading, generation, &write.key));
                let entry = self.keys.entry(reading, witness.beside, bucket);
                let keys: Vec<Vec<u8>> = std::iter::once(entry).chain(rows).collect();
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
        for _ in 0..READS_MAX {
            if let Some(answers) = self.read_once(groups).await? {
                return Ok(answers);
            }
        }
        let problem = format!("a rebuild took the place of its rows each of the {READS_MAX} times that it was asked");
        Err(Error::Busy { doing: "read from", store: self.name.clone(), problem })
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
        self.erase_everywhere(reading, key).await
    }

    async fn marks(&self, readings: &[Reading]) -> Result<Vec<Option<Marks>>> {
        let groups: Vec<Group<'_>> = readings.iter().map(|reading| Group { reading, keys: &[] }).collect();
        Ok(self.read(&groups).await?.into_iter().map(|answer| answer.marks).collect())
    }

    async fn begin(&self, reading: &Reading) -> Result<Run> {
        let (witness, marks) = self.begin_in(reading, None).await?;
        let entries = witness.buckets.iter().filter_map(|begun| script::parse(&begun.entry).ok());
        let beside = entries.filter_map(|entry| entry.numbers.next).max();
        Ok(Run::new(marks, witness.bytes()).with_beside(beside))
    }

    async fn advance(&self, reading: &Reading, run: &Run, to: Marks) -> Result<Advance> {
        if let Some(from) = run.marks().filter(|from| to.sequence < from.sequence || to.clock < from.clock) {
            return Err(Error::Backward { reading: reading.to_string(), from, to });
        }
        let witness = self.begun(reading, run)?;
        let buckets = (0..witness.buckets.len()).filter(|bucket| !witness.buckets[*bucket].is_left_out());
        let buckets: Vec<usize> = buckets.collect();
        // the first bucket decides which of several runs moves the marks; the others follow it
        let (first, others) = buckets.split_at(buckets.len().min(1));
        let mut held = self.advance_in(first, reading, &witness, to).await?;
        if held.is_empty() && !others.is_empty() {
            held = self.advance_in(others, reading, &witness, to).await?;
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
