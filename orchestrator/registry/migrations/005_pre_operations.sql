-- Unloaded: wanted running, but nobody used it, so it has no process until somebody does. Written by whoever leads.
ALTER TABLE sessions ADD COLUMN unloaded_at timestamptz;
-- Written by the API.
ALTER TABLE sessions ADD COLUMN on_demand boolean NOT NULL DEFAULT false;
ALTER TABLE sessions ADD COLUMN proxy_required boolean NOT NULL DEFAULT false;
-- What counters showed when they were reset: they are shown as the difference.
ALTER TABLE sessions ADD COLUMN counters_reset jsonb;

-- Resources over time, as sampled and by the hour. `session_id` '': the whole fleet. Written by whoever leads.
CREATE TABLE samples (
    session_id varchar(255) NOT NULL,
    at timestamptz NOT NULL,
    memory_bytes bigint,
    cpu_percent real,
    messages_in bigint NOT NULL DEFAULT 0,
    messages_out bigint NOT NULL DEFAULT 0,
    outbox_waiting real,
    sends_waiting real,
    api_requests bigint NOT NULL DEFAULT 0,
    api_errors bigint NOT NULL DEFAULT 0,
    api_s double precision NOT NULL DEFAULT 0,
    sessions real,
    authenticated real,
    server_memory_bytes bigint,
    server_cpu_percent real,
    disk_free_bytes bigint,
    PRIMARY KEY (session_id, at)
);
CREATE INDEX samples_at ON samples (at);
CREATE TABLE samples_hourly (LIKE samples INCLUDING ALL);
