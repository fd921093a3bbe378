//! Whether the server can answer, and how far what it answers lies behind.

use std::future::Future;
use std::time::Duration;

use hitherto_core::{Name, Span, Timestamp};
use hitherto_engine::ServedReading;
use hitherto_online::{Answer, Group, Marks, Reading};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::answer::text_of;
use crate::shared::Shared;

/// A store that has not answered by then does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long strangers are told the same.
const LATELY: Duration = Duration::from_secs(1);

/// What has reached the online store of one reading.
#[derive(Clone, Debug)]
pub(crate) struct ViewMarks {
    pub(crate) view: Name,
    pub(crate) reading: Reading,
    pub(crate) marks: Option<Marks>,
    /// None where nothing ever reached it.
    pub(crate) lag: Option<Span>,
    /// Whether rows may have been lost that had reached it.
    pub(crate) is_stale: bool,
}

/// What `/readyz` says.
#[derive(Debug)]
pub(crate) struct Readiness {
    pub(crate) is_ready: bool,
    pub(crate) body: Value,
}

/// Whether the server was ready a moment ago: whoever asks without a token makes no work of each question.
#[derive(Debug, Default)]
pub(crate) struct LatelyReady(tokio::sync::Mutex<Option<(Instant, bool)>>);

impl LatelyReady {
    /// What was found a moment ago, or else what `asked` finds. Who comes meanwhile waits for that.
    pub(crate) async fn get(&self, asked: impl Future<Output = bool> + Send) -> bool {
        let mut last = self.0.lock().await;
        match *last {
            Some((at, is_ready)) if at.elapsed() < LATELY => is_ready,
            _ => {
                let is_ready = asked.await;
                *last = Some((Instant::now(), is_ready));
                is_ready
            }
        }
    }
}

/// Asks the online store, and tells what is known of the rest.
///
/// Not ready is a server whose online store does not answer, or may have lost rows and has not been given them again, nor one
/// that has just been started on a store that lacks what its own follower is about to bring. One whose registry cannot be read goes on with its last plans: it is ready, and says so.
pub(crate) async fn readiness(shared: &Shared) -> Readiness {
    let engine = shared.engine();
    let background = shared.snapshot();
    let (store, asked) = match engine.online() {
        Ok(online) => (Some(online.describe()), in_time(online.ping()).await),
        Err(error) => (None, Err(text_of(&error))),
    };
    let views = match &asked {
        Ok(()) => view_marks(shared, &background.served).await,
        Err(problem) => Err(problem.clone()),
    };
    let is_first_run_awaited = shared.follows && !background.has_followed;
    let missing = |views: &[ViewMarks]| lost(views).or_else(|| is_first_run_awaited.then(|| absent(views)).flatten());
    let problem = asked.err().or_else(|| views.as_ref().err().cloned()).or_else(|| missing(views.as_deref().ok()?));
    let is_ready = problem.is_none();
    let body = json!({
        "ready": is_ready,
        "project": engine.project().as_str(),
        "registry": {
            "revision": shared.serving.revision(),
            "problem": background.registry_problem,
        },
        "online": { "store": store, "problem": problem },
        "follower": { "problem": background.follower_problem, "rebuilding": background.rebuilding },
        "views": views.unwrap_or_default().iter().map(describe).collect::<Vec<_>>(),
        "clock": clock(shared),
    });
    Readiness { is_ready, body }
}

/// What has reached the online store of each of these readings.
pub(crate) async fn view_marks(shared: &Shared, served: &[ServedReading]) -> Result<Vec<ViewMarks>, String> {
    let online = shared.engine().online().map_err(|error| text_of(&error))?;
    // what was seen before the question cannot be behind its answer
    let before = shared.snapshot();
    let groups: Vec<Group<'_>> = served.iter().map(|served| Group { reading: &served.id, keys: &[] }).collect();
    let answers = in_time(online.read(&groups)).await?;
    let now = shared.engine().clock().now();
    let view_marks = |(served, answer): (&ServedReading, Answer)| {
        let Answer { marks, is_stale, .. } = answer;
        if let Some(marks) = marks {
            shared.background().see(&served.id, marks);
        }
        ViewMarks {
            view: served.view.clone(),
            reading: served.id.clone(),
            marks,
            lag: marks.map(|marks| now.since(marks.clock)),
            is_stale: is_stale || before.has_gone_back(&served.id, marks),
        }
    };
    Ok(served.iter().zip(answers).map(view_marks).collect())
}

/// What is said of views whose rows may have been lost.
fn lost(views: &[ViewMarks]) -> Option<String> {
    let names = names(views, |view| view.is_stale)?;
    Some(format!(
        "it was restarted, replaced or emptied, and may have lost rows of {names}; the next run of the follower, or \
         `hitherto materialize`, brings them again"
    ))
}

/// What is said of views that nothing has reached, while the first run of a follower is awaited: the store may have been emptied
/// when nobody looked. A view that is new later is no reason to call a server unready that was ready before.
fn absent(views: &[ViewMarks]) -> Option<String> {
    let names = names(views, |view| view.marks.is_none())?;
    Some(format!("it has no rows of {names} yet; the first run of the follower brings them"))
}

/// The views that are so; none where none is.
fn names(views: &[ViewMarks], is_so: impl Fn(&ViewMarks) -> bool) -> Option<String> {
    let mut names: Vec<&str> = views.iter().filter(|view| is_so(view)).map(|view| view.view.as_str()).collect();
    names.dedup();
    (!names.is_empty()).then(|| names.join(", "))
}

async fn in_time<T>(asked: impl Future<Output = hitherto_online::Result<T>> + Send) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| text_of(&error)),
        Err(_) => Err(format!("it has not answered for {} s", PATIENCE.as_secs())),
    }
}

fn describe(view: &ViewMarks) -> Value {
    json!({
        "view": view.view.as_str(),
        "reading": view.reading.as_str(),
        "sequence": view.marks.map(|marks| marks.sequence),
        "clock": view.marks.map(|marks| marks.clock.to_string()),
        "lag_us": view.lag.map(Span::micros),
        "stale": view.is_stale,
    })
}

fn clock(shared: &Shared) -> Value {
    let clock = shared.engine().clock();
    let now: Timestamp = clock.now();
    let warning = clock.is_frozen().then(|| pretended(now));
    json!({ "now": now.to_string(), "pretended": clock.is_frozen(), "warning": warning })
}

/// What is said loudly of a pretended clock.
pub(crate) fn pretended(now: Timestamp) -> String {
    format!("THE CLOCK IS PRETENDED: it stands still at {now}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_again_at_once_is_told_the_same() {
        let lately = LatelyReady::default();
        assert!(lately.get(async { true }).await);
        assert!(lately.get(async { panic!("it is not asked again") }).await);
        *lately.0.lock().await = Some((Instant::now() - LATELY, true));
        assert!(!lately.get(async { false }).await);
    }
}
