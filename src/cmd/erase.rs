//! `erase VIEW --entity k=v`.

use anyhow::Result;
use hitherto_core::{Kind, Name, Span};
use hitherto_engine::{Act, Engine, ErasedEntity, ErasureRequest, Holding, Holds, Suspect, Whereabouts};
use hitherto_offline::CompactOptions;
use hitherto_offline::input::InputError;
use serde_json::json;

use super::get::row_of_flag;
use crate::args::Global;
use crate::config::Config;
use crate::locations;
use crate::output::{self, Format, thousands};
use crate::size::Size;
use crate::stores::{self, Use};

/// Flags of `erase`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The feature view
    view: Name,
    /// The entity key: k=v,k2=v2
    #[arg(long, value_name = "K=V,…")]
    entity: String,
    /// Do it. Without this nothing is changed, and what would go is shown
    #[arg(long)]
    yes: bool,
    /// Keep the files that still hold the rows for so long, for those who are reading them
    #[arg(long, value_name = "TIME", default_value = "7d")]
    delay: Span,
    /// Memory for rewriting files; what does not fit waits in temporary files (in TMPDIR)
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    memory_limit: Size,
}

const AFTER: &str = "\
History is rewritten without the entity's rows, in one commit; its row leaves the online store; ingests, compactions, \
materializations and pushes that began before cannot bring it back. Rows that come later are new: erase again if they \
should not be there.

One view a call: views whose keys are the same, and which have rows of the entity, are named with the command that erases \
from each; no view with another key is looked into.

Files that still hold the rows are deleted when the delay is over, and the table's log from before with them: `hitherto \
serve` does so by itself, otherwise run `hitherto vacuum`. Keep the delay longer than any ingest, training set or \
rebuild takes: with 0s those that are at work fail, or lose their rows.

Training sets are files of yours: those that hold rows of the entity are listed, with the model versions that were \
trained on them, and stay; so are other files of theirs, and their spines. `surely` is said of those with rows of the \
key, `possibly` where nothing tells: where the query of a spine read the table, or another such training set, where the \
spine was the file of one, wherever that lay, where the manifest was forgotten, or where the file cannot be read. \
A training set with values of it cannot be built again, and its manifest may quote them: `hitherto dataset forget` \
removes the manifest of one that no model version needs. One that is being built meanwhile is not kept, and says so. \
What is made later of a file that is listed holds the entity too: the same command without --yes looks again.

Rows with a null in some part of their key are of no entity: they are counted, and stay. Copies that were made of \
training sets, what `hitherto dataset rebuild` wrote, files that were ingested, backups, exports, batch ids that name \
somebody, and the free pages of databases are beyond reach.

Nothing that is kept for good names the entity: the audit log has the view, the numbers of rows and the erasure's id. \
For the delay, the table's log has a salted hash of the key.";

/// Erase, or look, and say what was found where.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    // definitions are only read: where there are none there is nothing to do, and nothing is made
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    let request = ErasureRequest {
        view: args.view.clone(),
        key: row_of_flag(&args.entity)?,
        delay: args.delay,
        act: if args.yes { Act::Erase } else { Act::LookOnly },
    };
    let options = CompactOptions { memory_bytes: args.memory_limit.0, ..CompactOptions::default() };
    let bar = output::progress("rewriting", Some(0));
    let seen = |rows, of| {
        bar.set_length(of);
        bar.set_position(rows);
    };
    let mut entity = engine.erase(&request, &options, &seen).await?;
    if args.yes && engine.online().is_err() {
        // the online store may have been made while history was rewritten, and filled from what it was before
        let again = stores::open(config, Use::Existing, global.clock).await?;
        if again.online().is_ok() {
            entity = again.erase(&request, &options, &seen).await?;
        }
    }
    bar.finish_and_clear();
    let outside = Outside::of(&engine, &entity).await?;
    match global.output {
        Format::Json => output::json(&object(&entity, &outside)?)?,
        Format::Table => show(&entity, &outside.holdings)?,
    }
    notes(&args, &entity, &outside);
    if args.yes {
        // what is due goes now; of a delay of 0s that is this erasure
        engine.purge(std::slice::from_ref(&args.view)).await?;
    }
    Ok(())
}

