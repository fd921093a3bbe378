//! What to say when something is not there: the nearest name, or what there is.

use hitherto_core::{Name, TokenId, VersionedName, did_you_mean};

use crate::Error;

/// Names that a message lists at most.
const LISTED_MAX: usize = 5;

pub(crate) fn no_model(model: &Name, known: &[String]) -> Error {
    not_found("model", model.as_str(), suggest(model.as_str(), known))
}

pub(crate) fn no_model_version(wanted: &VersionedName, latest: u32) -> Error {
    let versions =
        if latest == 1 { "its only version is 1".to_owned() } else { format!("its versions are 1 to {latest}") };
    not_found("model version", &wanted.to_string(), versions)
}

pub(crate) fn no_alias(model: &Name, alias: &Name, known: &[String]) -> Error {
    not_found("model alias", &format!("{model}@{alias}"), suggest(alias.as_str(), known))
}

pub(crate) fn no_dataset(wanted: &str, names: &[String]) -> Error {
    not_found("dataset", wanted, suggest(wanted, names))
}

pub(crate) fn no_dataset_id(id: &str) -> Error {
    not_found("dataset", id, "no training set with this id is recorded".to_owned())
}

pub(crate) fn no_token(id: &TokenId) -> Error {
    not_found("token", id.as_str(), "`hitherto token list` has all".to_owned())
}

pub(crate) fn no_feature_set(wanted: &VersionedName, known: &[String]) -> Error {
    not_found("feature set", &wanted.to_string(), suggest(&wanted.to_string(), known))
}

pub(crate) fn no_hash(hash: &str) -> Error {
    not_found("feature set hash", hash, "no version of a feature set has it; apply the feature set first".to_owned())
}

fn not_found(what: &'static str, name: &str, remedy: String) -> Error {
    Error::NotFound { what, name: name.to_owned(), remedy }
}

fn suggest(wanted: &str, known: &[String]) -> String {
    if let Some(nearest) = did_you_mean(wanted, known.iter().map(String::as_str)) {
        return format!("did you mean '{nearest}'?");
    }
    if known.is_empty() {
        return "there are none yet".to_owned();
    }
    let more = if known.len() > LISTED_MAX { ", …" } else { "" };
    format!("there are {}{more}", known[..known.len().min(LISTED_MAX)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_name_gets_a_short_list() {
        let known: Vec<String> = (1..=7).map(|n| format!("model_{n}")).collect();
        let name: Name = "x".parse().expect("a name");
        assert_eq!(
            no_model(&name, &known).to_string(),
            "could not find model 'x': there are model_1, model_2, model_3, model_4, model_5, …"
        );
    }
}
