-- What `testruns report` shows, from the marts. One block a query, found by its name. Each is cut
-- to what the page has room for: no fact table ever leaves the server whole.

-- name: is_anything_loaded
-- Whether there is a run at all, whatever the marts hold.
select coalesce(sum(runs), 0) > 0 as is_loaded
from ingest.systems;

-- name: scopes
-- Collections, projects and sources of report files: what people call them and whose they are, and
-- the health of each by the run that ended last.
select
    system,
    scope_id as scope,
    left(scope, 300) as name,
    left(nullif(owner, 'no owner'), 300) as owner,
    health as current_health,
    red_since
from bi.scopes;

-- name: environments
-- What people call environments and configurations, where they do not call them by their ID.
select
    system,
    environment_id,
    left(environment_name, 300) as name
from marts.dim_environments
where environment_name <> environment_id;

-- name: night
-- The 24 hours before `as_of` in each collection and project that ran in the 8 days before it.
with period as (select %(as_of)s::timestamptz as as_of),

missing as (
    select distinct test_run_key
    from marts.fct_reconciliation
    where reason = 'missing'
),

runs as (
    select
        all_runs.*,
        coalesce(all_runs.started_at, all_runs.finished_at) as ran_at,
        coalesce(all_runs.started_at, all_runs.finished_at)
        > period.as_of - interval '24 hours' as is_night,
        all_runs.is_success is not null and not all_runs.is_open as has_verdict,
        missing.test_run_key is not null as lacks_rows
    from marts.fct_test_runs as all_runs
    cross join period
    left join missing
        on all_runs.test_run_key = missing.test_run_key
    where
        coalesce(all_runs.started_at, all_runs.finished_at)
        > period.as_of - interval '8 days'
        and coalesce(all_runs.started_at, all_runs.finished_at) <= period.as_of
)

select
    system,
    collection_or_project_id as scope,
    count(*) filter (where is_night) as runs,
    count(*) filter (where is_night and has_verdict and is_success) as runs_passed,
    count(*) filter (where is_night and has_verdict and not is_success) as runs_failed,
    count(*) filter (where is_night and is_open) as runs_open,
    count(*) filter (where is_night and status = 'passed' and is_truncated) as runs_truncated,
    count(*) filter (where is_night and status = 'passed' and is_suspect) as runs_suspect,
    count(*) filter (where is_night and status = 'passed' and lacks_rows) as runs_lacking_rows,
    count(*) filter (
        where is_night and status = 'passed' and tests_passed = 0 and tests_failed = 0
    ) as runs_without_tests,
    count(distinct business_date) filter (where not is_night) as days_before,
    (
        array_agg(is_success order by coalesce(finished_at, ran_at) desc)
        filter (where is_night and has_verdict)
    )[1] as last_is_success,
    max(ran_at) as last_ran_at
from runs
group by system, collection_or_project_id
order by system, collection_or_project_id;

-- name: newest_run
-- When the latest run up to `as_of` began; null: there is none.
select max(coalesce(started_at, finished_at)) as ran_at
from marts.fct_test_runs
where coalesce(started_at, finished_at) <= %(as_of)s;

-- name: night_failures
-- Runs of the 24 hours before `as_of` that failed, the latest first, and their first failed tests.
with period as (select %(as_of)s::timestamptz as as_of),

failures as (
    select runs.*
    from marts.fct_test_runs as runs
    cross join period
    where
        runs.started_at > period.as_of - interval '24 hours'
        and runs.started_at <= period.as_of
        and runs.is_success is false
        and not runs.is_open
    order by runs.started_at desc, runs.test_run_key asc
    limit 12
),

first_failed as (
    select
        failures.test_run_key,
        array_agg(tests.name order by tests.result_number) as names
    from failures
    cross join
        lateral (
            select
                results.result_number,
                left(concat_ws(
                    ': ',
                    nullif(coalesce(named.item_name, named.test_folder), ''),
                    coalesce(named.assertion_name, named.test_name)
                ), 300) as name
            from staging.int_test_results as results
            inner join marts.dim_tests as named
                on results.test_key = named.test_key
            where
                results.test_run_key = failures.test_run_key
                and results.outcome = 'failed'
                and results.is_outcome
            order by results.result_number
            limit 3
        ) as tests
    group by failures.test_run_key
)

