//! What a statement asks for: a query, which the planner judges, or one of the few things that a connection does itself.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::copy::CopyOut;
use super::failure::{Stop, state};
use super::settings::{Until, read_only};
use super::words::{Statement, statements};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Whatever the planner makes of it: nothing that is not a query gets past it.
    Query(String),
    /// The rows of a query as a file.
    Copy(CopyOut),
    /// A transaction begins. There is nothing to be undone, and each query has a snapshot of its own.
    Begin,
    Commit,
    Rollback,
    /// A place in a transaction gets a name.
    Savepoint(String),
    /// It loses it.
    Release(String),
    /// The transaction goes on from there.
    RollbackTo(String),
    /// A setting gets a value, or its first one back.
    Set {
        name: String,
        value: Option<String>,
        until: Until,
    },
    Show(String),
    ShowAll,
    ResetAll,
    /// Everything of the connection is forgotten.
    Discard,
    /// A prepared statement is forgotten, or all are.
    Deallocate(Option<String>),
    /// Nothing, and its name is said.
    Nothing(&'static str),
}

/// Statements that write, whatever they are called besides: they are refused by the planner like others that are no query, with a
/// state of their own.
const WRITING: [&str; 23] = [
    "alter", "analyze", "call", "cluster", "comment", "copy", "create", "delete", "do", "drop", "grant", "import",
    "insert", "lock", "merge", "notify", "refresh", "reindex", "revoke", "security", "truncate", "update", "vacuum",
];

/// What is said of a transaction, and decides nothing here.
const TRANSACTION: [&str; 15] = [
    "as",
    "characteristics",
    "committed",
    "deferrable",
    "isolation",
    "level",
    "not",
    "only",
    "read",
    "repeatable",
    "serializable",
    "session",
    "transaction",
    "uncommitted",
    "work",
];

/// Whether a statement that was refused means to write: by its first word, that of what it explains, or a part that writes.
pub(super) fn is_writing(text: &str) -> bool {
    let statements = statements(text);
    let Some(statement) = statements.first() else { return false };
    let mut place = 0;
    if statement.has(0, &["explain"]) {
        place = 1;
        while statement.has(place, &["analyze"]) || statement.has(place, &["verbose"]) {
            place += 1;
        }
        if matches!(statement.token(place), Some(Token::LParen)) {
            place = statement.after_closing(place).unwrap_or(place);
        }
    }
    let parts = || place..statement.len();
    match statement.word(place).as_deref() {
        // a part begins after its parenthesis, and what all is for after the last
        Some("with") => parts().any(|at| {
            let is_begun = matches!(statement.token(at), Some(Token::LParen | Token::RParen));
            let writes = statement.has(at + 1, &["delete", "from"]) || statement.has(at + 1, &["update"]);
            (is_begun && writes) || statement.has(at, &["into"])
        }),
        Some("select") => parts().any(|at| statement.has(at, &["into"])),
        first => first.is_some_and(|word| WRITING.contains(&word)),
    }
}

