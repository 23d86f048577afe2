-- Postman collection runs: a run, the requests it sent, the assertions on each.

create schema if not exists raw_postman;

create table raw_postman.collection_runs (
    run_id text not null,
    collection_id text,
    environment_id text,
    status text,
    source text,
    created_by text,
    started_at timestamptz,
    finished_at timestamptz,
    duration_ms bigint,
    requests_total bigint,
    requests_failed bigint,
    assertions_total bigint,
    assertions_failed bigint,
    extra jsonb,
    first_loaded_at timestamptz not null default now(),
    loaded_at timestamptz not null default now(),
    load_id bigint not null,
    deleted_at timestamptz,
    primary key (run_id)
);
create index collection_runs_loaded_at on raw_postman.collection_runs (loaded_at);
comment on table raw_postman.collection_runs is
'One row a collection run.';
comment on column raw_postman.collection_runs.run_id is 'The run''s unique ID.';
comment on column raw_postman.collection_runs.collection_id is
'Collection that was run, as the API names it (ID or UID).';
comment on column raw_postman.collection_runs.environment_id is
'Environment it ran in; null: none.';
comment on column raw_postman.collection_runs.status is 'queued, running, finished or failed.';
comment on column raw_postman.collection_runs.source is
'How it was triggered: collection_runner, monitor, webhook, schedule, api, newman.';
comment on column raw_postman.collection_runs.created_by is 'User who started it; null: not told.';
comment on column raw_postman.collection_runs.started_at is 'UTC; null: still queued.';
comment on column raw_postman.collection_runs.finished_at is
'UTC; null: it has not ended, or was killed.';
comment on column raw_postman.collection_runs.duration_ms is
'Total duration in milliseconds, as announced.';
comment on column raw_postman.collection_runs.requests_total is 'Requests sent, as announced.';
comment on column raw_postman.collection_runs.requests_failed is
'Requests that got no answer (not HTTP 4xx or 5xx), as announced.';
comment on column raw_postman.collection_runs.assertions_total is 'Assertions run, as announced.';
comment on column raw_postman.collection_runs.assertions_failed is
'Assertions that failed, as announced.';
comment on column raw_postman.collection_runs.extra is
'Fields that the API sent and that have no column; null: none.';
comment on column raw_postman.collection_runs.first_loaded_at is
'When a load first wrote this row, UTC.';
comment on column raw_postman.collection_runs.loaded_at is
'When the content of this run, children included, last changed here, UTC.';
comment on column raw_postman.collection_runs.load_id is
'The load (ingest.loads) that wrote this content.';
comment on column raw_postman.collection_runs.deleted_at is
'When a backfill found the run gone at the source, UTC; null: it is there.';

create table raw_postman.executions (
    run_id text not null,
    execution_index integer not null,
    execution_id text,
    item_name text,
    request_method text,
    request_url text,
    response_status_code integer,
    response_time_ms bigint,
    response_size_bytes bigint,
    extra jsonb,
    primary key (run_id, execution_index)
);
comment on table raw_postman.executions is
'One row a request sent by a run.';
comment on column raw_postman.executions.run_id is 'The run that sent it.';
comment on column raw_postman.executions.execution_index is '0-based order in the run.';
comment on column raw_postman.executions.execution_id is
'The item''s ID as announced: it repeats in each iteration.';
comment on column raw_postman.executions.item_name is 'Name of the request in the collection.';
comment on column raw_postman.executions.request_method is 'HTTP method, any word.';
comment on column raw_postman.executions.request_url is
'URL as sent; user, password and secret parameters are REDACTED.';
comment on column raw_postman.executions.response_status_code is 'HTTP status; null: no response.';
comment on column raw_postman.executions.response_time_ms is
'Milliseconds until the response; null: no response.';
comment on column raw_postman.executions.response_size_bytes is
'Bytes of the response; null: no response.';
comment on column raw_postman.executions.extra is
'Fields that the API sent and that have no column; null: none.';

create table raw_postman.assertions (
    run_id text not null,
    execution_index integer not null,
    assertion_index integer not null,
    name text,
    passed boolean,
    error text,
    extra jsonb,
    primary key (run_id, execution_index, assertion_index)
);
comment on table raw_postman.assertions is
'One row a test assertion of an execution.';
comment on column raw_postman.assertions.run_id is 'The run.';
comment on column raw_postman.assertions.execution_index is 'The execution in the run, 0-based.';
comment on column raw_postman.assertions.assertion_index is '0-based order in the execution.';
comment on column raw_postman.assertions.name is 'Name of the test; may be empty or repeated.';
comment on column raw_postman.assertions.passed is
'It held; null: not told. A skipped one says so in extra.';
comment on column raw_postman.assertions.error is 'Message of the failure; null: it passed.';
comment on column raw_postman.assertions.extra is
'Fields that the API sent and that have no column; null: none.';
