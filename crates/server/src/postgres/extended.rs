//! The protocol of drivers: a statement is prepared, gets values, and its rows are fetched, perhaps a few at a time.

use arrow::datatypes::{FieldRef, SchemaRef};
use bytes::Bytes;
use futures::SinkExt;
use hitherto_engine::PlannedQuery;
use pgwire::messages::PgWireBackendMessage as Said;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
    TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};

use super::deed::Deed;
use super::failure::{Phase, Stop, Told, state};
use super::rows::{Answer, Columns, type_of};
use super::session::{Session, planned, ready_schema, tag_of};
use super::values::{self, Taken};
use super::words::statements;
use crate::queries::{run, within};
use crate::shared::Shared;

/// What one connection may have prepared at once: drivers keep up to 256 statements unless told otherwise.
const STATEMENTS_MAX: usize = 300;
/// And bound: each has a plan.
const PORTALS_MAX: usize = 100;
/// All texts, names and values of those that have names; of those that have none there is one each.
const HELD_BYTES_MAX: usize = 1 << 20;

/// A statement that a client means to run, perhaps often.
pub(super) struct Prepared {
    /// None of an empty text.
    deed: Option<Deed>,
    types: Vec<Taken>,
    /// What the client was told of its columns; none where there are none.
    schema: Option<SchemaRef>,
    /// The plan of just now, for whoever binds at once.
    planned: Option<PlannedQuery>,
}

/// A statement with its values.
pub(super) struct Portal {
    deed: Option<Deed>,
    formats: Vec<i16>,
    schema: Option<SchemaRef>,
    stage: Stage,
}

/// How far it is.
enum Stage {
    /// Nothing of it was asked for yet. The query is there where there is one.
    Bound(Option<Box<PlannedQuery>>),
    /// Some of its rows were fetched.
    Begun(Box<Answer>),
    Done,
}

impl Prepared {
    /// The bytes that it keeps.
    fn bytes(&self) -> usize {
        match &self.deed {
            Some(Deed::Query(text) | Deed::Show(text) | Deed::Deallocate(Some(text))) => text.len(),
            Some(Deed::Copy(copy)) => copy.query.len(),
            Some(Deed::Set { name, value, .. }) => name.len() + value.as_ref().map_or(0, String::len),
            _ => 0,
        }
    }

    pub(super) fn forget_plan(&mut self) {
        self.planned = None;
    }
}

impl Session {
    /// Takes a statement: what can be said of it is known from now on.
    pub(super) async fn parse(&mut self, asked: Parse) -> Result<(), Stop> {
        let name = asked.name.clone().unwrap_or_default();
        if !name.is_empty() && self.prepared.contains_key(&name) {
            let message = format!("there is a prepared statement '{name}' already: close it first");
            return Err(Stop::refused(state::DUPLICATE_STATEMENT, message));
        }
        if name.is_empty() {
            self.prepared.remove("");
        } else {
            self.refuse_too_much(self.prepared.len(), STATEMENTS_MAX, name.len() + asked.query.len())?;
        }
        // each is kept for whoever binds it at once, and for nobody later
        self.prepared.values_mut().for_each(Prepared::forget_plan);
        let statements = statements(&asked.query);
        let prepared = match &statements[..] {
            [] => Prepared { deed: None, types: Vec::new(), schema: None, planned: None },
            [statement] => {
                let deed = Deed::of(statement)?;
                let watch = self.watch();
                watch.over(self.prepare(deed, &asked.type_oids)).await?
            }
            _ => {
                let message =
                    "one statement is prepared at a time: send several as a simple query, or one after the other";
                return Err(Stop::refused(state::SYNTAX, message));
            }
        };
        self.prepared.insert(name, prepared);
        Ok(self.wire.feed(Said::ParseComplete(ParseComplete::new())).await?)
    }

