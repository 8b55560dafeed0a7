-- A session's own rules of restart (ecosystem/contract/policy.py). Written by the API.
ALTER TABLE sessions ADD COLUMN rules jsonb NOT NULL DEFAULT '{}';

-- What somebody should look at. One row an occurrence; it stands while `ended_at` is null. Written by whoever leads.
CREATE TABLE alerts (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    kind varchar(50) NOT NULL,
    -- '': the whole fleet. No foreign key: the record stays when the session goes.
    session_id varchar(255) NOT NULL DEFAULT '',
    severity varchar(16) NOT NULL,
    title text NOT NULL,
    detail text,
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE UNIQUE INDEX alerts_standing ON alerts (kind, session_id) WHERE ended_at IS NULL;
CREATE INDEX alerts_began ON alerts (began_at);
