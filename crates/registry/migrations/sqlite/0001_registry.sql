-- What the registry remembers. Every row belongs to a project; times are UTC microseconds; bodies are JSON.

CREATE TABLE revisions (
    project TEXT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);

-- Versions of entities, feature views and feature sets. Only a feature set has a hash.
CREATE TABLE definitions (
    project TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    hash TEXT,
    body TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    PRIMARY KEY (project, kind, name, version)
);

CREATE INDEX definitions_by_hash ON definitions (project, hash);

CREATE TABLE tables (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    PRIMARY KEY (project, id)
);

-- `revision` is the one at which the row was first recorded: the order of recording.
CREATE TABLE datasets (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT,
    feature_set_hash TEXT NOT NULL,
    body TEXT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (project, id)
);

CREATE INDEX datasets_by_name ON datasets (project, name);

CREATE TABLE model_versions (
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    feature_set_hash TEXT NOT NULL,
    dataset TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (project, name, version),
    FOREIGN KEY (project, dataset) REFERENCES datasets (project, id)
);

CREATE TABLE aliases (
    project TEXT NOT NULL,
    model TEXT NOT NULL,
    alias TEXT NOT NULL,
    version BIGINT NOT NULL,
    moved_at BIGINT NOT NULL,
    PRIMARY KEY (project, model, alias),
    FOREIGN KEY (project, model, version) REFERENCES model_versions (project, name, version)
);

-- Every move of an alias for ever; a move is the only change of its revision.
CREATE TABLE alias_moves (
    project TEXT NOT NULL,
    revision BIGINT NOT NULL,
    model TEXT NOT NULL,
    alias TEXT NOT NULL,
    from_version BIGINT,
    to_version BIGINT NOT NULL,
    moved_at BIGINT NOT NULL,
    PRIMARY KEY (project, revision),
    FOREIGN KEY (project, model, to_version) REFERENCES model_versions (project, name, version)
);
