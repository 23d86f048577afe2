-- What the demo shows a newcomer, from the marts. One block a query, found by its name.

-- name: loaded
-- How much there is.
select
    (select count(*) from raw_postman.collection_runs) as postman_runs,
    (select count(*) from raw_postman.executions) as postman_requests,
    (select count(*) from raw_postman.assertions) as postman_assertions,
    (select count(*) from raw_testmo.automation_runs) as testmo_runs,
    (select count(*) from raw_testmo.automation_run_threads) as testmo_threads,
    (select least(coalesce(sum(total_count), 0), 1e18) from raw_testmo.automation_runs)::bigint
        as testmo_tests;

-- name: health
-- The last 14 days of each collection and project.
select
    health.system,
    scopes.scope as name,
    sum(health.runs_total)::bigint as runs,
    sum(health.runs_passed)::bigint as runs_passed,
    sum(health.runs_failed)::bigint as runs_failed,
    sum(health.tests_passed) / nullif(sum(health.tests_decided), 0) as pass_rate
from marts.fct_daily_run_health as health
inner join marts.dim_dates as dates
    on health.business_date = dates.date_day
inner join bi.scopes as scopes
    on
        health.system = scopes.system
        and health.collection_or_project_id = scopes.scope_id
where dates.days_ago between 0 and 13
group by health.system, health.collection_or_project_id, scopes.scope
order by health.system, scopes.scope, health.collection_or_project_id;

-- name: flaky
-- Tests that are flaky now, each where it is worst, by how often they failed for one run and passed
-- again.
with latest as (
    select distinct on (test_environment_key) *
    from marts.fct_test_flakiness
    order by test_environment_key asc, business_date desc
),

worst as (
    select distinct on (test_key) *
    from latest
    where is_flaky
    order by test_key asc, episodes desc, test_environment_key asc
)

select
    coalesce(tests.item_name, tests.test_folder) as item_name,
    coalesce(tests.assertion_name, tests.test_name) as assertion_name,
    worst.long_results as results,
    worst.long_results - worst.long_passed as failed,
    worst.episodes
from worst
inner join marts.dim_tests as tests
    on worst.test_key = tests.test_key
where tests.is_live
order by worst.episodes desc, item_name asc, assertion_name asc
limit 5;

-- name: slow
-- Requests by their 95th percentile of the last 7 days, each where it is slowest, and their median
-- against the 28 days before.
with latest as (
    select date_day as day
    from marts.dim_dates
    where days_ago = 0
),

answered as (
    select
        executions.request_key,
        executions.environment_id,
        executions.item_name,
        executions.latency_ms,
        executions.business_date > latest.day - 7 as is_recent
    from marts.fct_request_executions as executions
    cross join latest
    where
        executions.latency_ms is not null
        and executions.business_date > latest.day - 35
        and executions.business_date <= latest.day
),

measured as (
    select
        request_key,
        max(item_name) as item_name,
        count(*) filter (where is_recent) as requests,
        percentile_cont(0.5) within group (order by latency_ms)
        filter (where is_recent) as median_ms,
        percentile_cont(0.95) within group (order by latency_ms)
        filter (where is_recent) as p95_ms,
        percentile_cont(0.5) within group (order by latency_ms)
        filter (where not is_recent) as median_before_ms
    from answered
    group by request_key, environment_id
    having count(*) filter (where is_recent) > 0
),

slowest as (
    select distinct on (request_key) *
    from measured
    order by request_key asc, p95_ms desc
)

select
    item_name,
    requests,
    median_ms,
    p95_ms,
    median_before_ms
from slowest
order by p95_ms desc, request_key asc
limit 5;

-- name: unfinished
-- Runs that are still open, and green ones that sent less than usual.
select
    system,
    run_id,
    started_at,
    case
        when is_open then 'still open'
        when system = 'postman'
            then
                'green, but only ' || requests_total || ' of the usual '
                || round(requests_usual)::text || ' requests'
        else 'green, but ' || tests_untested || ' of ' || tests_total || ' tests did not run'
    end as remark
from marts.fct_test_runs
where is_open or is_truncated
order by started_at desc nulls last, test_run_key asc
limit 5;
