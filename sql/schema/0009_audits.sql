-- The proof that every run is here: lists of a scope read from end to end, against what is held.

create table ingest.audits (
    audit_id bigint generated always as identity primary key,
    source text not null,
    scope text not null,
    load_id bigint not null,
    since timestamptz,
    audited_at timestamptz not null,
    listed bigint not null,
    loaded bigint not null,
    missing bigint not null,
    changed bigint not null,
    gone bigint not null,
    fixed bigint not null,
    is_complete boolean not null,
    error text
);
create index audits_by_scope on ingest.audits (source, scope, audit_id desc);
comment on table ingest.audits is 'One row an audit of one scope.';
comment on column ingest.audits.audit_id is 'Counts up.';
comment on column ingest.audits.source is 'The system: postman, testmo.';
comment on column ingest.audits.scope is 'Collection ID (Postman) or project ID (Testmo).';
comment on column ingest.audits.load_id is 'Its row in ingest.loads: requests, quota, rows.';
comment on column ingest.audits.since is
'Only runs opened from here on were compared, UTC; null: the whole history.';
comment on column ingest.audits.audited_at is 'When the list was first asked for, UTC.';
comment on column ingest.audits.listed is 'Different runs that the API lists.';
comment on column ingest.audits.loaded is
'Of those, runs that are here, set-aside records included.';
comment on column ingest.audits.missing is 'Of those, runs that are not here.';
comment on column ingest.audits.changed is
'Of the loaded ones, runs that the list shows otherwise than when they were loaded.';
comment on column ingest.audits.gone is
'Runs that are here, not marked as deleted, and no longer listed; 0 under a filter.';
comment on column ingest.audits.fixed is
'Missing and changed runs that this audit has fetched; the other counts are after that.';
comment on column ingest.audits.is_complete is
'The list was read to its end and every run of it is here.';
comment on column ingest.audits.error is
'Why the list was not read to its end, or runs were not fetched; null: nothing failed.';

create table ingest.audited_runs (
    load_id bigint not null,
    run_id text not null,
    listed_digest bytea not null
);
create index audited_runs_by_load on ingest.audited_runs (load_id, run_id);
comment on table ingest.audited_runs is
'Runs as an audit that is under way has seen them in the list; emptied when it ends.';
comment on column ingest.audited_runs.load_id is 'The audit''s row in ingest.loads.';
comment on column ingest.audited_runs.run_id is 'The run''s ID as text.';
comment on column ingest.audited_runs.listed_digest is 'BLAKE2b of the run as listed.';
