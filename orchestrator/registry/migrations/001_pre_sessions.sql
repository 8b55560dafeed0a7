CREATE TABLE sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id varchar(255) NOT NULL UNIQUE CHECK (session_id ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name varchar(255) NOT NULL,
    api_key_hash varchar(255) UNIQUE,

    -- What the operator wants. Written by the API.
    desired varchar(16) NOT NULL DEFAULT 'running' CHECK (desired IN ('running', 'stopped')),
    generation integer NOT NULL DEFAULT 1 CHECK (generation > 0),
    deleting_since timestamptz,
    labels text[] NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    ai_config jsonb NOT NULL DEFAULT '{}',
    timing_config jsonb NOT NULL DEFAULT '{}',
    proxy_enabled boolean NOT NULL DEFAULT false,
    proxy_type varchar(16) CHECK (proxy_type IN ('http', 'socks5')),
    proxy_host varchar(255),
    proxy_port integer CHECK (proxy_port BETWEEN 1 AND 65535),
    proxy_username varchar(255),
    proxy_password_encrypted bytea,
    webhook_url text,
    webhook_events text[],
    webhook_secret_encrypted bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),

    -- What was last seen. Written by the reconciler that holds the lock, and by nobody else.
    status varchar(50) NOT NULL DEFAULT 'disconnected'
        CHECK (status IN ('disconnected', 'connecting', 'connected', 'authenticated', 'error')),
    reason varchar(50) NOT NULL DEFAULT 'created',
    detail text,
    status_since timestamptz NOT NULL DEFAULT now(),
    jid varchar(255),
    lid varchar(255),
    push_name varchar(255),
    last_connected_at timestamptz,
    -- The generation the reconciler gave up on: a new one starts with a clean slate.
    gave_up_generation integer,
    gave_up_reason varchar(50),
    gave_up_detail text
);

CREATE INDEX sessions_status ON sessions (status);
CREATE INDEX sessions_created_at ON sessions (created_at);
CREATE INDEX sessions_jid ON sessions (jid);
CREATE INDEX sessions_labels ON sessions USING gin (labels);

CREATE TABLE port_leases (
    port integer PRIMARY KEY CHECK (port BETWEEN 1 AND 65535),
    -- No cascade: a row can only go once its port was given back.
    session_id varchar(255) NOT NULL UNIQUE REFERENCES sessions (session_id),
    leased_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE session_history (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    session_id varchar(255) NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT now(),
    generation integer NOT NULL,
    status varchar(50) NOT NULL,
    reason varchar(50) NOT NULL,
    detail text
);

CREATE INDEX session_history_session ON session_history (session_id, id);