impl Deed {
    /// What the statement asks for.
    pub(super) fn of(statement: &Statement<'_>) -> Result<Self, Stop> {
        let first = statement.word(0).unwrap_or_default();
        match first.as_str() {
            "copy" => match CopyOut::of(statement)? {
                Some(copy) => Ok(Self::Copy(copy)),
                None => Ok(Self::Query(statement.text.to_owned())),
            },
            "begin" => transaction(statement, 1, Self::Begin),
            "start" if statement.has(1, &["transaction"]) => transaction(statement, 2, Self::Begin),
            "commit" | "end" => ended(statement, Self::Commit),
            "rollback" | "abort" => match place_in(statement) {
                Some(at) => named(statement, at, Self::RollbackTo),
                None => ended(statement, Self::Rollback),
            },
            "savepoint" => named(statement, 1, Self::Savepoint),
            "release" => named(statement, if statement.has(1, &["savepoint"]) { 2 } else { 1 }, Self::Release),
            "set" => set(statement),
            "show" => show(statement),
            "reset" if statement.has(1, &["all"]) => Ok(Self::ResetAll),
            "reset" => {
                let (name, _) = setting(statement, 1)?;
                Ok(Self::Set { name, value: None, until: Until::Close })
            }
            "discard" => match statement.word(1).as_deref() {
                Some("all") => Ok(Self::Discard),
                Some("plans") => Ok(Self::Deallocate(None)),
                Some("temp" | "temporary" | "sequences") => Ok(Self::Nothing("DISCARD")),
                _ => Err(odd(statement)),
            },
            "deallocate" => {
                let place = if statement.has(1, &["prepare"]) { 2 } else { 1 };
                if statement.has(place, &["all"]) {
                    return Ok(Self::Deallocate(None));
                }
                statement.name(place).map(|name| Self::Deallocate(Some(name))).ok_or_else(|| odd(statement))
            }
            "unlisten" => Ok(Self::Nothing("UNLISTEN")),
            "prepare" | "execute" => {
                Err(unsupported("statements are prepared by the protocol (Parse, Bind), as drivers do, and not in SQL"))
            }
            "declare" | "fetch" | "close" | "move" => Err(unsupported(
                "there are no cursors in SQL: fetch by the protocol (a portal with a limit), as drivers do; in psql leave \
                 FETCH_COUNT at 0",
            )),
            "listen" => Err(unsupported("there is nobody to listen to")),
            _ => Ok(Self::Query(statement.text.to_owned())),
        }
    }

    /// What is said when it is done, where it has no rows.
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Self::Query(_) | Self::Copy(_) => "SELECT",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Rollback | Self::RollbackTo(_) => "ROLLBACK",
            Self::Savepoint(_) => "SAVEPOINT",
            Self::Release(_) => "RELEASE",
            Self::Set { value: Some(_), .. } => "SET",
            Self::Set { value: None, .. } | Self::ResetAll => "RESET",
            Self::Show(_) | Self::ShowAll => "SHOW",
            Self::Discard => "DISCARD ALL",
            Self::Deallocate(Some(_)) => "DEALLOCATE",
            Self::Deallocate(None) => "DEALLOCATE ALL",
            Self::Nothing(tag) => tag,
        }
    }
}

/// `BEGIN` and its like: how a transaction is isolated decides nothing here, but none may write.
fn transaction(statement: &Statement<'_>, from: usize, deed: Deed) -> Result<Deed, Stop> {
    if (from..statement.len()).any(|place| statement.has(place, &["read", "write"])) {
        return Err(read_only("a transaction cannot write here"));
    }
    let is_known = |place| match statement.token(place) {
        Some(Token::Comma) => true,
        _ => statement.word(place).is_some_and(|word| TRANSACTION.contains(&word.as_str())),
    };
    if (from..statement.len()).all(is_known) { Ok(deed) } else { Err(odd(statement)) }
}

/// Where the name is in `ROLLBACK TO`; none of a rollback of everything.
fn place_in(statement: &Statement<'_>) -> Option<usize> {
    let to = if statement.has(1, &["work"]) || statement.has(1, &["transaction"]) { 2 } else { 1 };
    let after = statement.has(to, &["to"]).then_some(to + 1)?;
    Some(if statement.has(after, &["savepoint"]) { after + 1 } else { after })
}

/// A deed with the name that ends the statement.
fn named(statement: &Statement<'_>, place: usize, deed: fn(String) -> Deed) -> Result<Deed, Stop> {
    let name = statement.name(place).filter(|_| statement.len() == place + 1);
    name.map(deed).ok_or_else(|| odd(statement))
}

fn ended(statement: &Statement<'_>, deed: Deed) -> Result<Deed, Stop> {
    if statement.has(1, &["prepared"]) {
        return Err(unsupported("no transaction is prepared here: nothing is written"));
    }
    let place = if statement.has(1, &["work"]) || statement.has(1, &["transaction"]) { 2 } else { 1 };
    if statement.has(place, &["and", "chain"]) {
        return Err(unsupported("no transaction begins with the end of another: write BEGIN after it"));
    }
    let rest = if statement.has(place, &["and", "no", "chain"]) { place + 3 } else { place };
    if rest < statement.len() {
        return Err(odd(statement));
    }
    Ok(deed)
}

