-- The test results of Testmo's runs: whether those of a run are loaded, and whether the API has
-- the endpoint that gives them.

alter table ingest.run_states add column results_digest bytea;
comment on column ingest.run_states.results_digest is
'BLAKE2b of the run''s test results as loaded with this content, where they are fetched apart from
the run (Testmo); null: they are not loaded, or not with this content.';

create table ingest.missing_endpoints (
    source text not null,
    endpoint text not null,
    error text not null,
    first_missed_at timestamptz not null default now(),
    last_missed_at timestamptz not null default now(),
    primary key (source, endpoint)
);
comment on table ingest.missing_endpoints is
'Endpoints that an API does not have: a row each, gone once it answers. Each load asks once.';
comment on column ingest.missing_endpoints.source is 'postman or testmo.';
comment on column ingest.missing_endpoints.endpoint is 'The API''s path template.';
comment on column ingest.missing_endpoints.error is 'How it answered last, in one line.';
comment on column ingest.missing_endpoints.first_missed_at is 'When a load first missed it, UTC.';
comment on column ingest.missing_endpoints.last_missed_at is 'When a load last missed it, UTC.';

comment on table raw_testmo.automation_run_tests is
'One row a test result of a run; replaced as a whole when the run changes.';
comment on column raw_testmo.automation_run_tests.status is
'The instance''s status of this ID (raw_testmo.statuses); where it has none, 1 neutral, 2 success,
3 failure, 4 running.';
comment on column ingest.reconciliations.total is
'The run''s column that announces it: requests_total, assertions_total, thread_count, …;
tests.total_count and others: as the run''s test results come to it.';
