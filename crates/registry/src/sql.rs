//! The statements, in the subset of SQL that SQLite and PostgreSQL share. `$1` is always the project.

/// No row before the first change.
pub(crate) const REVISION: &str = "SELECT revision FROM revisions WHERE project = $1";

/// The first statement of every change: in PostgreSQL its row lock makes changes wait for each other.
pub(crate) const RAISE_REVISION: &str = "INSERT INTO revisions (project, revision) VALUES ($1, 1)
    ON CONFLICT (project) DO UPDATE SET revision = revisions.revision + 1 RETURNING revision";

pub(crate) const DEFINITIONS: &str = "SELECT kind, name, version, body FROM definitions WHERE project = $1
    ORDER BY kind, name, version";

pub(crate) const DEFINITION: &str =
    "SELECT body FROM definitions WHERE project = $1 AND kind = $2 AND name = $3 AND version = $4";

pub(crate) const LATEST_DEFINITION: &str =
    "SELECT COALESCE(MAX(version), 0) FROM definitions WHERE project = $1 AND kind = $2 AND name = $3";

pub(crate) const PUT_DEFINITION: &str =
    "INSERT INTO definitions (project, kind, name, version, hash, body, applied_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (project, kind, name, version) DO UPDATE SET body = excluded.body";

/// Versions of a definition with their hashes, by name.
pub(crate) const SETS: &str = "SELECT name, version, hash FROM definitions WHERE project = $1 AND kind = $2
    ORDER BY name, version";

pub(crate) const TABLES: &str = "SELECT id, body FROM tables WHERE project = $1 ORDER BY id";

pub(crate) const TABLE: &str = "SELECT body FROM tables WHERE project = $1 AND id = $2";

pub(crate) const PUT_TABLE: &str = "INSERT INTO tables (project, id, body, applied_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (project, id) DO UPDATE SET body = excluded.body";

pub(crate) const LATEST_MODELS: &str = "SELECT name, version, body FROM model_versions AS m WHERE project = $1
    AND version = (SELECT MAX(version) FROM model_versions AS o WHERE o.project = m.project AND o.name = m.name)
    ORDER BY name";

pub(crate) const MODEL_VERSIONS: &str =
    "SELECT name, version, body FROM model_versions WHERE project = $1 AND name = $2 ORDER BY version";

pub(crate) const MODEL_NAMES: &str = "SELECT DISTINCT name FROM model_versions WHERE project = $1 ORDER BY name";

pub(crate) const LATEST_MODEL: &str = "SELECT name, version, body FROM model_versions WHERE project = $1 AND name = $2
    ORDER BY version DESC LIMIT 1";

pub(crate) const MODEL_VERSION: &str =
    "SELECT name, version, body FROM model_versions WHERE project = $1 AND name = $2 AND version = $3";

pub(crate) const LATEST_MODEL_VERSION: &str =
    "SELECT COALESCE(MAX(version), 0) FROM model_versions WHERE project = $1 AND name = $2";

pub(crate) const ADD_MODEL_VERSION: &str = "INSERT INTO model_versions
    (project, name, version, feature_set_hash, dataset, body) VALUES ($1, $2, $3, $4, $5, $6)";

pub(crate) const ALIASES: &str =
    "SELECT alias, version, moved_at, split, shadow FROM aliases WHERE project = $1 AND model = $2 ORDER BY alias";

pub(crate) const ALIAS: &str = "SELECT alias, version, moved_at, split, shadow FROM aliases
    WHERE project = $1 AND model = $2 AND alias = $3";

pub(crate) const PUT_ALIAS: &str =
    "INSERT INTO aliases (project, model, alias, version, moved_at, split, shadow) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (project, model, alias) DO UPDATE SET version = excluded.version, moved_at = excluded.moved_at,
    split = excluded.split, shadow = excluded.shadow";

