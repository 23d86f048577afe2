-- What the pipeline knows of its own work: how far each history is read, what each load did,
-- what could not be parsed, which runs are still open.

create schema if not exists ingest;

create table ingest.watermarks (
    source text not null,
    scope text not null,
    high_water timestamptz,
    cursor text,
    updated_at timestamptz not null default now(),
    primary key (source, scope)
);
comment on table ingest.watermarks is
'How far each history is read: one row a source and scope.';
comment on column ingest.watermarks.source is 'postman or testmo.';
comment on column ingest.watermarks.scope is
'Collection ID (Postman) or project ID (Testmo), as configured.';
comment on column ingest.watermarks.high_water is
'Every run created or started up to here is loaded, UTC; null until a walk has closed.';
comment on column ingest.watermarks.cursor is
'Where an unfinished walk resumes, as the API gave it; null: at the start of the list.';
comment on column ingest.watermarks.updated_at is 'When this row last changed, UTC.';

create table ingest.walks (
    source text not null,
    scope text not null,
    started_at timestamptz,
    newest_seen timestamptz,
    page_earliest timestamptz,
    page_latest timestamptz,
    list_order text not null default 'unknown',
    known_order text not null default 'unknown',
    filters text not null default '',
    primary key (source, scope)
);
comment on table ingest.walks is
'What a walk has learned so far, so that it can be put down and picked up: a row a scope.';
comment on column ingest.walks.source is 'postman or testmo.';
comment on column ingest.walks.scope is 'Collection ID (Postman) or project ID (Testmo).';
comment on column ingest.walks.started_at is
'When the unfinished walk began, UTC; null: no walk is under way.';
comment on column ingest.walks.newest_seen is
'Latest start that the unfinished walk has met, UTC; its high water once it closes.';
comment on column ingest.walks.page_earliest is
'Earliest start on the last page with any, UTC: evidence for the order of the list.';
comment on column ingest.walks.page_latest is
'Latest start on the last page with any, UTC: evidence for the order of the list.';
comment on column ingest.walks.list_order is
'Order of the pages met in the unfinished walk: unknown, newest_first, oldest_first, neither.';
comment on column ingest.walks.known_order is
'Order found by the last walk over the whole list; early stops need newest_first.';
comment on column ingest.walks.filters is
'The filters under which the watermark holds; other filters start the history anew.';

create table ingest.run_states (
    source text not null,
    run_id text not null,
    scope text not null,
    listed_digest bytea,
    content_digest bytea,
    is_open boolean not null,
    opened_at timestamptz,
    unchanged_checks integer not null default 0,
    next_check_at timestamptz,
    gone_at timestamptz,
    backfill_id bigint,
    primary key (source, run_id)
);
create index run_states_by_time on ingest.run_states (source, scope, opened_at);
create index run_states_open on ingest.run_states (source, scope, next_check_at)
where is_open and gone_at is null;
comment on table ingest.run_states is
'What is held of each run, so that only new and changed ones are fetched: a row a run.';
comment on column ingest.run_states.source is 'postman or testmo.';
comment on column ingest.run_states.run_id is 'The run''s ID as text.';
comment on column ingest.run_states.scope is 'Collection or project in whose list it stood.';
comment on column ingest.run_states.listed_digest is
'BLAKE2b of the run as listed when it was last loaded; null: never seen in a list.';
comment on column ingest.run_states.content_digest is
'BLAKE2b of the run as loaded; null: it could not be parsed (see rejected_records).';
comment on column ingest.run_states.is_open is 'It had not ended when it was last loaded.';
comment on column ingest.run_states.opened_at is 'When it was created or started, UTC.';
comment on column ingest.run_states.unchanged_checks is
'How often an open run was asked for in a row and had not changed.';
comment on column ingest.run_states.next_check_at is
'An open run is not asked for by ID before this time, UTC; null: at the next load.';
comment on column ingest.run_states.gone_at is
'When the API no longer knew this run, asked for by ID, UTC; null: it does.';
comment on column ingest.run_states.backfill_id is
'The last backfill (ingest.loads.backfill_id) that met it; null: none.';

create table ingest.loads (
    load_id bigint generated always as identity primary key,
    source text not null,
    scope text not null,
    kind text not null,
    backfill_id bigint,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    window_from timestamptz,
    window_to timestamptz,
    watermark_before timestamptz,
    watermark_after timestamptz,
    requests jsonb not null default '{}',
    requests_total bigint not null default 0,
    bytes_received bigint not null default 0,
    waited_seconds double precision not null default 0,
    quota jsonb,
    rows_written jsonb not null default '{}',
    rows_rejected bigint not null default 0,
    outcome text not null default 'running',
    error text
);
create index loads_by_scope on ingest.loads (source, scope, load_id desc);
comment on table ingest.loads is 'One row a load of one scope.';
comment on column ingest.loads.load_id is 'Counts up with every load.';
comment on column ingest.loads.source is 'postman or testmo.';
comment on column ingest.loads.scope is 'Collection ID (Postman) or project ID (Testmo).';
comment on column ingest.loads.kind is
'incremental (the watermark moves), backfill or retry (it never does).';
comment on column ingest.loads.backfill_id is
'The load that began this backfill: itself, or the interrupted one that it goes on with.';
comment on column ingest.loads.started_at is 'UTC.';
comment on column ingest.loads.finished_at is 'UTC; null while it works, or if it was killed.';
comment on column ingest.loads.window_from is
'Runs from here on were looked at, UTC; null: from the first.';
comment on column ingest.loads.window_to is 'Runs up to here were looked at, UTC.';
comment on column ingest.loads.watermark_before is 'high_water at its start, UTC.';
comment on column ingest.loads.watermark_after is 'high_water after its last commit, UTC.';
comment on column ingest.loads.requests is 'Requests sent, by endpoint, retries included.';
comment on column ingest.loads.requests_total is 'Requests sent in all, retries included.';
comment on column ingest.loads.bytes_received is 'Bytes of all bodies, decompressed.';
comment on column ingest.loads.waited_seconds is 'Seconds that requests waited for the rate limit.';
comment on column ingest.loads.quota is
'Limits and what was left of them, as the API last announced: minute and month; null: not told.';
comment on column ingest.loads.rows_written is 'Rows written, by table.';
comment on column ingest.loads.rows_rejected is 'Records set aside in rejected_records.';
comment on column ingest.loads.outcome is
'running, succeeded, failed, or interrupted (killed; found by the next load).';
comment on column ingest.loads.error is 'What failed, in one line; null: nothing.';

