//! Applied feature views.

use hitherto_core::{Feature, FeatureView, ViewKey, ViewVersion};

use crate::entity::{receive_notes, send_notes};
use crate::{Error, field, v1};

impl From<ViewVersion> for v1::FeatureView {
    fn from(view: ViewVersion) -> Self {
        let ViewVersion { version, table, keys, definition } = view;
        Self {
            name: definition.name.into(),
            version,
            table,
            entities: definition.entities.into_iter().map(Into::into).collect(),
            keys: keys.into_iter().map(Into::into).collect(),
            join_keys: field::print_map(definition.join_keys),
            event_timestamp: definition.event_timestamp,
            created_timestamp: definition.created_timestamp,
            source_delay_us: definition.source_delay.micros(),
            ttl_us: definition.ttl.map(hitherto_core::Span::micros),
            features: definition.features.into_iter().map(Into::into).collect(),
            notes: send_notes(definition.notes),
        }
    }
}

impl TryFrom<v1::FeatureView> for ViewVersion {
    type Error = Error;

    fn try_from(sent: v1::FeatureView) -> Result<Self, Error> {
        Ok(Self {
            version: field::version("version", sent.version)?,
            table: field::text("table", sent.table)?,
            keys: sent.keys.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            definition: FeatureView {
                name: field::parse("name", &sent.name)?,
                entities: sent.entities.iter().map(|name| field::parse("entities", name)).collect::<Result<_, _>>()?,
                join_keys: field::parse_map("join_keys", sent.join_keys)?,
                event_timestamp: field::text("event_timestamp", sent.event_timestamp)?,
                created_timestamp: sent.created_timestamp,
                source_delay: field::span("source_delay_us", sent.source_delay_us)?,
                ttl: sent.ttl_us.map(|us| field::span("ttl_us", us)).transpose()?,
                features: sent.features.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
                notes: receive_notes(sent.notes),
            },
        })
    }
}

impl From<ViewKey> for v1::ViewKey {
    fn from(key: ViewKey) -> Self {
        Self { name: key.name.into(), r#type: key.key_type.to_string(), column: key.column }
    }
}

impl TryFrom<v1::ViewKey> for ViewKey {
    type Error = Error;

    fn try_from(sent: v1::ViewKey) -> Result<Self, Error> {
        Ok(Self {
            name: field::parse("keys.name", &sent.name)?,
            key_type: field::parse("keys.type", &sent.r#type)?,
            column: sent.column,
        })
    }
}

impl From<Feature> for v1::Feature {
    fn from(feature: Feature) -> Self {
        Self {
            name: feature.name.into(),
            r#type: feature.value_type.to_string(),
            column: feature.column,
            notes: send_notes(feature.notes),
        }
    }
}

impl TryFrom<v1::Feature> for Feature {
    type Error = Error;

    fn try_from(sent: v1::Feature) -> Result<Self, Error> {
        Ok(Self {
            name: field::parse("features.name", &sent.name)?,
            value_type: field::parse("features.type", &sent.r#type)?,
            column: sent.column,
            notes: receive_notes(sent.notes),
        })
    }
}
