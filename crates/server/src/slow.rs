//! The log of slow requests.

use std::time::Duration;

use hitherto_engine::Consumer;
use tonic::Code;

use crate::account::{Account, Phase, Subject};
use crate::throttle::Throttle;
use crate::traces;

/// Says which requests took long and where their time went; never a key or a value of them; and in which trace
/// it is told, if it is in one. One a second at most, lest a
/// server that has much to do has more.
#[derive(Debug)]
pub(crate) struct SlowLog {
    /// None: no request is slow.
    from: Option<Duration>,
    throttle: Throttle,
}

impl SlowLog {
    /// Logs what took so long or longer.
    pub(crate) fn new(from: Option<Duration>) -> Self {
        Self { from, throttle: Throttle::default() }
    }

    /// A request has ended.
    pub(crate) fn ended(&self, method: &'static str, code: Code, account: &Account) {
        let Some(from) = self.from else { return };
        let times = account.times();
        if times.total() < from {
            return;
        }
        let Some(left_out) = self.throttle.pass() else { return };
        let Subject { consumer, plan, rows, bytes } = account.subject();
        let micros = |phase| times.of(phase).as_micros() as u64;
        let text = |name: Option<String>| name.unwrap_or_default();
        tracing::warn!(
            method,
            code = ?code,
            consumer = text(consumer.as_deref().map(words)),
            feature_set = text(plan.as_ref().map(|plan| plan.feature_set.to_string())),
            model = text(plan.as_ref().and_then(|plan| plan.model.as_ref().map(ToString::to_string))),
            rows,
            bytes,
            receive_us = micros(Phase::Receive),
            queue_us = micros(Phase::Queue),
            own_us = micros(Phase::Own),
            store_us = micros(Phase::Store),
            left_out,
            trace_id = text(traces::trace_id()),
            "slow request: {:.1} ms",
            times.total().as_secs_f64() * 1e3
        );
    }
}

fn words(consumer: &Consumer) -> String {
    match consumer {
        Consumer::FeatureSet(set) => format!("feature set {set}"),
        Consumer::Model(model) => format!("model {model}"),
    }
}
