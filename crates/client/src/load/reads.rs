//! Reads of a feature set.

use hitherto_core::Selector;
use hitherto_proto::v1;
use v1::get_features_request::Consumer;
use v1::values::Kind;

use super::answer::taken;
use super::target::only_key;
use super::wire::Wire;
use super::{Error, Failed, Keys, Random, Result, Taken, Target, Work};
use crate::Client;

/// What follows "could not".
const WORDS: &str = "get features";
const PATH: &str = "/hitherto.v1.OnlineFeatures/GetFeatures";

/// Reads of a feature set, each for so many entities.
///
/// Answers are read where they lie: every name, type, status and number of them, without a message made of it.
#[derive(Clone, Debug)]
pub struct Reads {
    wires: Vec<Wire>,
    feature_set: String,
    key: String,
    entities: usize,
    keys: Keys,
    seed: u64,
    answers: Answers,
}

/// What is done with an answer.
#[derive(Clone, Copy, Debug)]
enum Answers {
    Read,
    Unread,
}

impl Reads {
    /// Connects, and asks which key the feature set is read by.
    pub async fn connect(target: &Target, feature_set: &Selector, entities: usize) -> Result<Self> {
        let key = only_key(&target.client().await?, feature_set).await?;
        let mut wires = Vec::with_capacity(target.connections.max(1));
        for _ in 0..target.connections.max(1) {
            let wire = Wire::connect(&target.url, PATH, target.timeout).await;
            wires.push(wire.ok_or_else(|| Error::Unsupported {
                what: target.url.clone(),
                reason: "reads are made over plain HTTP/2: write it like http://127.0.0.1:7420".to_owned(),
            })?);
        }
        let (keys, seed) = (target.keys.clone(), target.seed);
        let (feature_set, entities, answers) = (feature_set.to_string(), entities.max(1), Answers::Read);
        Ok(Self { wires, feature_set, key, entities, keys, seed, answers })
    }

    /// The same, with answers left as the bytes that they are: a client that costs as little as one can. No values are
    /// counted, and only an answer without bytes is taken for wrong.
    pub fn unread(self) -> Self {
        Self { answers: Answers::Unread, ..self }
    }
}

impl Work for Reads {
    fn connections(&self) -> usize {
        self.wires.len()
    }

    async fn send(&self, number: u64) -> Result<Taken, Failed> {
        let mut random = Random::of(self.seed, number);
        let keys = (0..self.entities).map(|_| self.keys.draw(&mut random)).collect();
        let wire = &self.wires[(number % self.wires.len() as u64) as usize];
        let answer = wire.call(&wanted(&self.feature_set, int64s(&self.key, keys))).await?;
        match self.answers {
            Answers::Read => taken(&answer, self.entities),
            Answers::Unread if answer.is_empty() => Err(Failed::WRONG_ANSWER),
            Answers::Unread => Ok(Taken::default()),
        }
    }
}

/// One read, with event times.
pub(super) async fn read(
    client: &Client,
    feature_set: &str,
    entities: v1::Column,
) -> crate::Result<v1::GetFeaturesResponse> {
    let call = client.call(WORDS);
    let request = call.send_message(wanted(feature_set, entities));
    call.receive_message(client.online_features_service().get_features(request).await)
}

fn wanted(feature_set: &str, entities: v1::Column) -> v1::GetFeaturesRequest {
    v1::GetFeaturesRequest {
        consumer: Some(Consumer::FeatureSet(feature_set.to_owned())),
        entities: vec![entities],
        ..v1::GetFeaturesRequest::default()
    }
}

/// A column of integers without a null.
pub(super) fn int64s(name: &str, values: Vec<i64>) -> v1::Column {
    column(name, "int64", Kind::Int64s(v1::Int64s { values }))
}

/// A column without a null.
pub(super) fn column(name: &str, value_type: &str, kind: Kind) -> v1::Column {
    v1::Column {
        name: name.to_owned(),
        r#type: value_type.to_owned(),
        values: Some(v1::Values { kind: Some(kind) }),
        validity: Vec::new(),
    }
}
