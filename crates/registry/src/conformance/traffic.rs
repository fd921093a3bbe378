//! How an alias's traffic is shared.

use hitherto_core::{Alias, Kind, Share, Traffic};

use super::models::with_set;
use super::sample::{NOW, model, name};
use crate::{Expected, Grounds, Registry, Result};

/// `late` at version 1 of 3, with nothing shared.
async fn with_champion(registry: &dyn Registry) {
    with_set(registry).await;
    for _ in 0..3 {
        registry.register_model(model("delay"), NOW).await.expect("registers");
    }
    moved(registry, 1).await;
}

async fn moved(registry: &dyn Registry, version: u32) -> Alias {
    let [delay, champion] = [name("delay"), name("champion")];
    let moved = registry.move_alias(&delay, &champion, version, Expected::Anything, Grounds::default(), NOW).await;
    moved.expect("moves")
}

fn traffic(split: &[(u32, u32)], shadow: Option<u32>) -> Traffic {
    Traffic { split: split.iter().map(|&(version, weight)| Share { version, weight }).collect(), shadow }
}

async fn share(registry: &dyn Registry, alias: &str, traffic: Traffic, expected: Expected) -> Result<Alias> {
    registry.set_traffic(&name("delay"), &name(alias), traffic, expected, Grounds::default(), NOW).await
}

pub(super) async fn it_is_shared_until_the_alias_moves(registry: &dyn Registry) {
    with_champion(registry).await;
    let base = registry.revision().await.expect("reads");
    let wanted = traffic(&[(2, 10), (1, 90)], Some(3));
    let shared = share(registry, "champion", wanted.clone(), Expected::Version(Some(1))).await.expect("shares");
    let expected = Alias {
        split: traffic(&[(1, 90), (2, 10)], None).split,
        shadow: Some(3),
        ..Alias::new(name("delay"), name("champion"), 1, NOW)
    };
    assert_eq!(shared, expected, "by version");
    assert_eq!(registry.aliases(&name("delay")).await.expect("reads"), [expected]);
    assert_eq!(share(registry, "champion", wanted, Expected::Anything).await.expect("the same"), shared);
    assert_eq!(registry.revision().await.expect("reads"), base + 1, "the same again changes nothing");

    let cleared = share(registry, "champion", Traffic::default(), Expected::Anything).await.expect("clears");
    assert_eq!(cleared, Alias::new(name("delay"), name("champion"), 1, NOW));
    share(registry, "champion", traffic(&[(1, 1), (2, 1)], None), Expected::Anything).await.expect("shares");
    let kept = moved(registry, 1).await;
    assert_eq!(kept, cleared, "a move to where it points sends everything there again");
    share(registry, "champion", traffic(&[], Some(2)), Expected::Anything).await.expect("shares");
    assert_eq!(moved(registry, 2).await, Alias::new(name("delay"), name("champion"), 2, NOW));
    assert_eq!(registry.revision().await.expect("reads"), base + 6);
}

pub(super) async fn what_contradicts_itself_is_refused(registry: &dyn Registry) {
    with_champion(registry).await;
    let base = registry.revision().await.expect("reads");
    let cases = [
        (
            "champion",
            traffic(&[(1, 5), (1, 5)], None),
            Expected::Anything,
            "could not share the traffic of delay@champion: version 1 stands twice in the split",
        ),
        (
            "champion",
            traffic(&[(1, 0)], None),
            Expected::Anything,
            "could not share the traffic of delay@champion: version 1 has the weight 0: leave it out of the split",
        ),
        (
            "champion",
            traffic(&[(1, 5), (4, 5)], None),
            Expected::Anything,
            "could not find model version 'delay@4': its versions are 1 to 3",
        ),
        (
            "champion",
            traffic(&[], Some(9)),
            Expected::Anything,
            "could not find model version 'delay@9': its versions are 1 to 3",
        ),
        (
            "champion",
            traffic(&[(1, 5)], None),
            Expected::Version(Some(2)),
            "could not share the traffic of alias 'champion' of model 'delay': it points at version 1, not at version 2",
        ),
        (
            "champoin",
            traffic(&[(1, 5)], None),
            Expected::Anything,
            "could not find model alias 'delay@champoin': did you mean 'champion'?",
        ),
    ];
    for (alias, wanted, expected, message) in cases {
        let refused = share(registry, alias, wanted, expected).await.expect_err("it is wrong");
        assert_eq!(refused.to_string(), message);
    }
    let nobody = Grounds { override_reason: Some(" ".to_owned()), ..Grounds::default() };
    let [delay, champion] = [name("delay"), name("champion")];
    let unsaid = registry.set_traffic(&delay, &champion, Traffic::default(), Expected::Anything, nobody, NOW).await;
    let unsaid = unsaid.expect_err("no reason");
    assert_eq!(unsaid.kind(), Kind::InvalidArgument);
    assert_eq!(
        unsaid.to_string(),
        "could not share the traffic of alias 'champion' of model 'delay': an override needs a reason"
    );
    assert_eq!(registry.revision().await.expect("reads"), base, "a refusal changes nothing");
}
