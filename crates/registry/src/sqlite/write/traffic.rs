//! How an alias's traffic is shared.

use hitherto_core::{Alias, Traffic};

use super::models::{grounded, put_alias, require_expected, require_reason};
use crate::record::encode;
use crate::sqlite::change::{Change, Deed};
use crate::sqlite::{SqliteRegistry, read};
use crate::{Error, Expected, Grounds, Result};

/// `at` says which alias, and when; not where it points.
pub(in crate::sqlite) async fn set_traffic(
    registry: &SqliteRegistry,
    at: Alias,
    traffic: Traffic,
    expected: Expected,
    grounds: Grounds,
) -> Result<Alias> {
    require_reason(&grounds, "share the traffic of", &at)?;
    let Alias { model, alias, moved_at: now, .. } = &at;
    let subject = format!("alias {model}@{alias}");
    let doing = || format!("share the traffic of {model}@{alias}");
    let traffic = traffic.checked().map_err(|reason| Error::Invalid { doing: doing(), reason })?;
    let mut change = Change::begin(registry).await?;
    let before = read::required_alias(registry, change.connection(), model, alias).await?;
    require_expected("share the traffic of", &before, expected, Some(&before))?;
    for version in traffic.versions() {
        read::model_version(registry, change.connection(), model, version).await?;
    }
    let after = Alias { split: traffic.split, shadow: traffic.shadow, ..before.clone() };
    if after == before {
        return Ok(before);
    }
    put_alias(registry, change.connection(), &after).await?;
    let [old, new] = [encode(&before, doing)?, grounded(&after, &grounds)?];
    change.commit(*now, vec![Deed { verb: "set_traffic", subject, before: Some(old), after: Some(new) }]).await?;
    Ok(after)
}
