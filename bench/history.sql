-- Numbered runs of each collection and project, straight into the raw tables: as the loader would
-- have written them, without an API. One load (and its loaded_at) a day of runs.

insert into raw_postman.collection_runs (
    run_id, collection_id, environment_id, status, source, created_by, started_at, finished_at,
    duration_ms, requests_total, requests_failed, assertions_total, assertions_failed,
    first_loaded_at, loaded_at, load_id
)
select
    format('%%s-history-%%s', collection, lpad(number::text, 12, '0')),
    'history-' || collection,
    '7d0e5a1c-staging',
    'finished',
    'monitor',
    '40817263',
    started_at,
    started_at + interval '8 s',
    8123,
    %(executions)s,
    0,
    %(executions)s * %(assertions)s,
    (number %% 10 = 0)::integer,
    loaded_at,
    loaded_at,
    number / 12 + 1
from
    generate_series(1, %(collections)s) as collection,
    generate_series(%(postman_first)s, %(postman_last)s) as number,
    lateral (
        select %(latest)s::timestamptz - (%(postman_runs)s - number) * %(postman_every)s::interval
            as started_at
    ) as at,
    lateral (select date_trunc('day', started_at) + interval '27 hours' as loaded_at) as load;

insert into raw_postman.executions (
    run_id, execution_index, execution_id, item_name, request_method, request_url,
    response_status_code, response_time_ms, response_size_bytes
)
select
    runs.run_id,
    position,
    format('e%%s-bb5d-4c9e-1d04-4a1a93c7', lpad(position::text, 6, '0')),
    'Item number ' || position,
    'GET',
    format('https://api.example.com/v1/items/%%s?page=1&size=50', position),
    200,
    80 + (position * 7 + extract(epoch from runs.started_at)::bigint / 7200) %% 200,
    1000 + position
from raw_postman.collection_runs as runs, generate_series(0, %(executions)s - 1) as position
where
    runs.collection_id like 'history-%%'
    and runs.started_at >= %(latest)s::timestamptz
    - (%(postman_runs)s - %(postman_first)s) * %(postman_every)s::interval;

insert into raw_postman.assertions (
    run_id, execution_index, assertion_index, name, passed, error
)
select
    runs.run_id,
    execution,
    position,
    'Status code is 200, check ' || position,
    not is_failed,
    case when is_failed then 'expected 500 to equal 200' end
from
    raw_postman.collection_runs as runs,
    generate_series(0, %(executions)s - 1) as execution,
    generate_series(0, %(assertions)s - 1) as position,
    lateral (
        select runs.assertions_failed > 0 and execution = 3 and position = 0 as is_failed
    ) as failure
where
    runs.collection_id like 'history-%%'
    and runs.started_at >= %(latest)s::timestamptz
    - (%(postman_runs)s - %(postman_first)s) * %(postman_every)s::interval;

insert into ingest.run_states (
    source, run_id, scope, listed_digest, content_digest, is_open, opened_at
)
select
    'postman',
    run_id,
    collection_id,
    decode(md5('listed' || run_id), 'hex'),
    decode(md5(run_id), 'hex'),
    false,
    started_at
from raw_postman.collection_runs
where
    collection_id like 'history-%%'
    and started_at >= %(latest)s::timestamptz
    - (%(postman_runs)s - %(postman_first)s) * %(postman_every)s::interval;

insert into raw_testmo.automation_runs (
    run_id, project_id, source_id, name, status, config_id, milestone_id, elapsed, is_completed,
    untested_count, status1_count, status2_count, success_count, failure_count, completed_count,
    total_count, thread_count, thread_active_count, thread_completed_count, created_at,
    completed_at, first_loaded_at, loaded_at, load_id
)
select
    number::bigint * 1000 + 500 + project,
    500 + project,
    1,
    'Backend, nightly',
    case when failed then 3 else 2 end,
    7,
    8,
    540000000,
    true,
    0,
    120 - failed::integer,
    failed::integer,
    120 - failed::integer,
    failed::integer,
    120,
    120,
    1,
    0,
    1,
    created_at,
    created_at + interval '9 min',
    loaded_at,
    loaded_at,
    number / 48 + 1
from
    generate_series(1, %(projects)s) as project,
    generate_series(%(testmo_first)s, %(testmo_last)s) as number,
    lateral (select number %% 10 = 0 as failed) as outcome,
    lateral (
        select %(latest)s::timestamptz - (%(testmo_runs)s - number) * %(testmo_every)s::interval
            as created_at
    ) as at,
    lateral (select date_trunc('day', created_at) + interval '27 hours' as loaded_at) as load;

insert into raw_testmo.automation_run_threads (
    run_id, thread_id, thread_index, name, status, elapsed, is_completed, success_count,
    failure_count, completed_count, total_count, created_at, completed_at
)
select
    run_id,
    run_id * 10,
    1,
    'Thread 1',
    status,
    elapsed,
    true,
    success_count,
    failure_count,
    completed_count,
    total_count,
    created_at,
    completed_at
from raw_testmo.automation_runs
where
    project_id > 500
    and created_at >= %(latest)s::timestamptz
    - (%(testmo_runs)s - %(testmo_first)s) * %(testmo_every)s::interval;

insert into raw_testmo.automation_run_tags (run_id, tag)
select
    run_id,
    tag
from raw_testmo.automation_runs, unnest(array['nightly', 'backend']) as tag
where
    project_id > 500
    and created_at >= %(latest)s::timestamptz
    - (%(testmo_runs)s - %(testmo_first)s) * %(testmo_every)s::interval;

insert into ingest.run_states (
    source, run_id, scope, listed_digest, content_digest, is_open, opened_at
)
select
    'testmo',
    run_id::text,
    project_id::text,
    decode(md5('listed' || run_id), 'hex'),
    decode(md5(run_id::text), 'hex'),
    false,
    created_at
from raw_testmo.automation_runs
where
    project_id > 500
    and created_at >= %(latest)s::timestamptz
    - (%(testmo_runs)s - %(testmo_first)s) * %(testmo_every)s::interval;
