-- What only the orchestrator knows of a session's life, as events on their way to targets and feeds: written in the transaction
-- of the change itself, deleted by the relay. No foreign key: the last one tells that the session is gone.
CREATE TABLE life_events (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    event_id text NOT NULL UNIQUE,
    session_id varchar(255) NOT NULL,
    -- The JSON of the event.
    body bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    -- Its deliveries are rows; the stream may not have it yet.
    stored_at timestamptz
);
CREATE INDEX life_events_session ON life_events (session_id);

-- The number of the last of them, beside those the session's worker counts.
ALTER TABLE sessions ADD COLUMN life_seq bigint NOT NULL DEFAULT 0;
