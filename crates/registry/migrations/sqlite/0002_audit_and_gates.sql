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

CREATE TRIGGER alias_moves_are_not_changed BEFORE UPDATE ON alias_moves
BEGIN
    SELECT RAISE(ABORT, 'moves of aliases are append-only');
END;

CREATE TRIGGER alias_moves_are_not_deleted BEFORE DELETE ON alias_moves
BEGIN
    SELECT RAISE(ABORT, 'moves of aliases are append-only');
END;

CREATE TRIGGER model_versions_are_not_changed BEFORE UPDATE ON model_versions
BEGIN
    SELECT RAISE(ABORT, 'model versions are immutable');
END;

CREATE TRIGGER model_versions_are_not_deleted BEFORE DELETE ON model_versions
BEGIN
    SELECT RAISE(ABORT, 'model versions are immutable');
END;

-- What a model version needs: its dataset, its feature set, the views that the set pins, and their tables.
CREATE VIEW model_needs AS
    SELECT project, name || '@' || version AS model, 'dataset' AS kind, dataset AS name, 0 AS version
    FROM model_versions WHERE dataset IS NOT NULL
    UNION ALL
    SELECT m.project, m.name || '@' || m.version, 'feature_set', s.name, s.version
    FROM model_versions AS m JOIN definitions AS s
    ON s.project = m.project AND s.kind = 'feature_set' AND s.hash = m.feature_set_hash
    UNION ALL
    SELECT m.project, m.name || '@' || m.version, 'feature_view', json_extract(used.value, '$.view.name'),
        json_extract(used.value, '$.view.version')
    FROM model_versions AS m JOIN definitions AS s
    ON s.project = m.project AND s.kind = 'feature_set' AND s.hash = m.feature_set_hash
    JOIN json_each(s.body, '$.resolved.uses') AS used
    UNION ALL
    SELECT m.project, m.name || '@' || m.version, 'table', json_extract(used.value, '$.table'), 0
    FROM model_versions AS m JOIN definitions AS s
    ON s.project = m.project AND s.kind = 'feature_set' AND s.hash = m.feature_set_hash
    JOIN json_each(s.body, '$.resolved.uses') AS used;

-- Their messages are literals, and say where the names are: an older SQLite cannot read a schema with expressions in them.
CREATE TRIGGER datasets_that_models_need_stay BEFORE DELETE ON datasets
WHEN EXISTS (SELECT 1 FROM model_needs WHERE project = OLD.project AND kind = 'dataset' AND name = OLD.id)
BEGIN
    SELECT RAISE(ABORT, 'model versions need this dataset: the view model_needs names them');
END;

CREATE TRIGGER definitions_that_models_need_stay BEFORE DELETE ON definitions
WHEN EXISTS (SELECT 1 FROM model_needs
    WHERE project = OLD.project AND kind = OLD.kind AND name = OLD.name AND version = OLD.version)
BEGIN
    SELECT RAISE(ABORT, 'model versions need this definition: the view model_needs names them');
END;

CREATE TRIGGER tables_that_models_need_stay BEFORE DELETE ON tables
WHEN EXISTS (SELECT 1 FROM model_needs WHERE project = OLD.project AND kind = 'table' AND name = OLD.id)
BEGIN
    SELECT RAISE(ABORT, 'model versions need this table: the view model_needs names them');
END;
