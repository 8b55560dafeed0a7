-- Whose presence this session asked to be told of. `since` is milliseconds since 1970.
CREATE TABLE followed (
    person TEXT PRIMARY KEY,
    since INTEGER NOT NULL
) WITHOUT ROWID;