select
    failures.test_run_key,
    failures.system,
    failures.run_id,
    failures.collection_or_project_id as scope,
    left(failures.run_name, 300) as run_name,
    failures.started_at,
    failures.tests_failed,
    failures.tests_total,
    failures.requests_failed,
    first_failed.names as failed_names
from failures
left join first_failed
    on failures.test_run_key = first_failed.test_run_key
order by failures.started_at desc, failures.test_run_key asc;

-- name: health
-- The days of the collections and projects that ran most in the period.
with period as (
    select
        %(first_day)s::date as first_day,
        %(last_day)s::date as last_day
),

days as (
    select health.*
    from marts.fct_daily_run_health as health
    cross join period
    where health.business_date between period.first_day and period.last_day
),

most_run as (
    select
        system,
        collection_or_project_id,
        count(*) over () as scopes
    from days
    group by system, collection_or_project_id
    order by sum(runs_total) desc, system asc, collection_or_project_id asc
    limit 24
)

select
    days.system,
    days.collection_or_project_id as scope,
    days.business_date,
    most_run.scopes,
    days.runs_total::float,
    days.runs_passed::float,
    days.runs_failed::float,
    days.tests_passed::float,
    days.tests_decided::float,
    days.red_minutes::float
from days
inner join most_run
    on
        days.system = most_run.system
        and days.collection_or_project_id is not distinct from most_run.collection_or_project_id;

-- name: totals
-- The period as a whole; minutes are those of all collections and projects together.
select
    sum(runs_total)::float as runs,
    sum(runs_passed) / nullif(sum(runs_passed + runs_failed), 0)::float as success_rate,
    sum(tests_passed) / nullif(sum(tests_decided), 0)::float as pass_rate,
    sum(recovery_minutes) / nullif(sum(recoveries), 0)::float as minutes_to_recover,
    sum(recoveries)::bigint as recoveries,
    sum(failures_flaky) / nullif(sum(failures_total), 0)::float as flaky_failure_share,
    sum(wasted_minutes)::float as wasted_minutes
from marts.fct_daily_run_health
where business_date between %(first_day)s and %(last_day)s;

-- name: latency
-- Requests answered in the last days of the period, each in its environment: those that take
-- longest, and those that have become slower. `request_key` names request and environment.
with period as (
    select
        %(last_day)s::date as last_day,
        greatest(%(first_day)s::date, %(last_day)s::date - %(recent_days)s::integer + 1)
            as first_day
),

latest as (
    select distinct on (latency.request_environment_key) latency.*
    from marts.fct_request_latency_daily as latency
    cross join period
    where latency.business_date between period.first_day and period.last_day
    order by latency.request_environment_key asc, latency.business_date desc
),

ranked as (
    select
        *,
        row_number() over (
            order by recent_median_ms desc nulls last, request_environment_key asc
        ) as slowest_rank,
        row_number() over (
            order by is_regression desc, slowdown_ratio desc nulls last, request_environment_key asc
        ) as slowing_rank
    from latest
)

select
    ranked.request_environment_key as request_key,
    ranked.collection_id,
    ranked.environment_id,
    left(ranked.item_name, 1000) as item_name,
    ranked.item_occurrence,
    ranked.p95_ms,
    ranked.recent_requests,
    ranked.recent_median_ms,
    ranked.baseline_requests,
    ranked.baseline_median_ms,
    ranked.slowdown_ratio,
    ranked.slowdown_z,
    ranked.baseline_p90_ms,
    ranked.recent_tail_share,
    ranked.is_regression,
    ranked.slowest_rank,
    ranked.slowing_rank,
    requests.first_seen_at,
    requests.last_seen_at
from ranked
inner join marts.dim_requests as requests
    on ranked.request_key = requests.request_key
