//! Two requests have one id if and only if whatever decides values is the same in both: each input by itself, and any of
//! them together.

use hitherto_core::{
    Build, KeyType, Mode, Name, Output, ResolvedSet, Span, SpineKey, Split, Timestamp, Transform, ValueType,
    VersionedName, ViewUse, feature_set_hash,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A request: what it asks of a set, and its manifest but for what the set says.
struct Request {
    set: ResolvedSet,
    dataset: Dataset,
}

/// An input, how many values of it there are, and how each is put into the usual request; 0 is the usual.
type Input = (&'static str, usize, fn(&mut Request, usize));

/// What decides values. Choices of one input differ, and so do choices of different inputs.
const DECIDING: [Input; 27] = [
    ("ttl", 3, |request, choice| request.set.uses[0].ttl = [None, span(5), span(6)][choice]),
    ("ttl of another view", 3, |request, choice| request.set.uses[1].ttl = [span(5), None, span(6)][choice]),
    ("source delay", 3, |request, choice| request.set.uses[0].source_delay = seconds([0, 1, 5][choice])),
    ("source delay of another view", 2, |request, choice| request.set.uses[1].source_delay = seconds([1, 0][choice])),
    ("view", 2, |request, choice| request.set.uses[0].view.name = name(["legs", "hops"][choice])),
    ("alias", 2, |request, choice| request.set.uses[1].alias = name(["dest", "goal"][choice])),
    ("key's name", 2, |request, choice| request.set.uses[0].keys[0].name = name(["k", "l"][choice])),
    ("key's type", 2, |request, choice| {
        request.set.uses[0].keys[0].key_type = [KeyType::String, KeyType::Int64][choice];
    }),
    ("key's column", 3, |request, choice| {
        request.set.uses[0].keys[0].spine_column = ["k", "from", "to"][choice].to_owned();
    }),
    ("table", 3, |request, choice| request.set.uses[0].table = ["legs-1", "legs-2", "hops-1"][choice].to_owned()),
    ("table of another view", 2, |request, choice| request.set.uses[1].table = ["legs-9", "legs-8"][choice].to_owned()),
    ("feature", 2, |request, choice| request.set.outputs[0].feature = name(["v", "w"][choice])),
    ("feature's name", 2, |request, choice| request.set.outputs[0].name = ["legs__v", "speed"][choice].to_owned()),
    ("feature's type", 3, |request, choice| {
        request.set.outputs[0].value_type =
            [ValueType::Float64, ValueType::Int64, ValueType::Vector(2)][choice].clone();
    }),
    ("feature's view", 2, |request, choice| request.set.outputs[1].view_use = [1, 0][choice]),
    ("more features", 2, |request, choice| {
        let more = Output { name: "more".to_owned(), ..request.set.outputs[1].clone() };
        request.set.outputs.extend((choice > 0).then_some(more));
    }),
    ("request's fields", 3, |request, choice| {
        let typed = [None, Some(ValueType::Float64), Some(ValueType::Int64)][choice].clone();
        request.set.request.extend(typed.map(|value_type| (name("fare"), value_type)));
    }),
    ("transform's text", 3, |request, choice| {
        request.set.transforms[0].expr = ["legs__v + 1", "legs__v + 2", "legs__v  + 1"][choice].to_owned();
    }),
    ("transform's name", 2, |request, choice| request.set.transforms[0].name = name(["next", "after"][choice])),
    ("mode", 2, |request, choice| request.dataset.mode = [Mode::Knowledge, Mode::Event][choice]),
    ("evidence", 2, |request, choice| request.dataset.evidence = choice == 1),
    ("time column", 2, |request, choice| request.dataset.event_timestamp = ["t", "u"][choice].to_owned()),
    ("spine", 3, |request, choice| request.dataset.spine_fingerprint = ["aa", "ab", ""][choice].to_owned()),
    ("split", 5, |request, choice| request.dataset.split = splits()[choice].clone()),
    ("history", 3, |request, choice| {
        request.dataset.tables = [("legs-1".to_owned(), [4, 5, -1][choice]), ("legs-9".to_owned(), 4)].into();
    }),
    ("erasures", 3, |request, choice| {
        let erased = [vec![], vec!["e1".to_owned()], vec!["e1".to_owned(), "e2".to_owned()]][choice].clone();
        request.dataset.erasures.insert("legs-1".to_owned(), erased);
    }),
    ("erasures of another table", 2, |request, choice| {
        request.dataset.erasures.extend((choice > 0).then(|| ("legs-9".to_owned(), vec!["e1".to_owned()])));
    }),
];

/// What decides nothing.
const BESIDES: [Input; 15] = [
    ("name", 2, |request, choice| request.dataset.name = [None, Some(name("first"))][choice].clone()),
    ("place", 2, |request, choice| request.dataset.location = ["/t.parquet", "s3://b/u.parquet"][choice].to_owned()),
    ("spine's place", 2, |request, choice| request.dataset.spine = ["/s.csv", "select 1"][choice].to_owned()),
    ("what came of it", 2, |request, choice| {
        (request.dataset.rows, request.dataset.file_hash) =
            [(1, "ff".to_owned()), (2, "fe".to_owned())][choice].clone();
    }),
    ("when", 2, |request, choice| request.dataset.built_at = Timestamp([1, 2][choice])),
    ("who", 2, |request, choice| request.dataset.build.actor = ["ada", "bob"][choice].to_owned()),
    ("tags", 2, |request, choice| {
        request.dataset.build.tags.extend((choice > 0).then(|| ("run".to_owned(), "7".to_owned())));
    }),
    ("engine", 2, |request, choice| request.dataset.build.engine_version = ["0.1.0", "9.0.0"][choice].to_owned()),
    ("layout of tables", 3, |request, choice| {
        request.dataset.build.delta_versions.insert("legs-1".to_owned(), [None, Some(3), Some(4)][choice]);
    }),
    ("what its spine's query read", 2, |request, choice| {
        request.dataset.build.spine_tables.extend((choice > 0).then(|| ("legs-1".to_owned(), 3)));
    }),
    ("set's name and version", 2, |request, choice| {
        request.dataset.feature_set = [version("late", 1), version("later", 3)][choice].clone();
    }),
    ("view's version, if it reads alike", 2, |request, choice| request.set.uses[0].view.version = [1, 2][choice]),
    ("blanks around a transform", 2, |request, choice| {
        let expr = &mut request.set.transforms[0].expr;
        *expr = [expr.clone(), format!(" {expr}\n")][choice].clone();
    }),
    ("no ttl, said as none or zero", 2, |request, choice| {
        let ttl = &mut request.set.uses[0].ttl;
        *ttl = ttl.or((choice > 0).then_some(Span::ZERO));
    }),
    ("a table without erasures, named or not", 2, |request, choice| {
        request.dataset.erasures.extend((choice > 0).then(|| ("legs-7".to_owned(), Vec::new())));
    }),
];

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn version(text: &str, version: u32) -> VersionedName {
    VersionedName { name: name(text), version }
}

fn seconds(seconds: i64) -> Span {
    Span::from_micros(seconds * 1_000_000).expect("a span")
}

#[expect(clippy::unnecessary_wraps, reason = "it is put where there may be none")]
fn span(of_seconds: i64) -> Option<Span> {
    Some(seconds(of_seconds))
}

fn splits() -> [Option<Split>; 5] {
    let by_time = |validation_end, gap| Split::Time { train_end: Timestamp(7), validation_end, gap: seconds(gap) };
    let by_key = |weights| Split::Key { columns: vec!["k".to_owned()], weights };
    [
        None,
        Some(by_time(None, 0)),
        Some(by_time(None, 1)),
        Some(by_time(Some(Timestamp(9)), 0)),
        Some(by_key([8, 1, 1])),
    ]
}

fn usual() -> Request {
    let view_use = |alias: &str, view: &str| ViewUse {
        alias: name(alias),
        view: version(view, 1),
        table: String::new(),
        source_delay: Span::ZERO,
        ttl: None,
        keys: vec![SpineKey { name: name("k"), key_type: KeyType::String, spine_column: "k".to_owned() }],
    };
    let output = |text: &str, view_use| Output {
        name: text.to_owned(),
        view_use,
        feature: name("v"),
        value_type: ValueType::Float64,
    };
    let set = ResolvedSet {
        uses: vec![view_use("legs", "legs"), view_use("dest", "rails")],
        outputs: vec![output("legs__v", 0), output("dest__v", 1)],
        request: BTreeMap::new(),
        transforms: vec![Transform { name: name("next"), expr: String::new() }],
    };
    let dataset = Dataset {
        id: String::new(),
        format: Dataset::FORMAT,
        name: None,
        feature_set: version("late", 1),
        feature_set_hash: String::new(),
        views: Vec::new(),
        transforms: Vec::new(),
        mode: Mode::Knowledge,
        spine: String::new(),
        spine_fingerprint: String::new(),
        event_timestamp: String::new(),
        evidence: false,
        split: None,
        tables: BTreeMap::new(),
        erasures: BTreeMap::new(),
        location: String::new(),
        rows: 0,
        file_hash: String::new(),
        built_at: Timestamp(0),
        build: Build::default(),
    };
    Request { set, dataset }
}

/// The id of the request with these choices.
fn id(deciding: &[usize], besides: &[usize]) -> String {
    let mut request = usual();
    for ((_, choices, put), choice) in DECIDING.iter().zip(deciding).chain(BESIDES.iter().zip(besides)) {
        put(&mut request, choice % choices);
    }
    let Request { set, mut dataset } = request;
    dataset.feature_set_hash = feature_set_hash(&set);
    dataset.views = crate::manifest::views(&set);
    dataset.transforms = set.transforms;
    dataset_id(&dataset).expect("an id")
}

#[test]
fn each_input_that_decides_a_value_changes_the_id_and_no_two_alike() {
    let usual = [0; DECIDING.len()];
    let mut known = BTreeMap::from([(id(&usual, &[0; BESIDES.len()]), "the usual".to_owned())]);
    for (input, (what, choices, _)) in DECIDING.iter().enumerate() {
        for choice in 1..*choices {
            let mut deciding = usual;
            deciding[input] = choice;
            let told = format!("{what} {choice}");
            let other = known.insert(id(&deciding, &[0; BESIDES.len()]), told.clone());
            assert_eq!(other, None, "{told} has the id of another request");
        }
    }
}

#[test]
fn nothing_else_changes_the_id() {
    let usual = id(&[0; DECIDING.len()], &[0; BESIDES.len()]);
    for (input, (what, choices, _)) in BESIDES.iter().enumerate() {
        for choice in 1..*choices {
            let mut besides = [0; BESIDES.len()];
            besides[input] = choice;
            assert_eq!(id(&[0; DECIDING.len()], &besides), usual, "{what} {choice}");
        }
    }
}

/// Choices for `inputs`; most often the usual ones, so that requests meet.
fn choices(inputs: &'static [Input]) -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => Just(0_usize), 1 => 0..60_usize], inputs.len()).prop_map(move |picked| {
        let within = |(choice, (_, choices, _)): (usize, &Input)| choice % choices;
        picked.into_iter().zip(inputs).map(within).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn ids_are_the_same_if_and_only_if_all_that_decides_is(
        one in choices(&DECIDING),
        // where a request is turned into the other: at most a few inputs are others
        turned in vec((0..DECIDING.len(), 0..60_usize), 0..3),
        besides in (choices(&BESIDES), choices(&BESIDES)),
    ) {
        let mut other = one.clone();
        for (input, choice) in turned {
            other[input] = choice % DECIDING[input].1;
        }
        prop_assert_eq!(id(&one, &besides.0) == id(&other, &besides.1), one == other);
    }

    #[test]
    fn requests_that_have_nothing_to_do_with_each_other_have_other_ids(
        one in choices(&DECIDING),
        other in choices(&DECIDING),
        besides in choices(&BESIDES),
    ) {
        prop_assert_eq!(id(&one, &besides) == id(&other, &besides), one == other);
    }
}