pub(crate) const ALIAS_MOVES: &str =
    "SELECT revision, alias, from_version, to_version, moved_at, evidence, override_reason FROM alias_moves
    WHERE project = $1 AND model = $2 ORDER BY revision";

pub(crate) const ADD_ALIAS_MOVE: &str = "INSERT INTO alias_moves
    (project, revision, model, alias, from_version, to_version, moved_at, evidence, override_reason)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

pub(crate) const EVALUATIONS: &str = "SELECT revision, body FROM evaluations
    WHERE project = $1 AND model = $2 AND version = $3 ORDER BY revision";

pub(crate) const ADD_EVALUATION: &str =
    "INSERT INTO evaluations (project, revision, model, version, body) VALUES ($1, $2, $3, $4, $5)";

pub(crate) const VERDICTS: &str =
    "SELECT revision, body FROM verdicts WHERE project = $1 AND dataset = $2 ORDER BY revision";

pub(crate) const ADD_VERDICT: &str = "INSERT INTO verdicts (project, revision, dataset, body) VALUES ($1, $2, $3, $4)";

pub(crate) const AUDIT: &str = "SELECT number, at, who, verb, subject, before, after, previous, hash FROM audit
    WHERE project = $1 AND number > $2 ORDER BY number LIMIT $3";

pub(crate) const AUDIT_HEAD: &str = "SELECT number, hash FROM audit WHERE project = $1 ORDER BY number DESC LIMIT 1";

pub(crate) const ADD_AUDIT_ENTRY: &str =
    "INSERT INTO audit (project, number, at, who, verb, subject, before, after, previous, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

pub(crate) const TOKENS: &str =
    "SELECT id, name, role, secret_hash, created_at, created_by, expires_at, revoked_at, revoked_by, scram FROM tokens
    WHERE project = $1 ORDER BY revision";

pub(crate) const TOKEN: &str =
    "SELECT id, name, role, secret_hash, created_at, created_by, expires_at, revoked_at, revoked_by, scram FROM tokens
    WHERE project = $1 AND id = $2";

pub(crate) const ADD_TOKEN: &str =
    "INSERT INTO tokens (project, id, name, role, secret_hash, created_at, created_by, expires_at, revision, scram)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

pub(crate) const REVOKE_TOKEN: &str =
    "UPDATE tokens SET revoked_at = $3, revoked_by = $4 WHERE project = $1 AND id = $2";

pub(crate) const DATASETS: &str = "SELECT id, body FROM datasets WHERE project = $1 ORDER BY revision";

pub(crate) const DATASET: &str = "SELECT id, body FROM datasets WHERE project = $1 AND id = $2";

pub(crate) const DATASET_BY_NAME: &str = "SELECT id, body FROM datasets WHERE project = $1 AND name = $2
    ORDER BY revision DESC LIMIT 1";

pub(crate) const DATASETS_BY_PREFIX: &str = "SELECT id, body FROM datasets WHERE project = $1
    AND substr(id, 1, length($2)) = $2 ORDER BY id LIMIT 4";

pub(crate) const DATASET_NAMES: &str = "SELECT DISTINCT name FROM datasets WHERE project = $1 AND name IS NOT NULL
    ORDER BY name";

/// What was trained on a dataset, in the order of versions.
pub(crate) const MODELS_OF_DATASET: &str = "SELECT name || '@' || version FROM model_versions
    WHERE project = $1 AND dataset = $2 ORDER BY name, version";

/// The dataset goes first: verdicts go only when theirs is gone.
pub(crate) const FORGET_DATASET: [&str; 2] =
    ["DELETE FROM datasets WHERE project = $1 AND id = $2", "DELETE FROM verdicts WHERE project = $1 AND dataset = $2"];

pub(crate) const PUT_DATASET: &str =
    "INSERT INTO datasets (project, id, name, feature_set_hash, body, revision) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (project, id) DO UPDATE SET name = excluded.name, body = excluded.body";