where ranked.slowest_rank <= 10 or (ranked.is_regression and ranked.slowing_rank <= 10);

-- name: latency_days
-- Each day of these requests in their environments.
select
    request_environment_key as request_key,
    business_date,
    p50_ms,
    p95_ms,
    requests_answered,
    max_ms,
    slowest_test_run_key
from marts.fct_request_latency_daily
where
    request_environment_key = any(%(request_keys)s)
    and business_date between %(first_day)s and %(last_day)s;

-- name: streaks
-- Failure streaks, those that began and ended in the same runs as one: open ones first (no pass up
-- to `as_of`) by how long they have lasted, then those that ended in the period, by how often they
-- failed: one failure of what runs once a week lasts long, and is none.
with period as (
    select
        %(since)s::timestamptz as since,
        %(as_of)s::timestamptz as as_of
),

streaks as (
    select
        all_streaks.*,
        coalesce(all_streaks.recovered_at > period.as_of, true) as was_open,
        period.as_of
    from marts.fct_failure_streaks as all_streaks
    inner join marts.dim_tests as seen
        on all_streaks.test_key = seen.test_key
    cross join period
    where
        -- nobody mends what is gone
        (seen.is_live or not all_streaks.is_open)
        and all_streaks.first_failed_at <= period.as_of
        and (all_streaks.recovered_at is null or all_streaks.recovered_at >= period.since)
),

together as (
    select
        system,
        collection_or_project_id,
        environment_id,
        first_failed_run_key,
        was_open,
        case when not was_open then recovered_run_key end as recovered_run_key,
        count(*) as tests,
        max(failures) as failures,
        sum(failures) as failures_in_all,
        min(first_failed_at) as first_failed_at,
        max(least(last_failed_at, as_of)) as last_failed_at,
        max(recovered_at) filter (where not was_open) as recovered_at,
        max(last_passed_at) as last_passed_at,
        (array_agg(test_key order by first_failed_result_number, test_key))[1] as test_key
    from streaks
    group by
        system,
        collection_or_project_id,
        environment_id,
        first_failed_run_key,
        was_open,
        case when not was_open then recovered_run_key end
),

ranked as (
    select
        *,
        count(*) over same_state as groups,
        sum(tests) over same_state as tests_in_all,
        row_number() over (
            partition by was_open
            order by
                case when was_open then 0 else failures_in_all end desc,
                first_failed_at asc,
                first_failed_run_key asc
        ) as place
    from together
    window same_state as (partition by was_open)
)

select
    ranked.*,
    left(coalesce(tests.item_name, tests.test_folder), 1000) as parent_name,
    left(coalesce(tests.assertion_name, tests.test_name), 1000) as test_name,
    tests.item_occurrence as occurrence,
    left(tests.owner, 300) as owner
from ranked
inner join marts.dim_tests as tests
    on ranked.test_key = tests.test_key
where ranked.place <= 12
order by ranked.was_open desc, ranked.place asc;

-- name: clusters
-- What failed for the same reason in the period, by how often; counts are of all time.
with period as (
    select
        %(since)s::timestamptz as since,
        %(as_of)s::timestamptz as as_of
)

select
    clusters.normalised_message,
    clusters.normalised_name,
    clusters.failures,
    clusters.tests,
    clusters.first_seen_at,
    clusters.last_seen_at,
    clusters.example_message,
    clusters.example_run_key,
    clusters.first_seen_at > period.as_of - interval '7 days' as is_new,
    left(coalesce(tests.item_name, tests.test_folder), 1000) as parent_name,
    left(coalesce(tests.assertion_name, tests.test_name), 1000) as test_name,
    tests.item_occurrence as occurrence,
    count(*) over () as clusters
from marts.fct_failure_clusters as clusters
cross join period
left join marts.dim_tests as tests
    on clusters.example_test_key = tests.test_key
where clusters.last_seen_at >= period.since and clusters.first_seen_at <= period.as_of
order by clusters.failures desc, clusters.failure_key asc
limit 12;

