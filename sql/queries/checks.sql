-- What the checks on the raw tables look at. One block a query, found by its name.

-- name: last_loads
-- How each of these scopes was last loaded; `error` null: well. They are loaded in this order, and
-- what stops a whole source, as a wrong key, leaves no load of those that come after it.
with scopes as (
    select
        configured.scope,
        configured.place
    from unnest(%(scopes)s::text[]) with ordinality as configured (scope, place) -- noqa: RF02
),

last_loads as (
    select distinct on (loads.scope)
        loads.scope,
        scopes.place,
        loads.load_id,
        loads.started_at,
        loads.finished_at,
        loads.outcome,
        loads.error
    from ingest.loads as loads
    inner join scopes on loads.scope = scopes.scope
    where loads.source = %(source)s and loads.kind = 'incremental' -- noqa: RF02
    order by loads.scope asc, loads.load_id desc
)

select
    scopes.scope,
    last_loads.started_at,
    last_loads.finished_at,
    last_loads.outcome,
    case
        when stopped.error is not null then 'not tried: ' || stopped.error
        when last_loads.load_id is null then 'never loaded'
        when last_loads.outcome = 'running' then 'its load has not ended'
        when last_loads.outcome <> 'succeeded'
            then coalesce(last_loads.error, last_loads.outcome)
    end as error
from scopes
left join last_loads on scopes.scope = last_loads.scope
left join lateral (
    select before.error
    from last_loads as before
    where
        before.place < scopes.place
        and before.outcome = 'failed'
        and before.load_id > coalesce(last_loads.load_id, 0)
    order by before.load_id desc
    limit 1
) as stopped on true
order by scopes.place;

-- name: last_successes
-- When each of these scopes was last loaded; null: never.
select
    scopes.scope,
    (
        select max(loads.finished_at)
        from ingest.loads as loads
        where
            loads.source = %(source)s
            and loads.scope = scopes.scope
            and loads.kind = 'incremental'
            and loads.outcome = 'succeeded'
    ) as loaded_at
from unnest(%(scopes)s::text[]) as scopes (scope) -- noqa: RF02
order by scopes.scope;

-- name: differences
-- Runs whose announced totals differ from their rows, by total and reason; `is_new`: found or
-- confirmed by the last load of its scope.
with last_loads as (
    select max(load_id) as load_id
    from ingest.loads
    where source = %(source)s and kind = 'incremental'
    group by scope
)

select
    found.total,
    found.reason,
    count(*) as runs,
    count(*) filter (
        where found.load_id in (select last_loads.load_id from last_loads)
    ) as runs_new,
    least(sum(found.announced), 1e18)::bigint as announced,
    least(sum(found.loaded), 1e18)::bigint as loaded,
    max(found.checked_at) as last_found_at,
    (array_agg(found.run_id order by found.checked_at desc))[1] as run_id
from ingest.reconciliations as found
where found.source = %(source)s
group by found.total, found.reason
order by found.reason, found.total;

-- name: runs_last_written
-- Runs that the last load of each scope wrote.
select coalesce(sum((last_loads.rows_written ->> %(table)s)::bigint), 0)::bigint as runs
from (
    select distinct on (scope) rows_written
    from ingest.loads
    where source = %(source)s and kind = 'incremental'
    order by scope asc, load_id desc
) as last_loads;

-- name: rejected
-- Records set aside and not settled since, by scope and error.
select
    scope,
    endpoint,
    error,
    count(*) as records,
    min(rejected_at) as first_at,
    max(run_id) as run_id
from ingest.rejected_records
where
    source = %(source)s
    and (retry_outcome is null or retry_outcome not in ('loaded', 'superseded'))
group by scope, endpoint, error
order by records desc, error asc
limit 20;

-- name: unknown_fields
-- Fields without a column; `is_new`: the last load of some scope was the first to see it, and not
-- the first that this scope had: of what a new scope sends nothing is news.
with last_loads as (
    select
        max(load_id) as load_id,
        min(load_id) filter (where outcome = 'succeeded') as first_load_id
    from ingest.loads
    where source = %(source)s
    group by scope
)

select
    table_name,
    field,
    first_seen_at,
    first_load_id in (
        select last_loads.load_id from last_loads
        where last_loads.load_id > last_loads.first_load_id
    ) as is_new
from ingest.unknown_fields
where source = %(source)s
order by is_new desc, table_name asc, field asc;

-- name: watermarks
-- How far each scope is read, and since when a walk that has not closed is under way.
select
    marks.scope,
    marks.high_water,
    walks.started_at as walking_since,
    coalesce(walks.started_at < now() - interval '48 hours', false) as is_stuck,
    coalesce(marks.high_water < now() - interval '7 days', false) as is_behind
from ingest.watermarks as marks
left join ingest.walks as walks using (source, scope)
where marks.source = %(source)s and marks.scope = any(%(scopes)s) -- noqa: RF02
order by marks.scope;

-- name: old_open_runs
-- Runs open for more than a week, the latest first; `is_new`: less than two.
select
    scope,
    run_id,
    opened_at,
    next_check_at,
    coalesce(opened_at > now() - interval '14 days', false) as is_new
from ingest.run_states
where
    source = %(source)s
    and is_open
    and gone_at is null
    and opened_at < now() - interval '7 days'
order by opened_at desc
limit 50;

-- name: quota
-- The month's calls as announced in the last week, by the whole account; our own requests a day.
with announced as (
    select
        finished_at,
        requests_total,
        (quota ->> 'month_limit')::bigint as month_limit,
        (quota ->> 'month_remaining')::bigint as month_remaining
    from ingest.loads
    where
        source = %(source)s
        and finished_at > greatest(now() - interval '7 days', date_trunc('month', now()))
        and quota ? 'month_remaining'
)

select
    (array_agg(month_limit order by finished_at desc))[1] as month_limit,
    (array_agg(month_remaining order by finished_at desc))[1] as month_remaining,
    max(month_remaining) - min(month_remaining) as used,
    sum(requests_total)::bigint as used_by_us,
    greatest(extract(epoch from max(finished_at) - min(finished_at)) / 86400, 1)::float8 as days,
    extract(
        epoch from date_trunc('month', now()) + interval '1 month' - now()
    )::float8 / 86400 as days_left
from announced;
