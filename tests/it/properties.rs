//! Training sets through files, tables and the fast join equal the reference rule, whatever the set, the spine and the
//! cut of the batches. `PROPTEST_RNG_SEED` and `PROPTEST_CASES` choose other cases.

mod case;
mod expected;
mod place;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use self::case::{Case, cases};
use self::place::Place;

#[test]
fn training_sets_equal_the_reference_rule() {
    check(160, |case| async move {
        let place = Place::new(&case).await;
        let committed = place.ingest(&case).await;
        let built = place.training_set(&case).await;
        expected::compare(&case, &committed, &built)
    });
}

#[test]
fn batches_and_files_in_any_order_give_the_same_training_set() {
    check(60, |case| async move {
        let case = case.without_ties();
        let built = Place::of(&case).await.training_set(&case).await;
        for other in [case.in_one_batch(), case.turned_round()] {
            let same = Place::of(&other).await.training_set(&other).await;
            prop_assert_eq!(&same, &built, "the same rows, cut as in {:#?}", other);
        }
        Ok(())
    });
}

fn check<F: Future<Output = Result<(), TestCaseError>>>(count: u32, property: impl Fn(Case) -> F) {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = count;
    }
    config.failure_persistence = None;
    if matches!(config.rng_seed, RngSeed::Random) {
        config.rng_seed = RngSeed::Fixed(2013);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outcome = TestRunner::new(config).run(&cases(), |case| runtime.block_on(property(case)));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