create table ingest.rejected_records (
    rejected_id bigint generated always as identity primary key,
    source text not null,
    scope text not null,
    endpoint text not null,
    run_id text,
    payload text not null,
    payload_digest bytea not null,
    error text not null,
    load_id bigint not null,
    rejected_at timestamptz not null default now(),
    last_load_id bigint not null,
    retried_at timestamptz,
    retry_outcome text,
    unique nulls not distinct (source, scope, endpoint, run_id, payload_digest)
);
create index rejected_records_by_run on ingest.rejected_records (source, run_id)
where retry_outcome is null or retry_outcome not in ('loaded', 'superseded');
comment on table ingest.rejected_records is
'Records that could not be parsed, as they were sent; a row a run and different payload.';
comment on column ingest.rejected_records.rejected_id is 'Counts up.';
comment on column ingest.rejected_records.source is 'postman or testmo.';
comment on column ingest.rejected_records.scope is
'Collection ID (Postman) or project ID (Testmo).';
comment on column ingest.rejected_records.endpoint is 'The API''s path template that sent it.';
comment on column ingest.rejected_records.run_id is 'The run''s ID, where it has a readable one.';
comment on column ingest.rejected_records.payload is
'The record as sent (JSON text); our own API keys, should it carry one, are masked.';
comment on column ingest.rejected_records.payload_digest is 'BLAKE2b of the payload.';
comment on column ingest.rejected_records.error is 'Why it was set aside, naming the field.';
comment on column ingest.rejected_records.load_id is 'The load that set it aside first.';
comment on column ingest.rejected_records.rejected_at is 'When it was set aside first, UTC.';
comment on column ingest.rejected_records.last_load_id is 'The last load that met it again.';
comment on column ingest.rejected_records.retried_at is
'When it was last parsed again, UTC; null: not since.';
comment on column ingest.rejected_records.retry_outcome is
'loaded, superseded (by a later version of its run), or the error met again; null: not retried.';

create table ingest.unknown_fields (
    source text not null,
    table_name text not null,
    field text not null,
    first_load_id bigint not null,
    first_seen_at timestamptz not null default now(),
    primary key (source, table_name, field)
);
comment on table ingest.unknown_fields is
'Fields that the API sends and that have no column (they are kept in extra): a row each.';
comment on column ingest.unknown_fields.source is 'postman or testmo.';
comment on column ingest.unknown_fields.table_name is 'Table in whose extra it is kept.';
comment on column ingest.unknown_fields.field is 'Its path, dots between the levels.';
comment on column ingest.unknown_fields.first_load_id is 'The load that first saw it.';
comment on column ingest.unknown_fields.first_seen_at is 'UTC.';

create table ingest.reconciliations (
    source text not null,
    scope text not null,
    run_id text not null,
    total text not null,
    announced bigint not null,
    loaded bigint not null,
    repeated bigint not null,
    reason text not null,
    load_id bigint not null,
    checked_at timestamptz not null default now(),
    primary key (source, run_id, total)
);
create index reconciliations_by_scope on ingest.reconciliations (source, scope);
comment on table ingest.reconciliations is
'Runs whose own totals differ from the rows that were loaded of them: a row a total.';
comment on column ingest.reconciliations.source is 'postman or testmo.';
comment on column ingest.reconciliations.scope is 'Collection ID (Postman) or project ID (Testmo).';
comment on column ingest.reconciliations.run_id is 'The run''s ID as text.';
comment on column ingest.reconciliations.total is
'The run''s column that announces it: requests_total, assertions_total, thread_count, ….';
comment on column ingest.reconciliations.announced is 'What the run says, in rows.';
comment on column ingest.reconciliations.loaded is 'What its rows come to.';
comment on column ingest.reconciliations.repeated is
'Rows loaded that repeat an earlier execution of the run: same ID, iteration and assertions.';
comment on column ingest.reconciliations.reason is
'repeated (the API repeats rows), open (the run has not ended), missing, surplus.';
comment on column ingest.reconciliations.load_id is 'The load that compared them.';
comment on column ingest.reconciliations.checked_at is 'When they were compared, UTC.';

create table ingest.builds (
    build_id bigint generated always as identity primary key,
    fingerprint text not null,
    built_at timestamptz not null default now()
);
comment on table ingest.builds is
'One row a complete nightly build of the dbt models: what it was built of.';
comment on column ingest.builds.build_id is 'Counts up.';
comment on column ingest.builds.fingerprint is
'Changes with the raw tables, the marts, the dbt project and the business day.';
comment on column ingest.builds.built_at is 'When the build had ended, UTC.';
