//! A history played on real stores, each answer compared with the training set and with the reference rule.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::RecordBatch;
use futures::future::{join_all, join3};
use hitherto_core::{Kind, Selector, Span, Timestamp};
use hitherto_engine::{Clock, Destination, Engine, Ingested, Lookup, Materialized, Serving, Spine};
use hitherto_online::{Marks, OnlineStore};

use super::compare::{SETS, compare_online, compare_training, consumer, lookup, place, request, unavailable};
use super::history::{FeatureRow, History, Key, Remembered, Step, Version};
use super::home::Home;
use super::model::Model;
use super::rows::{column, features, same};

/// A history under way.
#[derive(Debug)]
pub(crate) struct Player<'a> {
    pub(crate) history: &'a History,
    pub(crate) engine: Engine,
    /// The same stores as another process has them open; the two take turns.
    peer: Engine,
    pub(crate) model: Model,
    pub(crate) now: i64,
    /// Versions of the view that are applied.
    pub(crate) versions: usize,
    /// Batches that have an id, and how many features they had.
    remembered: Vec<(Vec<FeatureRow>, usize)>,
}

impl<'a> Player<'a> {
    pub(crate) async fn begin(home: &Home, history: &'a History) -> Result<Self> {
        let now = history.start;
        let engine = home.engine().await?.with_clock(Clock::Frozen(Timestamp(now)));
        let peer = home.beside(&engine, home.online(engine.project())?).await?.with_clock(engine.clock());
        engine.apply(&[("first.yaml".to_owned(), history.first())], hitherto_core::NewTables::Refuse).await?;
        Ok(Self { history, engine, peer, model: Model::new(history), now, versions: 1, remembered: Vec::new() })
    }

    /// Online is this store from now on.
    pub(crate) async fn serve_from(&mut self, home: &Home, online: &Arc<dyn OnlineStore>) -> Result<()> {
        self.engine = home.beside(&self.engine, Arc::clone(online)).await?;
        self.peer = home.beside(&self.peer, Arc::clone(online)).await?;
        self.tick(0);
        Ok(())
    }

    /// Play every step.
    pub(crate) async fn play(&mut self) -> Result<()> {
        for (index, step) in self.history.steps.iter().enumerate() {
            self.step(step).await.with_context(|| format!("step {index} ({step:?}) at {}", self.now))?;
        }
        Ok(())
    }

    pub(crate) async fn step(&mut self, step: &Step) -> Result<()> {
        std::mem::swap(&mut self.engine, &mut self.peer);
        match step {
            Step::Tick(micros) => self.tick(*micros),
            Step::Ingest { rows, remembered } => self.ingest(rows, *remembered).await?,
            Step::Push(rows) => self.push(rows).await?,
            Step::Together(batches) => self.together(batches).await?,
            Step::Repeat => self.repeat().await?,
            Step::Run => self.run().await?,
            Step::Read => self.read().await?,
            Step::Evolve(rows) => self.evolve(rows).await?,
            Step::Earlier => self.earlier().await?,
        }
        Ok(())
    }

    pub(crate) fn tick(&mut self, micros: i64) {
        self.now += micros;
        for engine in [&mut self.engine, &mut self.peer] {
            *engine = engine.with_clock(Clock::Frozen(Timestamp(self.now)));
        }
    }

    async fn ingest(&mut self, rows: &[FeatureRow], remembered: Remembered) -> Result<()> {
        let id = (remembered == Remembered::Yes).then(|| format!("batch-{}", self.remembered.len()));
        if id.is_some() {
            self.remembered.push((rows.to_vec(), self.features()));
        }
        let done = self.send(rows, id, Destination::Offline).await?;
        self.committed(rows, &done)
    }

    async fn push(&mut self, rows: &[FeatureRow]) -> Result<()> {
        let done = self.send(rows, None, Destination::Both).await?;
        self.committed(rows, &done)?;
        self.reached(&done.online)
    }

    async fn together(&mut self, batches: &[Vec<FeatureRow>]) -> Result<()> {
        let sends = join_all(batches.iter().map(|rows| self.send(rows, None, Destination::Both)));
        let keys = self.model.questions();
        let read = lookup(self.history, self.peer.clone(), SETS[0], &keys);
        let (sent, run, read) = join3(sends, self.peer.materialize(&[]), read).await;
        run?;
        for (rows, done) in batches.iter().zip(sent) {
            self.committed(rows, &done?)?;
        }
        let had_marks = self.model.marks.contains_key(&self.history.versions[0].delay);
        self.mark();
        match read {
            Err(_) if !had_marks => unavailable(read),
            read => self.compare_on_the_way(0, &read?, &keys),
        }
    }

    /// Answers while runs are under way: no key lacks what had reached the store by the marks that came with it.
    pub(crate) fn compare_on_the_way(&self, version: usize, found: &Lookup, keys: &[Key]) -> Result<()> {
        let marks = found.views[0].marks;
        let after = Marks { sequence: self.model.last_sequence(), clock: Timestamp(self.now) };
        for (row, key) in keys.iter().enumerate() {
            let answers = self.model.on_the_way(self.history.versions[version], key, self.now, [marks, after]);
            let compared: Vec<_> = answers.iter().map(|expected| compare_online(found, 0, row, expected)).collect();
            ensure!(compared.iter().any(Result::is_ok), "on the way from {marks} to {after}, {key:?}: {compared:?}");
        }
        Ok(())
    }

