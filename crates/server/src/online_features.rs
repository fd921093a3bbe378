//! `OnlineFeatures`: the latest features of entity keys.

use std::sync::Arc;

use hitherto_core::{KeyType, KeyValue, Selector};
use hitherto_engine::{Consumer, Lookup, LookupRequest, LookupView, Route, ServingPlan};
use hitherto_online::spans;
use hitherto_proto::v1::online_features_server::{OnlineFeatures, OnlineFeaturesServer};
use hitherto_proto::v1::{GetFeaturesRequest, GetFeaturesResponse};
use hitherto_proto::{
    AnswerFormat, Column, EventTimes, FeatureColumn, Features, GetFeatures, MESSAGE_BYTES_MAX, ModelPin, ViewAnswer,
    Watermark, answer_bytes,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use tracing::Instrument;

use crate::account::{Account, Phase};
use crate::answer::{Refusal, answer_in_time};
use crate::arrow_answer::ipc_stream;
use crate::deadline::Deadline;
use crate::metrics::AskedModel;
use crate::shared::Shared;

/// The service.
#[derive(Debug)]
pub(crate) struct Service(pub(crate) Arc<Shared>);

/// The service, to be mounted.
pub(crate) fn service(shared: Arc<Shared>) -> OnlineFeaturesServer<Service> {
    OnlineFeaturesServer::new(Service(shared))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl OnlineFeatures for Service {
    async fn get_features(
        &self,
        request: Request<GetFeaturesRequest>,
    ) -> Result<Response<GetFeaturesResponse>, Status> {
        let account = Account::open(Deadline::of(&request));
        let work = self.get(request.into_inner(), &account);
        answer_in_time(&self.0, &self.0.reads, &account, 0, work).await
    }
}

impl Service {
    async fn get(&self, sent: GetFeaturesRequest, account: &Account) -> Result<GetFeaturesResponse, Refusal> {
        let GetFeatures { consumer, entities, request_fields, event_times, routing_key, format } = sent.try_into()?;
        let (consumer, alias) = match consumer {
            hitherto_proto::Consumer::FeatureSet(set) => (Consumer::FeatureSet(set), None),
            hitherto_proto::Consumer::Model(model) => {
                let alias = if let Selector::Alias(_, alias) = &model { Some(alias.clone()) } else { None };
                (Consumer::Model(model), alias)
            }
        };
        let Shared { serving, metrics, shadows, .. } = &*self.0;
        // from here on one route and one of its plans: nothing that changes meanwhile can mix two versions
        let span = tracing::trace_span!(target: spans::STEP, "plan");
        let route = serving.route(&consumer).instrument(span).await;
        account.asked(Some(consumer), entities.first().map_or(0, Column::len));
        let route = route?;
        let plan = route.choose(routing_key.as_deref(), |name, key_type| first_key(&entities, name, key_type));
        account.answered_by(plan);
        let copied = shadows.copy(metrics, &route, plan, alias.as_ref(), [&entities, &request_fields]);
        let started = Instant::now();
        let outcome = self.read(&route, plan, entities, request_fields, account).await;
        if let Some(model) = &plan.model {
            let word = if outcome.is_ok() { "answered" } else { "failed" };
            metrics.model_read(&AskedModel { model, alias: alias.as_ref() }, word, started.elapsed());
        }
        let found = outcome?;
        metrics.looked_up(plan, &found);
        let compared = copied.map(|copied| (copied, found.columns.clone()));
        let response = tracing::trace_span!(target: spans::STEP, "encode").in_scope(|| {
            let mut features = features_of(found, event_times, format)?;
            if let Some(pin) = &mut features.model {
                pin.alias = alias;
            }
            Ok::<GetFeaturesResponse, Refusal>(features.try_into()?)
        })?;
        account.answered(answer_bytes(&response));
        // the answer is complete: a shadow can neither delay nor spoil it
        if let Some((copied, answered)) = compared {
            copied.spawn(Arc::clone(&self.0), route, answered);
        }
        Ok(response)
    }

    async fn read(
        &self,
        route: &Route,
        plan: &ServingPlan,
        entities: Vec<Column>,
        request_fields: Vec<Column>,
        account: &Account,
    ) -> Result<Lookup, Refusal> {
        let span = tracing::trace_span!(target: spans::STEP, "keys");
        let wanted = span.in_scope(|| {
            let entities = entity_keys(plan, entities)?;
            Ok::<_, Refusal>(LookupRequest { entities, request: request_values(plan, route, request_fields)? })
        })?;
        let prepared = span.in_scope(|| plan.prepare(&wanted))?;
        drop(span);
        account.enter(Phase::Store);
        let found = self.0.serving.read(&prepared).await;
        account.enter(Phase::Own);
        Ok(self.0.serving.answer(&prepared, found?)?)
    }
}

/// The first row's value of an entity column, where there is one that can be a key.
fn first_key(columns: &[Column], name: &str, key_type: KeyType) -> Option<KeyValue> {
    let column = columns.iter().find(|column| column.name == name)?;
    let first = Column::new(name, column.value_type.clone(), vec![column.values.first()?.clone()]);
    // a wrong type is refused where the column is read
    first.into_keys(key_type).ok()?.pop().flatten()
}

/// A column's name and its parts of entity keys; none matches nothing.
pub(crate) type KeyColumn = (String, Vec<Option<KeyValue>>);

/// The columns that the plan reads, as keys. Others are left aside: a caller may send what it has.
pub(crate) fn entity_keys(plan: &ServingPlan, columns: Vec<Column>) -> Result<Vec<KeyColumn>, Refusal> {
    let key_type = |name: &str| -> Option<KeyType> {
        plan.views.iter().flat_map(|view| &view.keys).find(|(column, _)| column == name).map(|(_, key_type)| *key_type)
    };
    let mut unread = None;
    let mut keys = Vec::with_capacity(columns.len());
    for column in columns {
        let name = column.name.clone();
        match key_type(&name) {
            Some(key_type) => keys.push((name, column.into_keys(key_type)?)),
            None => unread = Some((name, vec![None; column.len()])),
        }
    }
    if keys.is_empty() {
        // the verb says which column is missing, and whether this one is near
        keys.extend(unread);
    }
    Ok(keys)
}

/// The request fields that the plan reads. Those that another version of the route reads are left aside; those that none
/// knows are refused.
pub(crate) fn request_values(
    plan: &ServingPlan,
    route: &Route,
    columns: Vec<Column>,
) -> Result<Vec<(String, Vec<hitherto_core::Value>)>, Refusal> {
    let mut fields = Vec::with_capacity(columns.len());
    for column in columns {
        let of = |plan: &ServingPlan| plan.request.iter().position(|(name, _)| name.as_str() == column.name);
        let Some(field) = of(plan) else {
            if route.plans().any(|other| of(other).is_some()) {
                continue;
            }
            let known = plan.request.iter().map(|(name, _)| name.as_str());
            let hint = hitherto_core::did_you_mean(&column.name, known)
                .map(|near| format!(" (did you mean '{near}'?)"))
                .unwrap_or_default();
            let message = format!("{} has no request field '{}'{hint}", plan.feature_set, column.name);
            return Err(Refusal::invalid(&column.name, message));
        };
        let Column { name, values, .. } = column.widened(&plan.request[field].1)?;
        fields.push((name, values));
    }
    Ok(fields)
}

fn features_of(found: Lookup, event_times: EventTimes, format: AnswerFormat) -> Result<Features, Refusal> {
    let arrow = match format {
        AnswerFormat::Columns => None,
        AnswerFormat::Arrow => Some(ipc_stream(&found)?),
    };
    let columns = found.columns.into_iter().map(|column| FeatureColumn {
        name: column.name,
        value_type: column.value_type,
        values: if arrow.is_some() { Vec::new() } else { column.values },
        statuses: column.statuses,
        view: column.view,
    });
    Ok(Features {
        columns: columns.collect(),
        views: found.views.into_iter().map(|view| view_answer(view, event_times)).collect::<Result<_, _>>()?,
        feature_set: found.feature_set,
        feature_set_hash: found.feature_set_hash,
        model: found.model.map(|version| ModelPin { version, alias: None }),
        clock: found.at,
        rows: found.rows,
        arrow,
    })
}

fn view_answer(view: LookupView, event_times: EventTimes) -> Result<ViewAnswer, Refusal> {
    let invalid = |reason: hitherto_core::NameError| hitherto_proto::Error::Invalid {
        field: "alias",
        reason: reason.to_string(),
    };
    let LookupView { marks, lag, is_stale, .. } = view;
    Ok(ViewAnswer {
        view: view.view,
        alias: view.alias.parse().map_err(invalid)?,
        event_times: (event_times == EventTimes::Include).then_some(view.event_timestamps),
        watermark: Some(Watermark { sequence: marks.sequence, clock: marks.clock, lag, is_stale }),
    })
}
