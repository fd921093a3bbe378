//! Reads of a feature set.

use hitherto_core::Selector;
use hitherto_proto::v1;
use tonic::Request;
use v1::get_features_request::Consumer;
use v1::values::Kind;

use super::target::only_key;
use super::unread::answered_bytes;
use super::{Failed, Keys, Random, Result, Taken, Target, Work};
use crate::Client;
use crate::call::Call;

/// What follows "could not".
const WORDS: &str = "get features";

/// Reads of a feature set, each for so many entities.
///
/// Answers stay the messages of the wire: their values are looked at, and not turned into values of the client's types.
#[derive(Clone, Debug)]
pub struct Reads {
    clients: Vec<Client>,
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
        let clients = target.connect().await?;
        let key = only_key(&clients[0], feature_set).await?;
        let (keys, seed) = (target.keys.clone(), target.seed);
        let (feature_set, entities, answers) = (feature_set.to_string(), entities.max(1), Answers::Read);
        Ok(Self { clients, feature_set, key, entities, keys, seed, answers })
    }

    /// The same, with answers left as the bytes that they are: a client that costs as little as one can. No values are
    /// counted, and only an answer without bytes is taken for wrong.
    pub fn unread(self) -> Self {
        Self { answers: Answers::Unread, ..self }
    }
}

impl Work for Reads {
    fn connections(&self) -> usize {
        self.clients.len()
    }

    async fn send(&self, number: u64) -> Result<Taken, Failed> {
        let mut random = Random::of(self.seed, number);
        let keys = (0..self.entities).map(|_| self.keys.draw(&mut random)).collect();
        let client = &self.clients[(number % self.clients.len() as u64) as usize];
        let entities = int64s(&self.key, keys);
        if let Answers::Unread = self.answers {
            let call = client.call(WORDS);
            let answer = answered_bytes(client, request(call, &self.feature_set, entities)).await;
            let bytes = call.receive_message(answer)?;
            return if bytes > 0 { Ok(Taken::default()) } else { Err(Failed::WRONG_ANSWER) };
        }
        let answer = read(client, &self.feature_set, entities).await?;
        if answer.rows != self.entities as u64 {
            return Err(Failed::WRONG_ANSWER);
        }
        let present = i32::from(v1::Status::Present);
        let mut taken = Taken::default();
        for column in &answer.columns {
            let there = column.statuses.iter().filter(|status| **status == present).count();
            taken.present += there as u64;
            taken.absent += (column.statuses.len() - there) as u64;
        }
        Ok(taken)
    }
}

/// One read, with event times.
pub(super) async fn read(
    client: &Client,
    feature_set: &str,
    entities: v1::Column,
) -> crate::Result<v1::GetFeaturesResponse> {
    let call = client.call(WORDS);
    let request = request(call, feature_set, entities);
    call.receive_message(client.online_features_service().get_features(request).await)
}

fn request(call: Call<'_>, feature_set: &str, entities: v1::Column) -> Request<v1::GetFeaturesRequest> {
    call.send_message(v1::GetFeaturesRequest {
        consumer: Some(Consumer::FeatureSet(feature_set.to_owned())),
        entities: vec![entities],
        ..v1::GetFeaturesRequest::default()
    })
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