    async fn repeat(&mut self) -> Result<()> {
        let Some((rows, features)) = self.remembered.last().cloned() else { return Ok(()) };
        if rows.is_empty() {
            return Ok(());
        }
        let id = format!("batch-{}", self.remembered.len() - 1);
        let forget = |row: &FeatureRow| if features < 3 { FeatureRow { h: None, ..row.clone() } } else { row.clone() };
        let rows: Vec<FeatureRow> = rows.iter().map(forget).collect();
        let done = self.send(&rows, Some(id.clone()), Destination::Both).await?;
        ensure!(done.already == Some(id) && done.commit.is_none(), "a batch was appended twice: {done:?}");
        ensure!(done.backdated == 0 && done.null_keys == 0, "nothing was appended, yet {done:?}");
        self.reached(&done.online)
    }

    /// A run; all that is committed and available has reached the store.
    pub(crate) async fn run(&mut self) -> Result<()> {
        let done = self.engine.materialize(&[]).await?;
        self.reached(&done)
    }

    /// Version 2 is applied. Who serves and has not seen it yet answers as before from rows that have more columns.
    async fn evolve(&mut self, rows: &[FeatureRow]) -> Result<()> {
        let unaware = Serving::load(self.peer.clone()).await?;
        let files = [("second.yaml".to_owned(), self.history.second())];
        self.engine.apply(&files, hitherto_core::NewTables::Refuse).await?;
        self.versions = 2;
        self.push(rows).await?;
        let keys = self.model.questions();
        let route = unaware.route(&consumer(SETS[0])).await?;
        let found = unaware.lookup(route.own(), &request(self.history, &keys)).await?;
        for (row, key) in keys.iter().enumerate() {
            let expected = self.model.offline(self.history.versions[0], key, self.now);
            compare_online(&found, 0, row, &expected).with_context(|| format!("unaware of version 2, {key:?}"))?;
        }
        Ok(())
    }

    /// What has been brought up to a moment does not answer for an earlier one, nor is it brought back there.
    async fn earlier(&mut self) -> Result<()> {
        let Some(clock) = self.model.marks.values().map(|marks| marks.clock).min() else { return Ok(()) };
        if self.model.marks.values().any(|marks| marks.clock != clock) {
            return Ok(());
        }
        let engine = self.engine.with_clock(Clock::Frozen(Timestamp(clock.0 - 1)));
        let run = engine.materialize(&[]).await.err().map(|error| error.kind());
        let read = lookup(self.history, engine, SETS[0], &self.model.questions()).await.err().map(|error| error.kind());
        let refused = Some(Kind::InvalidArgument);
        ensure!(run == refused && read == refused, "before {clock} a run ended in {run:?}, a read in {read:?}");
        Ok(())
    }

    async fn send(&self, rows: &[FeatureRow], id: Option<String>, to: Destination) -> Result<Ingested> {
        let batch = self.history.batch(rows, self.features())?;
        Ok(self.engine.push(&"v".parse()?, &batch, id, to).await?)
    }

    /// How many features a batch has by now.
    pub(crate) fn features(&self) -> usize {
        1 + self.versions
    }

    pub(crate) fn committed(&mut self, rows: &[FeatureRow], done: &Ingested) -> Result<()> {
        if rows.is_empty() {
            ensure!(done.commit.is_none() && done.already.is_none(), "no rows, yet {done:?}");
            return Ok(());
        }
        let commit = done.commit.as_ref().context("nothing was committed")?;
        ensure!(commit.time == Timestamp(self.now) && commit.rows == rows.len() as u64, "{commit:?} of {rows:?}");
        let nulls = rows.iter().filter(|row| row.key.iter().any(Option::is_none)).count() as u64;
        ensure!(done.null_keys == nulls, "{} rows with null keys, not {nulls}", done.null_keys);
        let backdated = self.model.backdated(self.live()[self.versions - 1], rows, self.now);
        ensure!(done.backdated == backdated, "{} rows change the past, not {backdated}", done.backdated);
        let sent = if self.versions == 2 { rows.to_vec() } else { without_h(rows) };
        self.model.commit(&sent, commit.first_sequence, self.now);
        Ok(())
    }

    /// The runs of all readings ended here.
    fn reached(&mut self, runs: &[Materialized]) -> Result<()> {
        self.mark();
        let mut found: Vec<Marks> = runs.iter().map(|run| run.marks).collect();
        found.dedup();
        let expected: Vec<Marks> = self.model.marks.values().copied().collect();
        ensure!(runs.len() == expected.len(), "{} readings, not {}", runs.len(), expected.len());
        ensure!(found == [expected[0]], "the marks are {found:?}, not {expected:?}");
        Ok(())
    }

    pub(crate) fn mark(&mut self) {
        let marks = Marks { sequence: self.model.last_sequence(), clock: Timestamp(self.now) };
        for version in self.live() {
            self.model.marks.insert(version.delay, marks);
        }
    }

