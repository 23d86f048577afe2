-- What is known of the limits of each API key, shared by all processes of all machines that use it.

create table ingest.rate_limits (
    api_root text not null,
    key_digest text not null,
    version bigint not null default 0,
    window_limit bigint,
    window_seconds double precision not null default 60,
    window_remaining bigint,
    window_resets_at timestamptz,
    month_remaining bigint,
    not_before timestamptz,
    refused_at timestamptz,
    must_probe boolean not null default true,
    probe_until timestamptz,
    late_seconds double precision not null default 0,
    spare bigint not null default 0,
    lowered_limit bigint,
    learned_at timestamptz,
    sent jsonb not null default '{}',
    shares jsonb not null default '{}',
    primary key (api_root, key_digest)
) with (fillfactor = 50);
comment on table ingest.rate_limits is
'What is known of the limits of an API key, and who may send how many requests: a row a key.';
comment on column ingest.rate_limits.api_root is 'The API''s root URL, as configured.';
comment on column ingest.rate_limits.key_digest is
'BLAKE2b of root and key, 16 hexadecimal digits; the key itself is nowhere.';
comment on column ingest.rate_limits.version is
'Counts up with every change: who has read an older version reads again.';
comment on column ingest.rate_limits.window_limit is
'Requests a window, as announced; null: not announced.';
comment on column ingest.rate_limits.window_seconds is 'Length of the window, in seconds.';
comment on column ingest.rate_limits.window_remaining is
'Requests left in the window, as announced; null: not known, or the window is over.';
comment on column ingest.rate_limits.window_resets_at is
'When the window is over, as announced, UTC; null: not known.';
comment on column ingest.rate_limits.month_remaining is
'Calls left in the month, as announced; null: not announced.';
comment on column ingest.rate_limits.not_before is
'No request goes before this time, as a refusal announced it, UTC; null: none did.';
comment on column ingest.rate_limits.refused_at is
'When not_before was announced, UTC; it is not believed for more than a day from then.';
comment on column ingest.rate_limits.must_probe is
'Nothing is known: one request goes alone, and its answer opens the rest.';
comment on column ingest.rate_limits.probe_until is
'That request is under way; without an answer it is taken to be lost by this time, UTC.';
comment on column ingest.rate_limits.late_seconds is
'Seconds by which the window was found to last longer than announced.';
comment on column ingest.rate_limits.spare is
'Requests of a window that are left to others who use the key, learned from refusals.';
comment on column ingest.rate_limits.lowered_limit is
'Requests a window, learned from refusals of an API that announces none; null: none were.';
comment on column ingest.rate_limits.learned_at is
'When a refusal last taught something, UTC; it is forgotten after a day.';
comment on column ingest.rate_limits.sent is
'Requests sent in the last window: by the end of a slice of time (epoch seconds), their number.';
comment on column ingest.rate_limits.shares is
'By process: permits leased and not used, requests in flight, and when it said so (epoch seconds).';