fn set(statement: &Statement<'_>) -> Result<Deed, Stop> {
    let (from, until) = match statement.word(1).as_deref() {
        Some("local") => (2, Until::Commit),
        Some("session") if !statement.has(2, &["characteristics"]) && !statement.has(2, &["authorization"]) => {
            (2, Until::Close)
        }
        _ => (1, Until::Close),
    };
    if statement.has(from, &["transaction"]) || statement.has(from, &["session", "characteristics"]) {
        return transaction(statement, from, Deed::Nothing("SET"));
    }
    if statement.has(from, &["session", "authorization"]) || statement.has(from, &["role"]) {
        return Err(unsupported("a connection is its token's: connect with the other one"));
    }
    let (name, mut place) = if statement.has(from, &["time", "zone"]) {
        ("TimeZone".to_owned(), from + 2)
    } else if statement.has(from, &["names"]) {
        ("client_encoding".to_owned(), from + 1)
    } else {
        let (name, place) = setting(statement, from)?;
        let is_given = statement.has(place, &["to"]) || matches!(statement.token(place), Some(Token::Eq));
        (name, if is_given { place + 1 } else { return Err(odd(statement)) })
    };
    if statement.has(place, &["default"]) || (name == "TimeZone" && statement.has(place, &["local"])) {
        return Ok(Deed::Set { name, value: None, until });
    }
    let mut values = Vec::new();
    loop {
        let is_negative = matches!(statement.token(place), Some(Token::Minus));
        place += usize::from(is_negative);
        let value = statement.value(place).ok_or_else(|| odd(statement))?;
        values.push(if is_negative { format!("-{value}") } else { value });
        match statement.token(place + 1) {
            None => break,
            Some(Token::Comma) => place += 2,
            Some(_) => return Err(odd(statement)),
        }
    }
    Ok(Deed::Set { name, value: Some(values.join(", ")), until })
}

fn show(statement: &Statement<'_>) -> Result<Deed, Stop> {
    match statement.word(1).as_deref() {
        Some("all") => Ok(Deed::ShowAll),
        Some("time") if statement.has(2, &["zone"]) => Ok(Deed::Show("TimeZone".to_owned())),
        Some("transaction") if statement.has(2, &["isolation", "level"]) => {
            Ok(Deed::Show("transaction_isolation".to_owned()))
        }
        // what the planner shows: it says what there is
        Some("tables" | "columns" | "functions" | "create") => Ok(Deed::Query(statement.text.to_owned())),
        _ => Ok(Deed::Show(setting(statement, 1)?.0)),
    }
}

/// The name of a setting, parts and all, and the place after it.
fn setting(statement: &Statement<'_>, from: usize) -> Result<(String, usize), Stop> {
    let mut place = from;
    let mut name = statement.name(place).ok_or_else(|| odd(statement))?;
    while let Some(Token::Period) = statement.token(place + 1) {
        place += 2;
        name = format!("{name}.{}", statement.name(place).ok_or_else(|| odd(statement))?);
    }
    Ok((name, place + 1))
}

fn odd(statement: &Statement<'_>) -> Stop {
    let first = statement.word(0).unwrap_or_default().to_uppercase();
    Stop::refused(state::SYNTAX, format!("this {first} is not understood: {}", statement.text))
}