    /// The versions that are applied.
    pub(crate) fn live(&self) -> Vec<Version> {
        self.history.versions[..self.versions].to_vec()
    }

    /// Every key by every version: online as the rows that reached it say, offline as all rows say, and both alike
    /// where all rows have reached the store.
    pub(crate) async fn read(&self) -> Result<()> {
        let keys = self.model.questions();
        for (version, set) in self.live().into_iter().zip(SETS) {
            let training = self.training(set, &self.history.spine(&keys, &[self.now])?).await?;
            for (row, key) in keys.iter().enumerate() {
                let expected = self.model.offline(version, key, self.now);
                compare_training(place(set), &training, row, &expected).with_context(|| format!("{key:?}"))?;
            }
            self.read_online(version, set, &keys, &training).await?;
        }
        if self.versions == 2 { self.read_both(&keys).await } else { Ok(()) }
    }

    /// A set of both versions, the second for other keys.
    async fn read_both(&self, keys: &[Key]) -> Result<()> {
        let versions = self.history.versions;
        let training = self.training("both", &self.history.spine(keys, &[self.now])?).await?;
        let marks = versions.map(|version| self.model.marks.get(&version.delay).copied());
        let looked_up = self.lookup("both", keys).await;
        let [Some(first), Some(second)] = marks else { return unavailable(looked_up) };
        let found = looked_up?;
        for (row, (key, other)) in keys.iter().zip(keys.iter().rev()).enumerate() {
            let expected = [(versions[0], key, first), (versions[1], other, second)];
            for (view, (version, key, marks)) in expected.into_iter().enumerate() {
                let online = self.model.online(version, key, self.now, marks);
                compare_online(&found, view, row, &online).with_context(|| format!("online, both, {view}, {key:?}"))?;
                let offline = self.model.offline(version, key, self.now);
                let place = if view == 0 { ("v", 2) } else { ("w", 3) };
                compare_training(place, &training, row, &offline).with_context(|| format!("both, {view}, {key:?}"))?;
            }
        }
        Ok(())
    }

    async fn read_online(&self, version: Version, set: &str, keys: &[Key], training: &RecordBatch) -> Result<()> {
        let looked_up = self.lookup(set, keys).await;
        let Some(marks) = self.model.marks.get(&version.delay).copied() else {
            return unavailable(looked_up).with_context(|| format!("online, {set}"));
        };
        let found = looked_up?;
        ensure!(found.at == Timestamp(self.now), "answered at {}", found.at);
        ensure!(found.views[0].marks == marks, "the marks are {}, not {marks}", found.views[0].marks);
        ensure!(found.views[0].lag == Span::from_micros(self.now - marks.clock.0)?, "lag {}", found.views[0].lag);
        for (row, key) in keys.iter().enumerate() {
            let expected = self.model.online(version, key, self.now, marks);
            compare_online(&found, 0, row, &expected)
                .with_context(|| format!("online, {set}, {key:?}, marks {marks}"))?;
        }
        if marks.sequence == self.model.last_sequence() && marks.clock == Timestamp(self.now) {
            for (name, value_type) in features().iter().take(found.columns.len()) {
                let output = format!("v__{name}");
                let online = found.columns.iter().find(|column| column.name == output).context("no such column")?;
                let offline = column(training, &output, value_type)?;
                let agree = online.values.iter().zip(&offline).all(|(online, offline)| same(online, offline));
                ensure!(agree, "{output}: online {:?}, in the training set {offline:?}", online.values);
            }
        }
        Ok(())
    }

    /// Training sets at many moments, past and to come.
    pub(crate) async fn read_moments(&self) -> Result<()> {
        let keys = self.model.questions();
        let mut moments: Vec<i64> = (self.history.start - 10..self.now + 20).collect();
        moments.extend([i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]);
        for (version, set) in self.live().into_iter().zip(SETS) {
            let training = self.training(set, &self.history.spine(&keys, &moments)?).await?;
            ensure!(training.num_rows() == keys.len() * moments.len(), "rows out are not rows in");
            for (row, (key, t)) in keys.iter().flat_map(|key| moments.iter().map(move |t| (key, *t))).enumerate() {
                let expected = self.model.offline(version, key, t);
                compare_training(place(set), &training, row, &expected).with_context(|| format!("{key:?} at {t}"))?;
            }
        }
        Ok(())
    }

    pub(crate) async fn training(&self, set: &str, spine: &RecordBatch) -> Result<RecordBatch> {
        let set: Selector = set.parse()?;
        Ok(self.engine.features_at(set, &Spine::Batches(spine.clone())).await?)
    }

    pub(crate) async fn lookup(&self, set: &str, keys: &[Key]) -> hitherto_engine::Result<Lookup> {
        lookup(self.history, self.engine.clone(), set, keys).await
    }
}

/// Version 1 knows no `h`: history has a null there.
fn without_h(rows: &[FeatureRow]) -> Vec<FeatureRow> {
    rows.iter().map(|row| FeatureRow { h: None, ..row.clone() }).collect()
}
