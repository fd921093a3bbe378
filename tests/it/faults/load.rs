//! Readers and writers of a running server, who go on whatever happens to it, and note what they are told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hitherto_client::{Client, Column, Consumer, Destination, Error, Features, GetFeatures, Push, Pushed, Timeouts};
use hitherto_core::{Kind, Value, ValueType};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use super::oracle::{Asked, Freshness, Oracle, Row, VIEWS, WRITERS};
use crate::support::Hitherto;
use crate::support::process::{Served, until};
use crate::support::random::Random;

/// Each has a connection of its own, and one request at a time.
pub(super) const READERS: usize = 4;
/// Nothing that is waited for takes longer on a slow machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// So many fresh answers in a row, and a reader is well again: all but the first were asked for after the one before had come.
const IN_A_ROW: u64 = 3;
/// A reader, and a writer, asks no more often: what is tested needs the cores, too.
const PACE: Duration = Duration::from_millis(5);
/// A push waits so long for its answer.
const PUSH_DEADLINE: Duration = Duration::from_secs(2);

/// What readers and writers were told.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Answers that were right.
    pub(super) fresh: u64,
    /// Answers that were right, and called themselves stale.
    pub(super) stale: u64,
    /// Reads that were answered with an error, by what it says.
    pub(super) refused: BTreeMap<&'static str, u64>,
    /// Pushes that were acknowledged.
    pub(super) pushed: u64,
    /// Pushes that were answered with an error, and sent again.
    pub(super) push_refused: BTreeMap<&'static str, u64>,
    /// By view, the last `_sequence` that was acknowledged.
    pub(super) sequences: [i64; 2],
    /// By reader, how many answers were fresh in a row.
    in_a_row: Vec<u64>,
    /// By reader, the model version that has answered last.
    pub(super) versions: Vec<u32>,
    /// How often a reader was answered by another version than before.
    pub(super) changes: usize,
    /// Reads on their way.
    pub(super) waiting: usize,
    /// The first answer that was wrong, or an error that no fault explains.
    wrong: Option<String>,
}

impl Tally {
    /// How many reads were answered with an error.
    pub(super) fn all_refused(&self) -> u64 {
        self.refused.values().sum()
    }

    /// How many reads were answered with an error that says this.
    pub(super) fn refused_as(&self, word: &str) -> u64 {
        self.refused.get(word).copied().unwrap_or(0)
    }

    fn note_wrong(&mut self, wrong: String) {
        self.wrong.get_or_insert(wrong);
    }

    fn note_read(&mut self, reader: usize, outcome: Outcome) {
        let in_a_row = &mut self.in_a_row[reader];
        match outcome {
            Outcome::Right(Freshness::Fresh, version) => {
                *in_a_row += 1;
                self.fresh += 1;
                let last = std::mem::replace(&mut self.versions[reader], version);
                self.changes += usize::from(last != 0 && last != version);
            }
            Outcome::Right(Freshness::Stale, _) => {
                *in_a_row = 0;
                self.stale += 1;
            }
            Outcome::Refused(word) => {
                *in_a_row = 0;
                *self.refused.entry(word).or_default() += 1;
            }
            Outcome::Wrong(wrong) => self.note_wrong(wrong),
        }
    }
}

/// What became of a read.
enum Outcome {
    /// A right answer, and by which model version.
    Right(Freshness, u32),
    Refused(&'static str),
    Wrong(String),
}

/// A load that goes on until [`Load::end`].
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    oracle: Oracle,
    tally: watch::Sender<Tally>,
    /// Where the server is that is asked.
    server: watch::Sender<String>,
    is_over: AtomicBool,
    deadline: Duration,
}

impl Load {
    /// Readers that wait for an answer until `deadline`, and writers.
    pub(super) fn start(served: &Served, oracle: Oracle, deadline: Duration, seed: u64) -> Self {
        let tally = Tally { in_a_row: vec![0; READERS], versions: vec![0; READERS], ..Tally::default() };
        let shared = Arc::new(Shared {
            oracle,
            tally: watch::Sender::new(tally),
            server: watch::Sender::new(served.grpc.clone()),
            is_over: AtomicBool::new(false),
            deadline,
        });
        let random = &mut Random::new(seed);
        let mut tasks = Vec::new();
        for reader in 0..READERS {
            tasks.push(tokio::spawn(read(Arc::clone(&shared), reader, Random::new(random.next()))));
        }
        for writer in 0..WRITERS {
            tasks.push(tokio::spawn(write(Arc::clone(&shared), writer, Random::new(random.next()))));
        }
        Self { shared, tasks }
    }