/// What holds the entity outside of the stores, or may.
#[derive(Debug, Default)]
struct Outside {
    holdings: Vec<Holding>,
    /// Places that could not be looked at, and why.
    unread: Vec<(String, String)>,
}

impl Outside {
    async fn of(engine: &Engine, entity: &ErasedEntity) -> Result<Self> {
        let mut outside = Self::default();
        let mut whereabouts = engine.whereabouts().await?;
        for place in engine.loose_places(&whereabouts).await? {
            let file = match locations::input(std::slice::from_ref(&place), None).await {
                Ok(file) => engine.loose_file(&place, &file).await.map_err(anyhow::Error::from),
                Err(error) => Err(error),
            };
            match file {
                Ok(Some(file)) => whereabouts.add(file),
                Ok(None) => {}
                Err(error) if is_gone(&error) => {}
                Err(error) => outside.unread.push((place, format!("{error:#}"))),
            }
        }
        let mut looked_into = engine.datasets_forgotten(&whereabouts).await?;
        let forgotten_count = looked_into.len();
        let mut suspects = engine.datasets_concerned(entity).await?;
        suspects.extend(engine.datasets_drawn_from(&looked_into).await?);
        // a training set may be the spine of the next, and that of another
        loop {
            let mut is_news = false;
            for suspect in &suspects {
                let known = looked_into.iter_mut().find(|known| known.dataset == suspect.dataset.id);
                if let Some(known) = known {
                    is_news |= known.add_grounds(&suspect.grounds);
                    continue;
                }
                looked_into.push(looked_at(engine, entity, suspect, &whereabouts).await?);
                is_news = true;
            }
            if !is_news {
                break;
            }
            suspects = engine.datasets_drawn_from(&looked_into).await?;
        }
        looked_into.rotate_left(forgotten_count);
        engine.note_others_erased(entity, &mut looked_into).await?;
        outside.holdings = looked_into.into_iter().filter(|one| one.is_one() && !one.is_gone).collect();
        Ok(outside)
    }
}

/// What a training set's file holds; where that cannot be read, the first of its other files that can be.
async fn looked_at(
    engine: &Engine,
    entity: &ErasedEntity,
    suspect: &Suspect,
    whereabouts: &Whereabouts,
) -> Result<Holding> {
    let file = locations::input(std::slice::from_ref(&suspect.dataset.location), None).await;
    let file = file.map_err(|error| format!("{error:#}"));
    let mut holding = engine.holding(entity, suspect, file, whereabouts).await?;
    if holding.fault.is_some() {
        for place in holding.copies.clone() {
            let Ok(copy) = locations::input(&[place], None).await else { continue };
            if engine.holding_by_copy(entity, suspect, &copy, &mut holding).await.is_ok() {
                break;
            }
        }
    }
    Ok(holding)
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<InputError>().is_some_and(|error| error.kind() == Kind::NotFound)
}

/// Whether it can be built again, as far as that is known.
fn rebuilt(holding: &Holding) -> &str {
    match (&holding.fault, holding.rows_with_values) {
        (Some(fault), _) => fault.as_str(),
        (None, Some(0)) if holding.grounds.is_empty() && holding.others_erased => {
            "perhaps: rows of others were erased from what it read"
        }
        (None, Some(0)) if holding.grounds.is_empty() => "yes",
        // history gives its features again; its spine's rows are nowhere else
        (None, Some(0)) => "from its file alone",
        (None, Some(_)) => "no",
        (None, None) => "no: it has no manifest",
    }
}