    /// Whether one more with a name may be held, where there are so many: no client takes much memory by what it only prepares.
    fn refuse_too_much(&self, count: usize, most: usize, bytes: usize) -> Result<(), Stop> {
        let prepared = self.prepared.iter().map(|(name, prepared)| (name, name.len() + prepared.bytes()));
        let bound = self.portals.iter().map(|(name, (bytes, _))| (name, *bytes));
        let named = prepared.chain(bound).filter(|(name, _)| !name.is_empty());
        let held = named.map(|(_, bytes)| bytes).sum::<usize>();
        if count < most && held + bytes <= HELD_BYTES_MAX {
            return Ok(());
        }
        let message = format!(
            "{count} of its kind and {held} bytes in all are prepared or bound on this connection, and {most} of a kind and \
             {HELD_BYTES_MAX} bytes are the most: close some"
        );
        Err(Stop::refused(state::PROGRAM_LIMIT, message))
    }

    async fn prepare(&mut self, deed: Deed, oids: &[u32]) -> Result<Prepared, Stop> {
        self.may(&deed)?;
        let (types, schema, planned) = match &deed {
            Deed::Query(text) => {
                let planned = planned(&self.shared, &self.settings, text).await?;
                let types = values::types(planned.parameters(), oids)?;
                let (schema, planned) = told(&self.shared, planned, &types, oids).await?;
                (types, Some(schema), Some(planned))
            }
            // planned for its refusal alone: it announces no columns
            Deed::Copy(copy) => (Vec::new(), None, Some(planned(&self.shared, &self.settings, &copy.query).await?)),
            Deed::Show(_) | Deed::ShowAll => (Vec::new(), Some(self.shown(&deed)?.0), None),
            _ => (Vec::new(), None, None),
        };
        Ok(Prepared { deed: Some(deed), types, schema, planned })
    }

    /// Gives a statement its values. A query is planned anew, unless it was planned just now: each run is of its moment.
    pub(super) async fn bind(&mut self, asked: Bind) -> Result<(), Stop> {
        let name = asked.statement_name.clone().unwrap_or_default();
        let portal_name = asked.portal_name.clone().unwrap_or_default();
        if !portal_name.is_empty() && self.portals.contains_key(&portal_name) {
            let message = format!("there is a portal '{portal_name}' already: close it first");
            return Err(Stop::refused(state::DUPLICATE_CURSOR, message));
        }
        let of_statement = self.prepared.get(&name).map_or(0, Prepared::bytes);
        let values = asked.parameters.iter().flatten().map(Bytes::len).sum::<usize>();
        let bytes = portal_name.len() + of_statement + values;
        if portal_name.is_empty() {
            self.portals.remove("");
        } else {
            self.refuse_too_much(self.portals.len(), PORTALS_MAX, bytes)?;
        }
        let watch = self.watch();
        let portal = watch.over(self.bound(&name, &asked)).await?;
        self.portals.insert(portal_name, (bytes, portal));
        Ok(self.wire.feed(Said::BindComplete(BindComplete::new())).await?)
    }

    async fn bound(&mut self, name: &str, asked: &Bind) -> Result<Portal, Stop> {
        let formats = asked.result_column_format_codes.clone();
        let Some(prepared) = self.prepared.get_mut(name) else { return Err(no_statement(name)) };
        let (kept, deed) = (prepared.planned.take(), prepared.deed.clone());
        let (types, schema) = (prepared.types.clone(), prepared.schema.clone());
        let row = values::row(&types, asked)?;
        let Some(deed) = deed else {
            return Ok(Portal { deed: None, formats, schema: None, stage: Stage::Bound(None) });
        };
        self.may(&deed)?;
        let text = match &deed {
            Deed::Query(text) => text,
            Deed::Copy(copy) => &copy.query,
            _ => return Ok(Portal { deed: Some(deed), formats, schema, stage: Stage::Bound(None) }),
        };
        let mut query = match kept {
            Some(kept) => kept,
            None => planned(&self.shared, &self.settings, text).await?,
        };
        if !query.parameters().is_empty() && !types.is_empty() {
            let bound = within(&self.shared, Box::pin(async move { query.bind(&row).await })).await;
            query = bound.map_err(|refusal| Stop::of(Phase::Planning, refusal))?;
        }
        let now = ready_schema(&query)?;
        if let Some(difference) = schema.as_ref().and_then(|told| difference(now, told)) {
            let message = format!("the answer has other columns than when the statement was prepared: {difference}");
            let hint = "prepare it again: a view has a new version, or a value has another type than was told; CAST($1 AS \
                        double) says it";
            return Err(Stop::Refused(Told::new(state::NOT_SUPPORTED, message).with_hint(hint)));
        }
        let schema = schema.map(|_| SchemaRef::clone(now));
        Ok(Portal { deed: Some(deed), formats, schema, stage: Stage::Bound(Some(Box::new(query))) })
    }

