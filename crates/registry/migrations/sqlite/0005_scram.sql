-- What judges a token that is shown by SCRAM-SHA-256, on the wire of PostgreSQL: iterations, salt, StoredKey, ServerKey. Whoever has
-- it can judge a proof, and cannot make one. Tokens from before have none, and cannot be shown so.
ALTER TABLE tokens ADD COLUMN scram TEXT;

DROP TRIGGER tokens_are_only_revoked;

CREATE TRIGGER tokens_are_only_revoked BEFORE UPDATE ON tokens
WHEN OLD.revoked_at IS NOT NULL OR NEW.revoked_at IS NULL OR NEW.project <> OLD.project OR NEW.id <> OLD.id
    OR NEW.name <> OLD.name OR NEW.role <> OLD.role OR NEW.secret_hash <> OLD.secret_hash
    OR NEW.created_at <> OLD.created_at OR NEW.created_by <> OLD.created_by
    OR NEW.expires_at IS NOT OLD.expires_at OR NEW.revision <> OLD.revision OR NEW.scram IS NOT OLD.scram
BEGIN
    SELECT RAISE(ABORT, 'a token is revoked once, and changed in no other way');
END;