fn unsupported(message: &str) -> Stop {
    Stop::refused(state::NOT_SUPPORTED, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(text: &str) -> Result<Deed, &'static str> {
        Deed::of(&statements(text)[0]).map_err(|stop| match stop {
            Stop::Refused(told) => told.state,
            _ => "no refusal",
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what is expected, beside refusals")]
    fn set(name: &str, value: Option<&str>, until: Until) -> Result<Deed, &'static str> {
        Ok(Deed::Set { name: name.to_owned(), value: value.map(str::to_owned), until })
    }

    #[test]
    fn what_a_connection_does_itself_is_told_from_queries() {
        for (text, expected) in [
            ("BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", Ok(Deed::Begin)),
            ("start transaction", Ok(Deed::Begin)),
            ("begin read write", Err("25006")),
            ("begin work isolation level read committed, not deferrable", Ok(Deed::Begin)),
            ("begin immediate", Err("42601")),
            ("set transaction snapshot '00000003-1'", Err("42601")),
            ("END", Ok(Deed::Commit)),
            ("rollback work", Ok(Deed::Rollback)),
            ("commit transaction and no chain", Ok(Deed::Commit)),
            ("commit and chain", Err("0A000")),
            ("rollback work and chain", Err("0A000")),
            ("commit now", Err("42601")),
            ("rollback to savepoint a", Ok(Deed::RollbackTo("a".to_owned()))),
            ("ROLLBACK WORK TO \"A\"", Ok(Deed::RollbackTo("A".to_owned()))),
            ("savepoint a", Ok(Deed::Savepoint("a".to_owned()))),
            ("release savepoint a", Ok(Deed::Release("a".to_owned()))),
            ("release A", Ok(Deed::Release("a".to_owned()))),
            ("savepoint", Err("42601")),
            ("set session characteristics as transaction read only", Ok(Deed::Nothing("SET"))),
            ("set transaction read write", Err("25006")),
            ("SET DateStyle TO ISO, DMY", set("datestyle", Some("ISO, DMY"), Until::Close)),
            ("set session statement_timeout = '5s'", set("statement_timeout", Some("5s"), Until::Close)),
            ("set local extra_float_digits = -3", set("extra_float_digits", Some("-3"), Until::Commit)),
            ("set time zone 'UTC'", set("TimeZone", Some("UTC"), Until::Close)),
            ("set names 'utf8'", set("client_encoding", Some("utf8"), Until::Close)),
            ("set datafusion.a.b = 1", set("datafusion.a.b", Some("1"), Until::Close)),
            ("set search_path to default", set("search_path", None, Until::Close)),
            ("reset search_path", set("search_path", None, Until::Close)),
            ("set a 1", Err("42601")),
            ("set role admin", Err("0A000")),
            ("show server_version", Ok(Deed::Show("server_version".to_owned()))),
            ("SHOW TRANSACTION ISOLATION LEVEL", Ok(Deed::Show("transaction_isolation".to_owned()))),
            ("show tables", Ok(Deed::Query("show tables".to_owned()))),
            ("discard all", Ok(Deed::Discard)),
            ("deallocate \"S_1\"", Ok(Deed::Deallocate(Some("S_1".to_owned())))),
            ("select 1", Ok(Deed::Query("select 1".to_owned()))),
            ("insert into legs values (1)", Ok(Deed::Query("insert into legs values (1)".to_owned()))),
            ("copy legs from stdin", Ok(Deed::Query("copy legs from stdin".to_owned()))),
        ] {
            assert_eq!(deed(text), expected, "{text}");
        }
    }

    #[test]
    fn what_means_to_write_is_known_by_its_words() {
        for text in [
            "INSERT INTO a VALUES (1)",
            " delete from a",
            "Create Table a (b int)",
            "copy a from stdin",
            "do $$ $$",
            "with x as (insert into a values (1) returning b) select * from x",
            "with x as (select 1) delete from a",
            "select b into c from a",
            "explain insert into a values (1)",
            "explain (analyze, verbose) update a set b = 1",
            "EXPLAIN ANALYZE VERBOSE delete from a",
        ] {
            assert!(is_writing(text), "{text}");
        }
        for text in [
            "select 'insert'",
            "select 'x into y', \"into\" from a",
            "with a as (select 1) select * from a",
            "with a as (select delete from b) select * from a",
            "explain select 1",
            "explain analyze select 1",
            "updates",
            "",
        ] {
            assert!(!is_writing(text), "{text}");
        }
    }
}
