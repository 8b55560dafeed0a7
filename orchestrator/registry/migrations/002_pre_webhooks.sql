-- Who is told. Written by the API.
CREATE TABLE webhook_targets (
    id text PRIMARY KEY,
    -- NULL: every session. No foreign key: the last events of a deleted session still go out (see retired_at).
    session_id varchar(255),
    -- The one a session's own /webhook route shows and changes.
    is_primary boolean NOT NULL DEFAULT false,
    name varchar(255) NOT NULL DEFAULT '',
    url text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    events text[] NOT NULL CHECK (cardinality(events) > 0),
    format varchar(16) NOT NULL CHECK (format IN ('zapvisor', 'gowa')),
    secret_encrypted bytea NOT NULL,
    headers_encrypted bytea NOT NULL,
    header_names text[] NOT NULL DEFAULT '{}',
    timeout_s double precision CHECK (timeout_s > 0),
    retry_count integer CHECK (retry_count >= 0),
    ignore_rules jsonb NOT NULL DEFAULT '{}',
    -- The session is gone: only what happened before is still told.
    retired_at timestamptz,
    -- Nothing is told any more; the rows go in portions.
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (session_id IS NOT NULL OR NOT is_primary)
);

CREATE INDEX webhook_targets_session ON webhook_targets (session_id);
CREATE UNIQUE INDEX webhook_targets_primary ON webhook_targets (session_id)
    WHERE is_primary AND retired_at IS NULL AND deleted_at IS NULL;

-- How it goes with each target. Written by whoever holds the lease; wake_at also by the relay, gone_* also by the API.
CREATE TABLE webhook_states (
    target_id text PRIMARY KEY REFERENCES webhook_targets (id) ON DELETE CASCADE,
    lease_owner text,
    lease_until timestamptz,
    -- When somebody should look at the target's deliveries again; NULL: not before there is a new one.
    wake_at timestamptz,
    -- The circuit breaker: open while probe_at is set, half open once that is past.
    probe_at timestamptz,
    trips integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    last_error text,
    -- The target said that it is gone (410): it counts as disabled.
    gone_at timestamptz,
    gone_reason text
) WITH (fillfactor = 50);

CREATE INDEX webhook_states_wake ON webhook_states (wake_at) WHERE wake_at IS NOT NULL;

-- Events at least one target is told of, once each. Written by the relay.
CREATE TABLE webhook_events (
    id text PRIMARY KEY,
    session_id varchar(255) NOT NULL,
    type varchar(64) NOT NULL,
    seq bigint NOT NULL,
    -- What has to stay in order: a chat, or everything of the session that belongs to none.
    lane text NOT NULL,
    occurred_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    body bytea NOT NULL
);

CREATE INDEX webhook_events_session ON webhook_events (session_id, occurred_at);
CREATE INDEX webhook_events_stored ON webhook_events (stored_at);

-- One event for one target. Inserted by the relay (or a replay), then written by whoever holds the target's lease.
CREATE TABLE webhook_deliveries (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    target_id text NOT NULL REFERENCES webhook_targets (id),
    event_id text NOT NULL REFERENCES webhook_events (id),
    session_id varchar(255) NOT NULL,
    lane text NOT NULL,
    state varchar(16) NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    first_at timestamptz,
    last_at timestamptz,
    finished_at timestamptz,
    code integer,
    took_ms integer,
    error text,
    UNIQUE (target_id, event_id)
) WITH (fillfactor = 80);

CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (target_id, id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (target_id, next_at) WHERE state = 'pending' AND attempts > 0;
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (target_id, id) WHERE state = 'dead';
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE state <> 'pending';
CREATE INDEX webhook_deliveries_event ON webhook_deliveries (event_id);

CREATE TABLE webhook_counters (
    target_id text NOT NULL REFERENCES webhook_targets (id) ON DELETE CASCADE,
    session_id varchar(255) NOT NULL,
    delivered bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    took_ms bigint NOT NULL DEFAULT 0,
    last_delivered_at timestamptz,
    last_failed_at timestamptz,
    PRIMARY KEY (target_id, session_id)
);

-- How far each session's events have become rows; a hole in the numbers is asked for at the worker. Written by the relay.
CREATE TABLE webhook_cursors (
    session_id varchar(255) PRIMARY KEY,
    last_seq bigint NOT NULL
) WITH (fillfactor = 50);

-- Holes a worker could not be asked about yet: everything between the two numbers, both excluded.
CREATE TABLE webhook_gaps (
    session_id varchar(255) NOT NULL,
    after_seq bigint NOT NULL,
    before_seq bigint NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, after_seq),
    CHECK (before_seq > after_seq + 1)
);

CREATE FUNCTION retire_webhooks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_targets SET retired_at = now() WHERE session_id = OLD.session_id AND retired_at IS NULL;
    DELETE FROM webhook_cursors WHERE session_id = OLD.session_id;
    DELETE FROM webhook_gaps WHERE session_id = OLD.session_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER sessions_retire_webhooks AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION retire_webhooks();
