//! Pushes of one row, each read until it is there.

use std::time::{Duration, Instant};

use hitherto_core::{KeyType, Name, Selector, ValueType, ViewVersion};
use hitherto_proto::v1;
use v1::values::Kind;

use super::reads::{column, int64s, read};
use super::target::only_key;
use super::{Error, Failed, Keys, Random, Result, Taken, Target, Work};
use crate::Client;

/// How long after a read that came too early the next one follows.
const AGAIN: Duration = Duration::from_millis(1);
/// Values are below this.
const BOUND: u64 = 1 << 40;

/// Pushes of one row to a feature view. A push is done when a read has seen its row, or one about a later event.
#[derive(Clone, Debug)]
pub struct Pushes {
    clients: Vec<Client>,
    view: Name,
    columns: Columns,
    feature_set: String,
    key: String,
    keys: Keys,
    seed: u64,
    timeout: Duration,
    clock: Clock,
}

/// The source's columns of a view.
#[derive(Clone, Debug)]
struct Columns {
    key: String,
    event_time: String,
    features: Vec<String>,
}

/// The server's clock: what it said once, and when that was here. The answer was on its way meanwhile, so this is never
/// ahead of the server, and a row's event is never in its future.
#[derive(Clone, Copy, Debug)]
struct Clock {
    said_us: i64,
    at: Instant,
}

impl Pushes {
    /// Connects, asks for the view's columns and, through the feature set, what the view is read by and the server's time.
    pub async fn connect(target: &Target, view: &Name, feature_set: &Selector) -> Result<Self> {
        let clients = target.connect().await?;
        let columns = columns(client(&clients, 0), view).await?;
        let key = only_key(client(&clients, 0), feature_set).await?;
        let answer = read(client(&clients, 0), &feature_set.to_string(), int64s(&key, vec![0])).await?;
        let clock = Clock { said_us: answer.clock_us, at: Instant::now() };
        if !answer.views.iter().any(|read| read.name == view.as_str()) {
            let reason = format!("{view} is not among its views");
            return Err(Error::Unsupported { what: feature_set.to_string(), reason });
        }
        Ok(Self {
            clients,
            view: view.clone(),
            columns,
            feature_set: feature_set.to_string(),
            key,
            keys: target.keys.clone(),
            seed: target.seed,
            timeout: target.timeout,
            clock,
        })
    }

    fn request(&self, key: i64, event_us: i64, random: &mut Random) -> v1::PushRequest {
        let Columns { key: key_column, event_time, features } = &self.columns;
        let times = Kind::TimestampsUs(v1::Int64s { values: vec![event_us] });
        let mut columns = vec![int64s(key_column, vec![key]), column(event_time, "timestamp", times)];
        columns.extend(features.iter().map(|feature| int64s(feature, vec![random.below(BOUND) as i64])));
        v1::PushRequest { view: self.view.to_string(), columns, ..v1::PushRequest::default() }
    }

    /// Whether the answer has the event of the row that was pushed, or a later one.
    fn has_reached(&self, answer: &v1::GetFeaturesResponse, event_us: i64) -> bool {
        let view = answer.views.iter().find(|view| view.name == self.view.as_str());
        let Some(view) = view else { return false };
        let is_there = view.event_time_validity.first().copied().unwrap_or(true);
        is_there && view.event_times_us.first().is_some_and(|read| *read >= event_us)
    }
}

impl Work for Pushes {
    fn connections(&self) -> usize {
        self.clients.len()
    }

    async fn send(&self, number: u64) -> Result<Taken, Failed> {
        let begun = Instant::now();
        let mut random = Random::of(self.seed, number);
        let key = self.keys.draw(&mut random);
        let event_us = self.clock.now_us();
        let client = client(&self.clients, number);
        let call = client.call("push a row");
        let request = call.send_message(self.request(key, event_us, &mut random));
        let pushed = call.receive_message(client.ingest_service().push(request).await)?;
        if pushed.rows != 1 {
            return Err(Failed::WRONG_ANSWER);
        }
        let acknowledged = Some(Instant::now());
        loop {
            let answer = read(client, &self.feature_set, int64s(&self.key, vec![key])).await?;
            if self.has_reached(&answer, event_us) {
                return Ok(Taken { acknowledged, ..Taken::default() });
            }
            if begun.elapsed() > self.timeout {
                return Err(Failed::NOT_READABLE);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

impl Clock {
    fn now_us(self) -> i64 {
        self.said_us.saturating_add(i64::try_from(self.at.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}

fn client(clients: &[Client], number: u64) -> &Client {
    &clients[(number % clients.len() as u64) as usize]
}

/// The columns that a row of the view needs: one int64 key, int64 features, and an event time.
async fn columns(client: &Client, view: &Name) -> Result<Columns> {
    let ViewVersion { keys, definition, .. } = client.feature_view(&Selector::Latest(view.clone())).await?;
    let no = |reason: &str| Err(Error::Unsupported { what: view.to_string(), reason: reason.to_owned() });
    let [key] = &keys[..] else { return no("its rows must have one key") };
    if key.key_type != KeyType::Int64 || definition.features.iter().any(|each| each.value_type != ValueType::Int64) {
        return no("its key and its features must be int64");
    }
    if definition.created_timestamp.is_some() {
        return no("its rows must have no created time");
    }
    Ok(Columns {
        key: key.column.clone(),
        event_time: definition.event_timestamp,
        features: definition.features.into_iter().map(|feature| feature.column).collect(),
    })
}
