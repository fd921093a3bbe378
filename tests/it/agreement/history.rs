//! A random life of one feature view: rows that come in any order, a clock, runs, reads.

use hitherto_core::{Created, KeyType, KeyValue, Timestamp};

use crate::support::random::Random;

/// A key as the spine or a source has it; a part may be null.
pub(crate) type Key = Vec<Option<KeyValue>>;

/// One feature view's life, decided by a seed. Version 2 of the view adds the feature `h`.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) keys: Vec<(&'static str, KeyType)>,
    /// Keys that rows and reads have; the last is never written.
    pub(crate) pool: Vec<Key>,
    pub(crate) created: Created,
    pub(crate) versions: [Version; 2],
    /// The clock when it begins.
    pub(crate) start: i64,
    pub(crate) steps: Vec<Step>,
}

/// How a version of the view reads its table. In microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version {
    pub(crate) ttl: Option<i64>,
    pub(crate) delay: i64,
}

/// A row as its producer sends it.
#[derive(Clone, Debug)]
pub(crate) struct FeatureRow {
    pub(crate) key: Key,
    pub(crate) event: i64,
    /// Sent only where the view has such a column.
    pub(crate) created: i64,
    pub(crate) deleted: Option<bool>,
    pub(crate) f: Option<i64>,
    pub(crate) g: Option<String>,
    /// Sent only once version 2 is there.
    pub(crate) h: Option<f64>,
}

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The clock moves on.
    Tick(i64),
    /// Rows to history alone.
    Ingest { rows: Vec<FeatureRow>, remembered: Remembered },
    /// Rows to history and at once online.
    Push(Vec<FeatureRow>),
    /// Several such at the same time, beside a run.
    Together(Vec<Vec<FeatureRow>>),
    /// An earlier batch with its id once more.
    Repeat,
    /// A run of materialize.
    Run,
    /// Reads of every key.
    Read,
    /// Version 2 is applied, and rows come by it.
    Evolve(Vec<FeatureRow>),
    /// A run and reads at a clock before the last run's.
    Earlier,
}

/// Whether a batch has an id, so that it can be repeated without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    Yes,
    No,
}

const LAST_YEARS: [i64; 4] = [0, -1_000_000_000_000_000, 1_700_000_000_000_000, 4];

impl History {
    pub(crate) fn random(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let keys = random.pick(&[
            vec![("k", KeyType::Int64)],
            vec![("k", KeyType::String)],
            vec![("k", KeyType::Timestamp)],
            vec![("a", KeyType::Int64), ("b", KeyType::String)],
            vec![("a", KeyType::Bytes), ("b", KeyType::Int32), ("c", KeyType::Bool)],
        ]);
        let created = random.pick(&[Created::Absent, Created::Column, Created::Column, Created::IngestedAt]);
        let first = Version::random(random);
        let second = if random.percent(50) { first } else { Version::random(random) };
        let mut history = Self {
            pool: pool(random, &keys),
            keys,
            created,
            versions: [first, second],
            start: random.pick(&LAST_YEARS),
            steps: Vec::new(),
        };
        // some logs are long enough for checkpoints
        let most = if random.percent(2) { 90 } else { 16 };
        for _ in 0..random.between(6, most) {
            let step = history.step(random);
            history.steps.push(step);
        }
        if random.percent(35) {
            let at = random.below(history.steps.len() as u64) as usize;
            let rows = history.rows(random, 3);
            history.steps.insert(at, Step::Evolve(rows));
        }
        history.steps.extend([Step::Read, Step::Run, Step::Read]);
        history
    }

    fn step(&self, random: &mut Random) -> Step {
        match random.below(100) {
            0..26 => Step::Tick(random.between(1, 8)),
            26..52 => {
                let remembered = if random.percent(50) { Remembered::Yes } else { Remembered::No };
                let most = random.pick(&[0, 6, 6, 6, 6, 6]);
                Step::Ingest { rows: self.rows(random, most), remembered }
            }
            52..62 => Step::Push(self.rows(random, 3)),
            62..66 => Step::Together((0..random.between(2, 3)).map(|_| self.rows(random, 3)).collect()),
            66..72 => Step::Repeat,
            72..85 => Step::Run,
            85..88 => Step::Earlier,
            _ => Step::Read,
        }
    }

    pub(crate) fn rows(&self, random: &mut Random, most: i64) -> Vec<FeatureRow> {
        (0..random.between(most.min(1), most)).map(|_| self.row(random)).collect()
    }