    /// What was told until now.
    pub(super) fn tally(&self) -> Tally {
        self.shared.tally.borrow().clone()
    }

    /// Waits until the tally is so. A wrong answer ends the test.
    pub(super) async fn wait(&self, what: &str, mut is_so: impl FnMut(&Tally) -> bool + Send) {
        let mut tally = self.shared.tally.subscribe();
        let is_over = tally.wait_for(|tally| tally.wrong.is_some() || is_so(tally));
        match tokio::time::timeout(PATIENCE, is_over).await {
            Ok(Ok(tally)) => assert_eq!(tally.wrong, None, "while it was waited until {what}"),
            _ => panic!("not within {PATIENCE:?}: {what}: {:?}", self.tally()),
        }
    }

    /// Waits for so many fresh answers, and some pushes.
    pub(super) async fn go_on(&self, answers: u64) {
        let before = self.tally();
        let is_so = move |now: &Tally| now.fresh >= before.fresh + answers && now.pushed >= before.pushed + 3;
        self.wait("it answers and takes pushes", is_so).await;
    }

    /// Waits for so many fresh answers.
    pub(super) async fn answer_more(&self, answers: u64) {
        let wanted = self.tally().fresh + answers;
        self.wait("it answers", move |now| now.fresh >= wanted).await;
    }

    /// Waits until so many more reads have come to their end, whatever they were told.
    pub(super) async fn ask_more(&self, reads: u64) {
        let all = |tally: &Tally| tally.fresh + tally.stale + tally.all_refused();
        let wanted = all(&self.tally()) + reads;
        self.wait("reads come to their end", move |now| all(now) >= wanted).await;
    }

    /// Waits until so many more pushes are acknowledged.
    pub(super) async fn push_more(&self, pushes: u64) {
        let wanted = self.tally().pushed + pushes;
        self.wait("pushes are acknowledged", move |now| now.pushed >= wanted).await;
    }

    /// Waits until so many more reads are refused.
    pub(super) async fn refuse(&self, reads: u64) {
        let wanted = self.tally().all_refused() + reads;
        self.wait("reads are refused", move |now| now.all_refused() >= wanted).await;
    }

    /// Waits until every reader is well again and the server says that it is ready. Then whatever was acknowledged is there.
    pub(super) async fn recovered(&self, served: &Served) -> Duration {
        let begun = Instant::now();
        self.shared.tally.send_modify(|tally| tally.in_a_row.fill(0));
        self.wait("every reader is well again", |now| now.in_a_row.iter().all(|answers| *answers >= IN_A_ROW)).await;
        until("it is ready", || (served.page("/readyz").0 == 200).then_some(()));
        let taken = begun.elapsed();
        self.has_all(served).await;
        taken
    }

    /// Whatever was acknowledged is there, at the first question.
    pub(super) async fn has_all(&self, served: &Served) {
        self.shared.read(served, self.shared.oracle.ask_acknowledged()).await;
    }

    /// New requests go to this server.
    pub(super) fn turn_to(&self, served: &Served) {
        self.shared.server.send_replace(served.grpc.clone());
    }

    /// Lets every batch come to its end. Then each key has what was sent last, and history has each batch once.
    pub(super) async fn end(self, place: &Hitherto, served: &Served) -> Tally {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("it comes to its end").expect("it does not panic");
        }
        self.shared.read(served, self.shared.oracle.ask_all()).await;
        for (view, name) in VIEWS.iter().enumerate() {
            let counted = place.ok(&format!("--output json sql 'select count(*) as n from {name}'"));
            let sent = self.shared.oracle.rows(view);
            assert_eq!(counted.trim(), format!("{{\"n\":{sent}}}"), "each batch of {name} whole and once");
        }
        let tally = self.shared.tally.borrow().clone();
        assert_eq!(tally.wrong, None);
        tally
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Reads, each of which must be answered right, and fresh.
    async fn read(&self, served: &Served, all: Vec<Asked>) {
        let client = Client::connect(&served.grpc).await.expect("it answers");
        for asked in all {
            let found = client.get_features(wanted(&asked)).await.expect("an answer");
            assert_eq!(self.oracle.judge(&asked, &found), Ok(Freshness::Fresh));
        }
    }

    fn outcome(&self, asked: &Asked, answer: &hitherto_client::Result<Features>) -> Outcome {
        match answer {
            Ok(found) => match self.oracle.judge(asked, found) {
                Ok(freshness) => Outcome::Right(freshness, found.model.as_ref().map_or(0, |pin| pin.version.version)),
                Err(wrong) => Outcome::Wrong(wrong),
            },
            Err(error) => refused(error),
        }
    }

