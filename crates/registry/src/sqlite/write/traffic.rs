//! How an alias's traffic is shared.

use hitherto_core::{Alias, Name, Timestamp, Traffic};

use super::models::{put_alias, require_expected};
use crate::record::encode;
use crate::sqlite::change::{Change, Deed};
use crate::sqlite::{SqliteRegistry, read};
use crate::{Error, Expected, Result};

pub(in crate::sqlite) async fn set_traffic(
    registry: &SqliteRegistry,
    model: &Name,
    alias: &Name,
    traffic: Traffic,
    expected: Expected,
    now: Timestamp,
) -> Result<Alias> {
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
    let subject = format!("alias {model}@{alias}");
    let [old, new] = [&before, &after].map(|alias| encode(alias, doing));
    let deed = Deed { verb: "set_traffic", subject, before: Some(old?), after: Some(new?) };
    change.commit(now, vec![deed]).await?;
    Ok(after)
}