    fn row(&self, random: &mut Random) -> FeatureRow {
        let mut key = random.pick(&self.pool[..self.pool.len() - 1]);
        if random.percent(6) {
            let part = random.below(key.len() as u64) as usize;
            key[part] = None;
        }
        // few moments, so that exact ties and edges of windows are common
        let event = match random.below(100) {
            0 => Timestamp::MIN.0,
            1 => Timestamp::MAX.0,
            _ => self.start + random.between(-8, 24),
        };
        let created = event.saturating_add(random.pick(&[0, 0, 0, 1, 3, 9, -1, -5]));
        FeatureRow {
            key,
            event,
            created,
            deleted: random.pick(&[None, None, None, Some(false), Some(false), Some(true)]),
            f: random.pick(&[None, Some(0), Some(1), Some(2), Some(3)]).map(|f| f + 10 * random.between(-99, 99)),
            g: random.pick(&[None, Some(0), Some(1), Some(2)]).map(|g: usize| "x|".repeat(g)),
            h: random.pick(&[None, Some(0.5), Some(-0.0), Some(f64::NAN), Some(1e300)]),
        }
    }

    /// Definitions of version 1.
    pub(crate) fn first(&self) -> String {
        self.definitions(0, "f: int64, g: string", "first")
    }

    /// Definitions of version 2, and of a set that has both versions, the second for other columns of the spine.
    pub(crate) fn second(&self) -> String {
        let other: Vec<String> = self.keys.iter().map(|(name, _)| format!("{name}: other_{name}")).collect();
        let second = self.definitions(1, "f: int64, g: string, h: float64", "second");
        format!(
            "{second}---\nkind: feature_set\nname: both\nfeatures: [\"v@1:*\", {{view: v@2, as: w, join_keys: {{{}}}}}]\n",
            other.join(", ")
        )
    }

    fn definitions(&self, version: usize, features: &str, set: &str) -> String {
        let keys: Vec<String> = self.keys.iter().map(|(name, key_type)| format!("{name}: {key_type}")).collect();
        let Version { ttl, delay } = self.versions[version];
        let ttl = ttl.map(|ttl| format!("ttl: {ttl}us\n")).unwrap_or_default();
        let created = match self.created {
            Created::Absent => "",
            Created::Column => "created_timestamp: created_timestamp\n",
            Created::IngestedAt => "created_timestamp: _ingested_at\n",
        };
        format!(
            "kind: entity\nname: thing\njoin_keys: {{{}}}\n---\n\
             kind: feature_view\nname: v\nentity: thing\n{created}{ttl}source_delay: {delay}us\n\
             features: {{{features}}}\n---\n\
             kind: feature_set\nname: {set}\nfeatures: [\"v@{}:*\"]\n",
            keys.join(", "),
            version + 1
        )
    }
}

impl Version {
    fn random(random: &mut Random) -> Self {
        Self {
            ttl: random.pick(&[None, None, Some(0), Some(1), Some(4), Some(10), Some(1_000_000)]),
            delay: random.pick(&[0, 0, 0, 1, 5, 12]),
        }
    }
}

fn pool(random: &mut Random, keys: &[(&str, KeyType)]) -> Vec<Key> {
    let mut pool: Vec<Key> = Vec::new();
    let wanted = random.between(2, 5) as usize;
    while pool.len() < wanted {
        let key: Key = keys.iter().map(|(_, key_type)| Some(part(random, *key_type))).collect();
        if !pool.contains(&key) {
            pool.push(key);
        }
    }
    pool
}

/// Parts that would collide if they were joined, cut or rounded.
fn part(random: &mut Random, key_type: KeyType) -> KeyValue {
    match key_type {
        KeyType::Int64 => KeyValue::Int(random.pick(&[1, 12, 123, -1, i64::MIN, (1 << 53) + 1, 1 << 53])),
        KeyType::Int32 => KeyValue::Int(random.pick(&[0, 1, -1, i64::from(i32::MAX)])),
        KeyType::String => KeyValue::String(random.pick(&["", "3", "23", "a|b", "a", "\u{e9}\0"]).to_owned()),
        KeyType::Bytes => KeyValue::Bytes(random.pick(&[&b""[..], b"\0", b"\0\0", b":", b"\xff"]).to_vec()),
        KeyType::Bool => KeyValue::Bool(random.percent(50)),
        KeyType::Timestamp => KeyValue::Timestamp(Timestamp(random.pick(&[-1, 0, 1, i64::MIN, i64::MAX]))),
    }
}
