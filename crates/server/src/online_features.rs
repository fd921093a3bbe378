//! `OnlineFeatures`: the latest features of entity keys.

use std::convert::Infallible;
use std::sync::Arc;

use hitherto_core::{Cells, KeyType, KeyValue, Selector, ValueType};
use hitherto_engine::{Consumer, LookupRequest, PackedLookup, Route, ServingPlan};
use hitherto_online::spans;
use hitherto_proto::v1::GetFeaturesRequest;
use hitherto_proto::{
    AnswerCodec, AnswerEnd, AnswerFormat, AnswerWriter, Column, EventTimes, GetFeatures, MESSAGE_BYTES_MAX, ModelPin,
    Watermark,
};
use tokio::time::Instant;
use tonic::codegen::{Body, BoxFuture, Context, Poll, Service as HttpService, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tracing::Instrument;

use crate::account::{Account, Phase};
use crate::answer::{Refusal, answer_in_time};
use crate::arrow_answer::ipc_stream;
use crate::deadline::Deadline;
use crate::metrics::AskedModel;
use crate::set_series::Tally;
use crate::shared::Shared;

/// The path of its one method.
pub(crate) const GET_FEATURES: &str = "/hitherto.v1.OnlineFeatures/GetFeatures";

/// The service. It is made by hand, since its answers are written as bytes: to make a message of each costs several times what
/// the values do.
#[derive(Clone, Debug)]
pub(crate) struct Service(Arc<Shared>);

/// The service, to be mounted.
pub(crate) fn service(shared: Arc<Shared>) -> Service {
    Service(shared)
}

impl NamedService for Service {
    const NAME: &'static str = "hitherto.v1.OnlineFeatures";
}

impl<B> HttpService<http::Request<B>> for Service
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != GET_FEATURES {
            return Box::pin(async { Ok(Status::unimplemented("").into_http()) });
        }
        let service = GetFeaturesService(Arc::clone(&self.0));
        Box::pin(async move {
            let limit = Some(MESSAGE_BYTES_MAX);
            let mut grpc = Grpc::new(AnswerCodec).apply_max_message_size_config(limit, limit);
            Ok(grpc.unary(service, request).await)
        })
    }
}

/// Its one method.
pub(crate) struct GetFeaturesService(pub(crate) Arc<Shared>);

impl UnaryService<GetFeaturesRequest> for GetFeaturesService {
    type Response = Vec<u8>;
    type Future = BoxFuture<Response<Vec<u8>>, Status>;

    fn call(&mut self, request: Request<GetFeaturesRequest>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let account = Account::open(Deadline::of(&request));
            let work = get(&shared, request.into_inner(), &account);
            answer_in_time(&shared, &shared.reads, &account, 0, work).await
        })
    }
}

async fn get(shared: &Arc<Shared>, sent: GetFeaturesRequest, account: &Account) -> Result<Vec<u8>, Refusal> {
    let GetFeatures { consumer, entities, request_fields, event_times, routing_key, format } = sent.try_into()?;
    let (consumer, alias) = match consumer {
        hitherto_proto::Consumer::FeatureSet(set) => (Consumer::FeatureSet(set), None),
        hitherto_proto::Consumer::Model(model) => {
            let alias = if let Selector::Alias(_, alias) = &model { Some(alias.clone()) } else { None };
            (Consumer::Model(model), alias)
        }
    };
    let Shared { serving, metrics, shadows, .. } = &**shared;
    // from here on one route and one of its plans: nothing that changes meanwhile can mix two versions
    let span = tracing::trace_span!(target: spans::STEP, "plan");
    let route = serving.route(&consumer).instrument(span).await;
    account.asked(Some(consumer), entities.first().map_or(0, Column::len));
    let route = route?;
    let plan = route.choose(routing_key.as_deref(), |name, key_type| first_key(&entities, name, key_type));
    account.answered_by(plan);
    let copied = shadows.copy(metrics, &route, plan, alias.as_ref(), [&entities, &request_fields]);
    let started = Instant::now();
    let outcome = read(shared, &route, plan, entities, request_fields, account).await;
    if let Some(model) = &plan.model {
        let word = if outcome.is_ok() { "answered" } else { "failed" };
        metrics.model_read(&AskedModel { model, alias: alias.as_ref() }, word, started.elapsed());
    }
    let found = outcome?;
    let compared = match copied {
        Some(copied) => Some((copied, found.to_lookup()?.columns)),
        None => None,
    };
    let model = plan.model.clone().map(|version| ModelPin { version, alias });
    let mut tally = Tally::new(plan);
    let answer = tracing::trace_span!(target: spans::STEP, "encode")
        .in_scope(|| written(plan, &found, model.as_ref(), event_times, format, &mut tally))?;
    metrics.looked_up(plan, &found, &tally);
    account.answered(answer.len());
    // the answer is complete: a shadow can neither delay nor spoil it
    if let Some((copied, answered)) = compared {
        copied.spawn(Arc::clone(shared), route, answered);
    }
    Ok(answer)
}

