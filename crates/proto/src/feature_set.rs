//! Applied feature sets.

use hitherto_core::{FeatureSet, Member, Output, ResolvedSet, SetVersion, SpineKey, Transform, ViewUse};

use crate::entity::{receive_notes, send_notes};
use crate::v1::member::Features;
use crate::{Error, field, v1};

impl From<SetVersion> for v1::FeatureSet {
    fn from(set: SetVersion) -> Self {
        let SetVersion { version, definition, resolved, hash } = set;
        Self {
            name: definition.name.into(),
            version,
            hash,
            members: definition.features.into_iter().map(Into::into).collect(),
            uses: resolved.uses.into_iter().map(Into::into).collect(),
            outputs: resolved.outputs.into_iter().map(Into::into).collect(),
            request_fields: field::print_map(resolved.request),
            transforms: resolved.transforms.into_iter().map(Into::into).collect(),
            notes: send_notes(definition.notes),
        }
    }
}

impl TryFrom<v1::FeatureSet> for SetVersion {
    type Error = Error;

    fn try_from(sent: v1::FeatureSet) -> Result<Self, Error> {
        let resolved = ResolvedSet {
            uses: sent.uses.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            outputs: sent.outputs.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            request: field::parse_map("request_fields", sent.request_fields)?,
            transforms: sent.transforms.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        };
        if resolved.outputs.iter().any(|output| output.view_use >= resolved.uses.len()) {
            let reason = format!("it is beyond the {} uses", resolved.uses.len());
            return Err(Error::Invalid { field: "outputs.view_use", reason });
        }
        Ok(Self {
            version: field::version("version", sent.version)?,
            definition: FeatureSet {
                name: field::parse("name", &sent.name)?,
                features: sent.members.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
                request: resolved.request.clone(),
                transforms: resolved.transforms.clone(),
                notes: receive_notes(sent.notes),
            },
            resolved,
            hash: field::text("hash", sent.hash)?,
        })
    }
}

impl From<Member> for v1::Member {
    fn from(member: Member) -> Self {
        let (view, version, features) = match member {
            Member::One { view, version, feature, rename } => {
                let one = v1::OneFeature { feature: feature.into(), rename: rename.map(Into::into) };
                (view, version, Features::One(one))
            }
            Member::All { view, version } => (view, version, Features::All(v1::AllFeatures {})),
            Member::Aliased { view, version, alias, join_keys } => {
                let aliased = v1::AliasedFeatures { alias: alias.into(), join_keys: field::print_map(join_keys) };
                (view, version, Features::Aliased(aliased))
            }
        };
        Self { view: view.into(), version, features: Some(features) }
    }
}

impl TryFrom<v1::Member> for Member {
    type Error = Error;

    fn try_from(sent: v1::Member) -> Result<Self, Error> {
        let view = field::parse("members.view", &sent.view)?;
        let version = sent.version;
        match field::required("members.features", sent.features)? {
            Features::One(one) => Ok(Self::One {
                view,
                version,
                feature: field::parse("members.one.feature", &one.feature)?,
                rename: field::parse_optional("members.one.rename", one.rename.as_deref())?,
            }),
            Features::All(_) => Ok(Self::All { view, version }),
            Features::Aliased(aliased) => Ok(Self::Aliased {
                view,
                version,
                alias: field::parse("members.aliased.alias", &aliased.alias)?,
                join_keys: field::parse_map("members.aliased.join_keys", aliased.join_keys)?,
            }),
        }
    }
}

impl From<ViewUse> for v1::ViewUse {
    fn from(view_use: ViewUse) -> Self {
        Self {
            alias: view_use.alias.into(),
            view: Some(view_use.view.into()),
            table: view_use.table,
            source_delay_us: view_use.source_delay.micros(),
            ttl_us: view_use.ttl.map(hitherto_core::Span::micros),
            keys: view_use.keys.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::ViewUse> for ViewUse {
    type Error = Error;

    fn try_from(sent: v1::ViewUse) -> Result<Self, Error> {
        Ok(Self {
            alias: field::parse("uses.alias", &sent.alias)?,
            view: field::versioned_name("uses.view", sent.view)?,
            table: field::text("uses.table", sent.table)?,
            source_delay: field::span("uses.source_delay_us", sent.source_delay_us)?,
            ttl: sent.ttl_us.map(|us| field::span("uses.ttl_us", us)).transpose()?,
            keys: sent.keys.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<SpineKey> for v1::SpineKey {
    fn from(key: SpineKey) -> Self {
        Self { name: key.name.into(), r#type: key.key_type.to_string(), spine_column: key.spine_column }
    }
}

impl TryFrom<v1::SpineKey> for SpineKey {
    type Error = Error;

    fn try_from(sent: v1::SpineKey) -> Result<Self, Error> {
        Ok(Self {
            name: field::parse("uses.keys.name", &sent.name)?,
            key_type: field::parse("uses.keys.type", &sent.r#type)?,
            spine_column: sent.spine_column,
        })
    }
}

impl From<Output> for v1::Output {
    fn from(output: Output) -> Self {
        Self {
            name: output.name,
            view_use: output.view_use as u32,
            feature: output.feature.into(),
            r#type: output.value_type.to_string(),
        }
    }
}

impl TryFrom<v1::Output> for Output {
    type Error = Error;

    fn try_from(sent: v1::Output) -> Result<Self, Error> {
        Ok(Self {
            name: field::text("outputs.name", sent.name)?,
            view_use: sent.view_use as usize,
            feature: field::parse("outputs.feature", &sent.feature)?,
            value_type: field::parse("outputs.type", &sent.r#type)?,
        })
    }
}

impl From<Transform> for v1::Transform {
    fn from(transform: Transform) -> Self {
        Self { name: transform.name.into(), expr: transform.expr }
    }
}

impl TryFrom<v1::Transform> for Transform {
    type Error = Error;

    fn try_from(sent: v1::Transform) -> Result<Self, Error> {
        Ok(Self { name: field::parse("transforms.name", &sent.name)?, expr: sent.expr })
    }
}