fn show(entity: &ErasedEntity, holdings: &[Holding]) -> Result<()> {
    let verb = if entity.id.is_some() { "ERASED" } else { "TO ERASE" };
    let tables = entity.tables.iter().map(|table| {
        let earlier: u64 = table.earlier.values().sum();
        let before = if earlier > 0 { format!(", {} before", thousands(earlier)) } else { String::new() };
        vec![
            format!("table {}", table.table),
            format!("{} rows{before}", thousands(table.rows)),
            format!("{} files", table.files),
        ]
    });
    let online = entity.online.iter().map(|reading| {
        let rows = if reading.held { "1 row" } else { "no row" };
        vec![format!("online {}", reading.reading), rows.to_owned(), String::new()]
    });
    output::table(&["FROM", verb, "IN"], &tables.chain(online).collect::<Vec<_>>())?;
    if holdings.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let row = |holding: &Holding| {
        let holds = match holding.holds {
            Holds::Surely => "surely",
            Holds::Possibly => "possibly",
        };
        let rows = holding.rows.map_or_else(|| "?".to_owned(), thousands);
        let (rebuild, models) = (rebuilt(holding).to_owned(), holding.models.join(" "));
        vec![short(holding), holds.to_owned(), rows, rebuild, models, holding.location.clone()]
    };
    let heading = ["TRAINING SET", "HOLDS IT", "ROWS OF IT", "CAN BE REBUILT", "MODELS", "FILE"];
    output::table(&heading, &holdings.iter().map(row).collect::<Vec<_>>())?;
    let others = holdings.iter().flat_map(|holding| {
        let other =
            move |place: &String, what: &str| vec![place.clone(), format!("{what} of training set {}", short(holding))];
        let copies = holding.copies.iter().map(move |place| other(place, "another file"));
        copies.chain(holding.spine.iter().chain(&holding.other_spines).map(move |place| other(place, "the spine")))
    });
    let others: Vec<Vec<String>> = others.collect();
    if others.is_empty() {
        return Ok(());
    }
    output::line("")?;
    output::table(&["OTHER FILE", "WHAT IT IS"], &others)
}

/// As much of its id as people read.
fn short(holding: &Holding) -> String {
    holding.dataset.chars().take(12).collect()
}

fn notes(args: &Args, entity: &ErasedEntity, outside: &Outside) {
    for holding in &outside.holdings {
        for ground in &holding.grounds {
            let what = if holding.holds == Holds::Surely { "more of it" } else { "it" };
            output::note(format!("training set {} may hold {what}: {ground}", short(holding)));
        }
    }
    for (place, fault) in &outside.unread {
        output::note(format!("a training set lay at {place} once, and it could not be looked at: {fault}"));
    }
    for table in entity.tables.iter().filter(|table| table.null_part_rows > 0) {
        output::note(format!(
            "{} rows of table {} have this key but for parts that are null: they match no key, and were left as they are",
            thousands(table.null_part_rows),
            table.table
        ));
    }
    for other in &entity.others {
        output::note(format!(
            "{} has {} rows of the same key: `hitherto erase {} --entity …` erases them",
            other.view,
            thousands(other.rows),
            other.view
        ));
    }
    for (table, names) in &entity.other_keys {
        let key = names.iter().map(|name| format!("{name}=…")).collect::<Vec<_>>().join(",");
        output::note(format!("table {table} of the view has the key {key}, and was left as it is"));
    }
    if entity.id.is_none() {
        output::note("nothing was changed: add --yes to erase");
    } else if args.delay > Span::ZERO && entity.rows() > 0 {
        output::note(format!(
            "files that still hold the rows go at {}: `hitherto serve` deletes them by itself, otherwise run `hitherto vacuum \
             {}` then",
            entity.files_go_at, entity.view
        ));
    }
}

fn object(entity: &ErasedEntity, outside: &Outside) -> Result<serde_json::Value> {
    let holding = |holding: &Holding| -> Result<serde_json::Value> {
        let mut object = serde_json::to_value(holding)?;
        object["can_be_rebuilt"] = rebuilt(holding).into();
        Ok(object)
    };
    let unread = outside.unread.iter().map(|(place, fault)| json!({"location": place, "fault": fault}));
    Ok(json!({
        "id": entity.id, "view": entity.view, "erased": entity.id.is_some(), "rows": entity.rows(),
        "files_go_at": entity.files_go_at.to_string(), "tables": entity.tables, "other_keys": entity.other_keys, "online": entity.online,
        "other_views": entity.others, "datasets": outside.holdings.iter().map(holding).collect::<Result<Vec<_>>>()?,
        "unread": unread.collect::<Vec<_>>(),
    }))
}
