-- One counter for every change of keys. Whoever changes a key raises it in the same transaction: the row's lock makes those
-- transactions commit in the order of their numbers, so that "everything above the last one I saw" misses nothing.
CREATE TABLE access_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision bigint NOT NULL DEFAULT 0
);
INSERT INTO access_state DEFAULT VALUES;

CREATE TABLE api_keys (
    id text PRIMARY KEY,
    -- NULL: every session. No foreign key: a key outlives its session as a revoked one.
    session_id varchar(255),
    name varchar(255) NOT NULL,
    scopes text[] NOT NULL
        CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'send', 'control', 'settings', 'delete']),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    prefix varchar(16) NOT NULL,
    revision bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);

-- A session that is made anew may be given the key it had before.
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_session ON api_keys (session_id);
CREATE INDEX api_keys_revision ON api_keys (revision);

-- Cookies that were signed out before they expired.
CREATE TABLE browser_sign_outs (
    nonce text PRIMARY KEY,
    revision bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE audit_log (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    actor varchar(16) NOT NULL,
    actor_id text NOT NULL,
    action text NOT NULL,
    session_id varchar(255),
    remote text NOT NULL,
    status integer NOT NULL,
    result text NOT NULL,
    request_id text NOT NULL,
    count integer NOT NULL DEFAULT 1,
    -- Made where the line was written: writing it again changes nothing.
    line_id text NOT NULL UNIQUE
);

CREATE INDEX audit_log_session ON audit_log (session_id, id);
CREATE INDEX audit_log_actor ON audit_log (actor_id, id);
CREATE INDEX audit_log_at ON audit_log (at);

-- Append-only: lines go by retention alone, and never those of the last day.
CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('zapvisor.audit_expiring', true) = 'on'
            AND OLD.at < now() - interval '1 day' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_rows BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_refuse();
CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse();

-- Removes up to `most` lines older than `keep_s` seconds; how many it removed.
CREATE FUNCTION audit_log_expire(keep_s double precision, most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET zapvisor.audit_expiring = 'on' AS $$
DECLARE
    removed bigint;
BEGIN
    DELETE FROM audit_log WHERE id IN (
        SELECT id FROM audit_log WHERE at < now() - make_interval(secs => greatest(keep_s, 86400)) ORDER BY at LIMIT most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