-- name: not_whole
-- Runs of the period whose green says less than it seems, and runs that never ended.
with period as (
    select
        %(since)s::timestamptz as since,
        %(as_of)s::timestamptz as as_of
),

missing as (
    select
        test_run_key,
        sum(rows_announced - rows_loaded) as rows_missing
    from marts.fct_reconciliation
    where reason = 'missing'
    group by test_run_key
)

select
    runs.system,
    runs.run_id,
    runs.collection_or_project_id as scope,
    left(runs.run_name, 300) as run_name,
    runs.started_at,
    runs.status,
    runs.is_open,
    runs.is_truncated,
    runs.is_suspect,
    runs.requests_total,
    runs.requests_usual,
    runs.completeness,
    runs.tests_total,
    runs.tests_passed,
    runs.tests_untested,
    runs.script_errors,
    -- least() passes over a null
    case when missing.rows_missing is not null then least(missing.rows_missing, 1e18) end::bigint
        as rows_missing,
    count(*) over () as runs
from marts.fct_test_runs as runs
cross join period
left join missing
    on runs.test_run_key = missing.test_run_key
where
    runs.started_at between period.since and period.as_of
    and (
        (
            runs.status = 'passed'
            and (
                runs.is_truncated
                or runs.is_suspect
                or missing.rows_missing is not null
                or (runs.tests_passed = 0 and runs.tests_failed = 0)
            )
        )
        or (runs.is_open and runs.started_at < period.as_of - interval '24 hours')
    )
order by runs.started_at desc, runs.test_run_key asc
limit 20;

-- name: freshness
-- How far each collection and project is read, its last load and its last one that succeeded.
with last_loads as (
    select distinct on (source, scope)
        source,
        scope,
        started_at,
        outcome,
        left(error, 300) as error
    from ingest.loads
    where kind = 'incremental'
    order by source asc, scope asc, load_id desc
),

successes as (
    select
        source,
        scope,
        max(started_at) as succeeded_at
    from ingest.loads
    where kind = 'incremental' and outcome = 'succeeded'
    group by source, scope
)

select
    last_loads.source as system,
    last_loads.scope,
    last_loads.started_at,
    last_loads.outcome,
    last_loads.error,
    successes.succeeded_at,
    watermarks.high_water
from last_loads
left join successes using (source, scope)
left join ingest.watermarks as watermarks using (source, scope)
order by last_loads.source, last_loads.scope;

-- name: behind
-- When a run last changed in the raw tables and in the marts, by system; null: there is none.
with in_marts as (
    select
        system,
        max(loaded_at) as loaded_at
    from marts.fct_test_runs
    group by system
)

select
    systems.system,
    systems.present_loaded_at as raw_loaded_at,
    in_marts.loaded_at as marts_loaded_at
from ingest.systems as systems
left join in_marts
    on systems.system = in_marts.system
order by systems.system;

-- name: rejected
-- Records set aside and not loaded since, by system.
select
    source as system,
    count(*) as records
from ingest.rejected_records
where retry_outcome is null or retry_outcome not in ('loaded', 'superseded')
group by source
order by source;

-- name: reconciliation
-- Totals of runs of the period that differ from the rows loaded, by reason.
select
    system,
    total_name,
    reason,
    is_explained,
    count(*) as runs,
    least(sum(rows_announced), 1e18)::bigint as rows_announced,
    least(sum(rows_loaded), 1e18)::bigint as rows_loaded,
    max(started_at) as last_started_at,
    (array_agg(run_id order by started_at desc nulls last, run_id asc))[1] as last_run_id
from marts.fct_reconciliation
where business_date between %(first_day)s and %(last_day)s
group by system, total_name, reason, is_explained
order by is_explained asc, runs desc, system asc, total_name asc
limit 20;

-- name: audits
-- The last audit of the whole history of each scope.
select distinct on (source, scope)
    source as system,
    scope,
    audited_at,
    listed,
    loaded,
    missing,
    changed,
    gone,
    is_complete,
    error
from ingest.audits
where since is null
order by source asc, scope asc, audit_id desc;
