-- A dataset's entry can be forgotten, and its verdicts with it: they may hold values of rows that were erased. A verdict goes only when its
-- dataset is gone, which the foreign key allows until the end of a transaction; audit entries stay for ever.
CREATE TABLE verdicts_2 (
    project TEXT NOT NULL,
    revision BIGINT NOT NULL,
    dataset TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (project, revision),
    FOREIGN KEY (project, dataset) REFERENCES datasets (project, id) DEFERRABLE INITIALLY DEFERRED
);

INSERT INTO verdicts_2 SELECT project, revision, dataset, body FROM verdicts;

-- its rows are in the other table now, so that nothing is lost with its triggers
DROP TABLE verdicts;

ALTER TABLE verdicts_2 RENAME TO verdicts;

CREATE INDEX verdicts_by_dataset ON verdicts (project, dataset);

CREATE TRIGGER verdicts_are_not_changed BEFORE UPDATE ON verdicts
BEGIN
    SELECT RAISE(ABORT, 'verdicts are append-only');
END;

CREATE TRIGGER verdicts_stay_with_their_dataset BEFORE DELETE ON verdicts
WHEN EXISTS (SELECT 1 FROM datasets WHERE project = OLD.project AND id = OLD.dataset)
BEGIN
    SELECT RAISE(ABORT, 'verdicts stay as long as their dataset');
END;