    /// Says what a statement or a portal takes and answers.
    pub(super) async fn describe(&mut self, asked: &Describe) -> Result<(), Stop> {
        let name = asked.name.as_deref().unwrap_or_default();
        let (schema, formats) = if asked.target_type == TARGET_TYPE_BYTE_STATEMENT {
            let prepared = self.prepared.get(name).ok_or_else(|| no_statement(name))?;
            let types = prepared.types.iter().map(Taken::oid).collect();
            let schema = prepared.schema.clone();
            self.wire.feed(Said::ParameterDescription(ParameterDescription::new(types))).await?;
            (schema, Vec::new())
        } else {
            let (_, portal) = self.portals.get(name).ok_or_else(|| no_portal(name))?;
            (portal.schema.clone(), portal.formats.clone())
        };
        let Some(schema) = schema else { return Ok(self.wire.feed(Said::NoData(NoData::new())).await?) };
        let columns = Columns::new(&schema, &formats, self.settings.format())?;
        Ok(self.wire.feed(Said::RowDescription(columns.description())).await?)
    }

    /// Sends rows of a portal, from where it was left.
    pub(super) async fn execute(&mut self, asked: &Execute) -> Result<(), Stop> {
        let name = asked.name.clone().unwrap_or_default();
        // out of its place meanwhile: what fails half-way is gone
        let (bytes, mut portal) = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let limit = usize::try_from(asked.max_rows).unwrap_or_default();
        let watch = self.watch();
        watch.over(self.fetch(&mut portal, limit)).await?;
        let outlives = !matches!(portal.deed, Some(Deed::Commit | Deed::Rollback | Deed::Discard));
        if outlives {
            self.portals.insert(name, (bytes, portal));
        }
        Ok(())
    }

    async fn fetch(&mut self, portal: &mut Portal, limit: usize) -> Result<(), Stop> {
        let Some(deed) = &portal.deed else {
            return Ok(self.wire.feed(Said::EmptyQueryResponse(EmptyQueryResponse::new())).await?);
        };
        self.may(deed)?;
        let tag = match deed {
            Deed::Query(text) => tag_of(text),
            other => other.tag(),
        };
        let mut answer = match (std::mem::replace(&mut portal.stage, Stage::Done), deed) {
            (Stage::Begun(answer), _) => answer,
            (Stage::Bound(Some(planned)), Deed::Copy(copy)) => return self.copy(*planned, &copy.shape).await,
            (Stage::Bound(Some(planned)), _) => {
                let columns = Columns::new(ready_schema(&planned)?, &portal.formats, self.settings.format())?;
                Box::new(Answer::new(columns, run(&self.shared, *planned), self.pass.clone()))
            }
            (Stage::Bound(None), Deed::Show(_) | Deed::ShowAll) => {
                let (schema, rows) = self.shown(deed)?;
                let columns = Columns::new(&schema, &portal.formats, self.settings.format())?;
                Box::new(Answer::new(columns, rows, self.pass.clone()))
            }
            (Stage::Bound(None), _) => return self.act(deed).await,
            (Stage::Done, Deed::Query(_) | Deed::Show(_) | Deed::ShowAll) => {
                let done = CommandComplete::new(format!("{tag} 0"));
                return Ok(self.wire.feed(Said::CommandComplete(done)).await?);
            }
            (Stage::Done, _) => {
                return Err(Stop::refused(
                    state::NO_CURSOR,
                    "the portal was executed already: bind its statement again",
                ));
            }
        };
        if self.send_rows(&mut answer, limit, tag).await? {
            portal.stage = Stage::Begun(answer);
            self.wire.feed(Said::PortalSuspended(PortalSuspended::new())).await?;
        }
        Ok(())
    }