    /// What became of a push; whether it need not be sent again.
    fn note_push(&self, rows: &[Row], is_first: bool, answer: hitherto_client::Result<Pushed>) -> bool {
        let is_done = answer.is_ok();
        if is_done {
            self.oracle.acknowledge(rows);
        }
        self.tally.send_modify(|tally| match answer {
            Ok(pushed) if pushed.rows != rows.len() as u64 || (is_first && pushed.already) => {
                tally.note_wrong(format!("{rows:?} were pushed as {pushed:?}"));
            }
            Ok(pushed) => {
                tally.pushed += 1;
                let last = &mut tally.sequences[rows[0].view];
                *last = pushed.last_sequence.unwrap_or(0).max(*last);
            }
            Err(error) => match refused(&error) {
                Outcome::Refused(word) => *tally.push_refused.entry(word).or_default() += 1,
                Outcome::Wrong(wrong) => tally.note_wrong(wrong),
                Outcome::Right(..) => {}
            },
        });
        is_done
    }
}

/// What an error says, in a word; one that no fault explains is wrong.
fn refused(error: &Error) -> Outcome {
    Outcome::Refused(match error {
        Error::TimedOut { .. } => "late",
        Error::Connect { .. } | Error::Lost { .. } => "lost",
        Error::Server(failure) if failure.kind == Kind::Unavailable => "unavailable",
        Error::Server(failure) if failure.kind == Kind::Exhausted => "exhausted",
        _ => return Outcome::Wrong(format!("{:?}: {error}", error.kind())),
    })
}

/// A connection to the server that is asked now.
struct Connection {
    server: watch::Receiver<String>,
    timeouts: Timeouts,
    client: Option<Client>,
}

impl Connection {
    fn new(shared: &Shared, deadline: Duration) -> Self {
        let timeouts = Timeouts { request: deadline, ..Timeouts::default() };
        Self { server: shared.server.subscribe(), timeouts, client: None }
    }

    async fn client(&mut self) -> hitherto_client::Result<Client> {
        let url = self.server.borrow().clone();
        if let Some(client) = self.client.as_ref().filter(|client| client.url() == url) {
            return Ok(client.clone());
        }
        let client = Client::connect_with(&url, self.timeouts).await?;
        self.client = Some(client.clone());
        Ok(client)
    }
}

async fn read(shared: Arc<Shared>, reader: usize, mut random: Random) {
    let mut connection = Connection::new(&shared, shared.deadline);
    let mut pace = pace();
    while !shared.is_over() {
        pace.tick().await;
        let outcome = match connection.client().await {
            Ok(client) => {
                let asked = shared.oracle.ask(&mut random);
                shared.tally.send_modify(|tally| tally.waiting += 1);
                let answer = client.get_features(wanted(&asked)).await;
                shared.tally.send_modify(|tally| tally.waiting -= 1);
                shared.outcome(&asked, &answer)
            }
            Err(error) => refused(&error),
        };
        shared.tally.send_modify(|tally| tally.note_read(reader, outcome));
    }
}

/// Each batch is sent until it is acknowledged; views take turns.
async fn write(shared: Arc<Shared>, writer: i64, mut random: Random) {
    let mut connection = Connection::new(&shared, PUSH_DEADLINE);
    let mut pace = pace();
    let mut batch: usize = 0;
    while !shared.is_over() {
        let view = batch % VIEWS.len();
        let rows = shared.oracle.next_rows(view, writer, &mut random);
        let push = Push {
            view: VIEWS[view].parse().expect("a name"),
            columns: Row::columns(&rows),
            batch_id: Some(format!("writer {writer}, batch {batch}")),
            destination: Destination::Both,
        };
        let mut is_first = true;
        loop {
            pace.tick().await;
            let answer = match connection.client().await {
                Ok(client) => client.push(push.clone()).await,
                Err(error) => Err(error),
            };
            if shared.note_push(&rows, is_first, answer) {
                break;
            }
            is_first = false;
        }
        batch += 1;
    }
}

fn pace() -> Interval {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

fn wanted(asked: &Asked) -> GetFeatures {
    let model = Consumer::Model("m@champion".parse().expect("a selector"));
    let keys = asked.keys.iter().map(|key| Value::Int64(*key)).collect();
    GetFeatures::new(model, vec![Column::new("k", ValueType::Int64, keys)])
}
