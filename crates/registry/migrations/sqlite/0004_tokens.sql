-- API tokens of servers. Of a secret, SHA-256 alone is here: it is 256 random bits, which nobody finds by trying.
-- `revision` is the one at which the token was created: the order of creation.
CREATE TABLE tokens (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    revoked_by TEXT,
    revision BIGINT NOT NULL,
    PRIMARY KEY (project, id)
);

CREATE TRIGGER tokens_are_only_revoked BEFORE UPDATE ON tokens
WHEN OLD.revoked_at IS NOT NULL OR NEW.revoked_at IS NULL OR NEW.project <> OLD.project OR NEW.id <> OLD.id
    OR NEW.name <> OLD.name OR NEW.role <> OLD.role OR NEW.secret_hash <> OLD.secret_hash
    OR NEW.created_at <> OLD.created_at OR NEW.created_by <> OLD.created_by
    OR NEW.expires_at IS NOT OLD.expires_at OR NEW.revision <> OLD.revision
BEGIN
    SELECT RAISE(ABORT, 'a token is revoked once, and changed in no other way');
END;

CREATE TRIGGER tokens_are_not_deleted BEFORE DELETE ON tokens
BEGIN
    SELECT RAISE(ABORT, 'tokens are revoked, and not deleted');
END;