    /// Forgets a statement or a portal; one that is forgotten already is closed as well.
    pub(super) async fn close(&mut self, asked: &Close) -> Result<(), Stop> {
        let name = asked.name.as_deref().unwrap_or_default();
        if asked.target_type == TARGET_TYPE_BYTE_STATEMENT {
            drop(self.prepared.remove(name));
        } else {
            drop(self.portals.remove(name));
        }
        Ok(self.wire.feed(Said::CloseComplete(CloseComplete::new())).await?)
    }
}

/// The columns that a client is told of: where it says itself what its values are, those are what comes of such values.
async fn told(
    shared: &Shared,
    query: PlannedQuery,
    types: &[Taken],
    oids: &[u32],
) -> Result<(SchemaRef, PlannedQuery), Stop> {
    if query.parameters().is_empty() || oids.iter().all(|oid| *oid == 0) {
        return Ok((SchemaRef::clone(query.schema()), query));
    }
    let nulls = values::nulls(types)?;
    let asked = async move {
        // a query that no null can be put into still has the columns that it names
        let schema = query.schema_with(&nulls).await.unwrap_or_else(|_| SchemaRef::clone(query.schema()));
        Ok((schema, query))
    };
    within(shared, asked).await.map_err(|refusal| Stop::of(Phase::Planning, refusal))
}

/// Why clients that were told of one cannot take rows of the other; none if they can. How a type is stored is not told, and may
/// change with the values.
fn difference(now: &SchemaRef, told: &SchemaRef) -> Option<String> {
    let (count, before) = (now.fields().len(), told.fields().len());
    if count != before {
        return Some(format!("there are {count}, and there were {before}"));
    }
    let said = |field: &FieldRef| format!("'{}' of the type {}", field.name(), type_of(field).name());
    let mut pairs = now.fields().iter().zip(told.fields()).map(|(now, told)| (said(now), said(told)));
    pairs.find(|(now, told)| now != told).map(|(now, told)| format!("{now}, which was {told}"))
}

fn no_statement(name: &str) -> Stop {
    Stop::refused(state::NO_STATEMENT, format!("there is no prepared statement '{name}': prepare it again"))
}

fn no_portal(name: &str) -> Stop {
    let message =
        format!("there is no portal '{name}': it was closed, or its transaction has ended; bind its statement again");
    Stop::refused(state::NO_CURSOR, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn columns_are_alike_where_clients_see_no_difference() {
        let schema = |fields: &[(&str, DataType)]| -> SchemaRef {
            let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
            Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
        };
        let told = schema(&[("a", DataType::Utf8), ("b", DataType::Decimal128(38, 0))]);
        let same = schema(&[("a", DataType::Utf8View), ("b", DataType::Decimal128(38, 2))]);
        assert_eq!(difference(&same, &told), None);
        let other = schema(&[("a", DataType::Int64), ("b", DataType::Decimal128(38, 0))]);
        assert_eq!(difference(&other, &told).as_deref(), Some("'a' of the type int8, which was 'a' of the type text"));
        let fewer = schema(&[("a", DataType::Utf8)]);
        assert_eq!(difference(&fewer, &told).as_deref(), Some("there are 1, and there were 2"));
    }
}
