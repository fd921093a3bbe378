-- Every change for ever, each entry bound to the one before it by its hash; numbers count from 1 in each project. A registry that
-- is older than this migration begins its log with the first change after it.
CREATE TABLE audit (
    project TEXT NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,
    after TEXT,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (project, number)
);

-- What a model version was measured with; a recording is the only change of its revision.
CREATE TABLE evaluations (
    project TEXT NOT NULL,
    revision BIGINT NOT NULL,
    model TEXT NOT NULL,
    version BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (project, revision),
    FOREIGN KEY (project, model, version) REFERENCES model_versions (project, name, version)
);

CREATE INDEX evaluations_by_version ON evaluations (project, model, version);

-- What was found of a dataset's file; a recording is the only change of its revision.
CREATE TABLE verdicts (
    project TEXT NOT NULL,
    revision BIGINT NOT NULL,
    dataset TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (project, revision),
    FOREIGN KEY (project, dataset) REFERENCES datasets (project, id)
);

CREATE INDEX verdicts_by_dataset ON verdicts (project, dataset);

-- Why an alias moved: what its gate found, and the reason of whoever overrode it.
ALTER TABLE alias_moves ADD COLUMN evidence TEXT;
ALTER TABLE alias_moves ADD COLUMN override_reason TEXT;

-- How an alias's traffic is shared: JSON, null where all of it goes to its version.
ALTER TABLE aliases ADD COLUMN split TEXT;
ALTER TABLE aliases ADD COLUMN shadow BIGINT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER evaluations_are_not_changed BEFORE UPDATE ON evaluations
BEGIN
    SELECT RAISE(ABORT, 'evaluations are append-only');
END;

CREATE TRIGGER evaluations_are_not_deleted BEFORE DELETE ON evaluations
BEGIN
    SELECT RAISE(ABORT, 'evaluations are append-only');
END;

CREATE TRIGGER verdicts_are_not_changed BEFORE UPDATE ON verdicts
BEGIN
    SELECT RAISE(ABORT, 'verdicts are append-only');
END;

CREATE TRIGGER verdicts_are_not_deleted BEFORE DELETE ON verdicts
BEGIN
    SELECT RAISE(ABORT, 'verdicts are append-only');
END;