async fn read<'a>(
    shared: &Shared,
    route: &Route,
    plan: &'a ServingPlan,
    entities: Vec<Column>,
    request_fields: Vec<Column>,
    account: &Account,
) -> Result<PackedLookup<'a>, Refusal> {
    let span = tracing::trace_span!(target: spans::STEP, "keys");
    let wanted = span.in_scope(|| {
        let entities = entity_keys(plan, entities)?;
        Ok::<_, Refusal>(LookupRequest { entities, request: request_values(plan, route, request_fields)? })
    })?;
    let prepared = span.in_scope(|| plan.prepare(&wanted))?;
    drop(span);
    account.enter(Phase::Store);
    let found = shared.serving.read(&prepared).await;
    account.enter(Phase::Own);
    Ok(shared.serving.answer(&prepared, found?)?)
}

/// The message of the answer; what it holds is counted into `tally`.
fn written(
    plan: &ServingPlan,
    found: &PackedLookup<'_>,
    model: Option<&ModelPin>,
    event_times: EventTimes,
    format: AnswerFormat,
    tally: &mut Tally,
) -> Result<Vec<u8>, Refusal> {
    let arrow = match format {
        AnswerFormat::Columns => None,
        AnswerFormat::Arrow => Some(ipc_stream(found)?),
    };
    let none = |value_type: &ValueType| arrow.is_some().then(|| Cells::new(value_type));
    // name, type and lengths of a column, and for a row a status and a number of the usual size
    let bytes = 256 + plan.outputs.len() * (40 + found.rows() * 8);
    let mut writer = AnswerWriter::with_capacity(bytes);
    found.each_feature(|output, statuses, cells| {
        tally.count(Some(output.view), statuses);
        let none = none(&output.value_type);
        let cells = none.as_ref().unwrap_or(cells);
        writer.column(&output.name, &output.value_type, Some(output.view), statuses, cells).map_err(Refusal::from)
    })?;
    for column in found.transformed() {
        tally.count(None, &column.statuses);
        let cells = none(&column.value_type).unwrap_or_else(|| Cells::Values(column.values.clone()));
        writer.column(&column.name, &column.value_type, column.view, &column.statuses, &cells)?;
    }
    for (planned, view) in plan.views.iter().zip(found.views()) {
        let times = view.rows.iter().map(|row| row.event_timestamp);
        let watermark = Watermark {
            sequence: view.marks.sequence,
            clock: view.marks.clock,
            lag: view.lag,
            is_stale: view.is_stale,
        };
        let times = (event_times == EventTimes::Include).then_some(times);
        writer.view(&planned.view_use.view, planned.view_use.alias.as_str(), times, watermark);
    }
    Ok(writer.finish(AnswerEnd {
        feature_set: &plan.feature_set,
        feature_set_hash: &plan.feature_set_hash,
        model,
        clock: found.at(),
        rows: found.rows(),
        arrow: arrow.as_deref(),
    }))
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
