-- What `testruns status` and the demo's summary show. One block a query, found by its name.

-- name: watermarks
-- How far each scope is read, and whether a walk is under way.
select
    marks.source,
    marks.scope,
    marks.high_water,
    marks.cursor is not null and walks.started_at is not null as is_unfinished,
    marks.updated_at
from ingest.watermarks as marks
left join ingest.walks as walks using (source, scope)
order by marks.source, marks.scope;

-- name: last_loads
-- The last load of each scope.
select distinct on (source, scope)
    load_id,
    source,
    scope,
    kind,
    started_at,
    finished_at,
    outcome,
    error,
    requests,
    requests_total,
    waited_seconds,
    rows_written,
    rows_rejected,
    quota
from ingest.loads
order by source asc, scope asc, load_id desc;

-- name: tables
-- Runs of each system, and when one of them last changed.
select
    runs_table as table_name,
    runs as rows,
    loaded_at
from ingest.systems
order by table_name;

-- name: open_runs
-- Runs that have not ended, the longest open first.
select
    source,
    scope,
    run_id,
    opened_at,
    next_check_at,
    gone_at
from ingest.run_states
where is_open
order by opened_at asc nulls last, run_id asc
limit 100;

-- name: rejected_records
-- Records set aside and not loaded since, the latest first.
select
    rejected_id,
    source,
    scope,
    endpoint,
    run_id,
    error,
    rejected_at,
    retried_at,
    retry_outcome
from ingest.rejected_records
where retry_outcome is null or retry_outcome not in ('loaded', 'superseded')
order by rejected_id desc
limit 100;

-- name: unknown_fields
-- Fields that the APIs send and that have no column.
select
    source,
    table_name,
    field,
    first_load_id,
    first_seen_at
from ingest.unknown_fields
order by source, table_name, field;

-- name: reconciliations
-- Runs whose announced totals differ from their rows, by reason, with the one compared last.
select
    source,
    scope,
    reason,
    count(distinct run_id) as runs,
    (array_agg(run_id order by checked_at desc, run_id asc))[1] as latest_run_id
from ingest.reconciliations
group by source, scope, reason
order by source, scope, reason;

-- name: audits
-- The last audit of the whole history of each scope.
select distinct on (source, scope)
    source,
    scope,
    audited_at,
    listed,
    loaded,
    missing,
    changed,
    gone,
    fixed,
    is_complete,
    error
from ingest.audits
where since is null
order by source asc, scope asc, audit_id desc;
