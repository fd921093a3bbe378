//! Opening a file: its folder, its journal mode, its tables; and what SQLite's failures mean.

use std::path::Path;
use std::time::Duration;

use hitherto_core::Kind;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::{Error, Result};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How often opening is tried while other processes open the same new file.
const ATTEMPTS_MAX: u32 = 200;
/// Together with the attempts: at least ten seconds.
const PAUSE: Duration = Duration::from_millis(50);

/// Puts the file into WAL mode and brings its tables up to date.
///
/// SQLite refuses to change the journal mode at once, without its usual waiting, while another process has the file
/// open; that happens only while several processes create it, so trying again is all it takes.
pub(super) async fn prepare(options: &SqliteConnectOptions) -> Result<(), MigrateError> {
    let options = options.clone().journal_mode(SqliteJournalMode::Wal);
    let mut attempts = 1;
    loop {
        match migrate(&options).await {
            Err(MigrateError::Execute(error)) if is_busy(&error) && attempts < ATTEMPTS_MAX => {
                tracing::debug!(attempts, %error, "the registry is being created or brought up to date by another process");
                attempts += 1;
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn migrate(options: &SqliteConnectOptions) -> Result<(), MigrateError> {
    let mut connection = options.connect().await?;
    if !is_current(&mut connection).await? {
        // the migrator has no lock for SQLite: under the write lock, one process migrates and the next finds it done
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        MIGRATIONS.run_direct(None, &mut *transaction, false).await?;
        transaction.commit().await?;
    }
    Ok(connection.close().await?)
}

/// Whether the tables are exactly ours, so that opening need not wait for a writer.
async fn is_current(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let exists: Option<(i64,)> =
        sqlx::query_as("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'")
            .fetch_optional(&mut *connection)
            .await?;
    if exists.is_none() {
        return Ok(false);
    }
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(&mut *connection)
            .await?;
    Ok(applied
        .iter()
        .map(|(version, sum)| (*version, sum.as_slice()))
        .eq(MIGRATIONS.iter().map(|m| (m.version, &*m.checksum))))
}

/// Why the file could not be opened.
pub(super) fn refused(path: &Path, error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            failed("open the registry", path, error)
        }
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => Error::Unsupported {
            url: format!("sqlite://{}", path.display()),
            reason: "another version of hitherto wrote it; use that version or a later one".to_owned(),
        },
        error => store("open the registry", path, Kind::Internal, error),
    }
}

/// What a failure of SQLite means.
pub(super) fn failed(doing: &'static str, path: &Path, error: sqlx::Error) -> Error {
    let kind = match &error {
        sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => Kind::Unavailable,
        error => match code(error) {
            Some(FULL) => Kind::Exhausted,
            Some(BUSY | LOCKED | READONLY | IOERR | CANTOPEN) => Kind::Unavailable,
            _ => Kind::Internal,
        },
    };
    store(doing, path, kind, error)
}

fn store(
    doing: &'static str,
    path: &Path,
    kind: Kind,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::Store { doing, place: format!("sqlite://{}", path.display()), kind, source: Box::new(source) }
}

// primary result codes of SQLite: https://www.sqlite.org/rescode.html
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;

fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(BUSY | LOCKED))
}

/// The primary code is the low byte of the extended code.
fn code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Creates the folder of `path` and makes it durable: SQLite syncs the folder of its file, but not those above it.
pub(super) async fn create_folder(path: &Path) -> Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let failed = |error| failed("create the folder of the registry", path, sqlx::Error::Io(error));
    let missing: Vec<&Path> = folder.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    for parent in missing.iter().filter_map(|created| created.parent()) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        sync_folder(parent).await.map_err(failed)?;
    }
    Ok(())
}

#[cfg(unix)]
async fn sync_folder(folder: &Path) -> std::io::Result<()> {
    tokio::fs::File::open(folder).await?.sync_all().await
}

#[cfg(not(unix))]
async fn sync_folder(_: &Path) -> std::io::Result<()> {
    // elsewhere a folder cannot be opened as a file, and its entries are durable with the files in it
    Ok(())
}
