{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[
            {'columns': ['request_key', 'business_date'], 'unique': true},
            {'columns': ['business_date', 'collection_id']},
        ],
        pre_hook="{{ delete_outdated_latencies(ref('fct_test_runs')) }}",
    )
}}

{%- set recent = var('latency_recent_days') -%}
{%- set reach = '(' ~ recent ~ ' + ' ~ var('latency_baseline_days') ~ ')' %}

with days as (

    select * from {{ latency_days(ref('fct_test_runs')) }} as every_day
    {% if is_incremental() %}
        where
            not exists (
                select 1
                from {{ this }} as held
                where
                    held.business_date = every_day.business_date
                    and held.collection_id is not distinct from every_day.collection_id
            )
    {% endif %}

),

-- which requests were answered on these days, found run by run
requests as (

    select
        days.collection_id,
        days.business_date,
        days.days_version,
        executions.request_key
    from days
    inner join {{ ref('fct_test_runs') }} as runs
        on
            runs.system = 'postman'
            and days.business_date = runs.business_date
            and days.collection_id is not distinct from runs.collection_or_project_id
    inner join {{ ref('fct_request_executions') }} as executions
        on runs.test_run_key = executions.test_run_key
    where executions.latency_ms is not null
    group by
        days.collection_id, days.business_date, days.days_version, executions.request_key

),

measured as (

    select
        requests.*,
        latencies.*
    from requests
    cross join
        -- a few weeks of one request, by index: a night costs its own requests in any year
        lateral (
            select
                max(executions.item_name) as item_name,
                max(executions.item_occurrence) as item_occurrence,
                count(*) filter (where executions.business_date = requests.business_date)
                    as requests_answered,
                percentile_cont(array[0.5, 0.95, 0.99]) within group (
                    order by executions.latency_ms
                ) filter (where executions.business_date = requests.business_date) as percentiles,
                max(executions.latency_ms)
                filter (where executions.business_date = requests.business_date) as max_ms,
                (
                    array_agg(
                        executions.test_run_key
                        order by executions.latency_ms desc, executions.test_run_key asc
                    ) filter (where executions.business_date = requests.business_date)
                )[1] as slowest_test_run_key,
                count(*) filter (
                    where executions.business_date > requests.business_date - {{ recent }}
                ) as recent_requests,
                percentile_cont(0.5) within group (order by executions.latency_ms) filter (
                    where executions.business_date > requests.business_date - {{ recent }}
                ) as recent_median_ms,
                count(*) filter (
                    where
                    executions.business_date <= requests.business_date - {{ recent }}
                    and executions.business_date > requests.business_date - {{ reach }}
                ) as baseline_requests,
                percentile_cont(0.5) within group (order by executions.latency_ms) filter (
                    where
                    executions.business_date <= requests.business_date - {{ recent }}
                    and executions.business_date > requests.business_date - {{ reach }}
                ) as baseline_median_ms,
                avg(executions.latency_ms) filter (
                    where
                    executions.business_date < requests.business_date
                    and executions.business_date
                    >= requests.business_date - {{ var('latency_spike_days') }}
                )::double precision as week_mean_ms,
                max(executions.latency_ms) filter (
                    where
                    executions.business_date < requests.business_date
                    and executions.business_date
                    >= requests.business_date - {{ var('latency_spike_days') }}
                ) as week_max_ms
            from {{ ref('fct_request_executions') }} as executions
            where
                executions.request_key = requests.request_key
                and executions.business_date <= requests.business_date
                and executions.business_date >= requests.business_date - {{ latency_reach() }}
                and executions.latency_ms is not null
        ) as latencies

)

select
    request_key,
    business_date,
    collection_id,
    item_name,
    item_occurrence,
    requests_answered,
    percentiles[1] as p50_ms,
    percentiles[2] as p95_ms,
    percentiles[3] as p99_ms,
    max_ms,
    slowest_test_run_key,
    recent_requests,
    recent_median_ms,
    baseline_requests,
    baseline_median_ms,
    recent_median_ms / nullif(baseline_median_ms, 0) as slowdown_ratio,
    recent_median_ms - baseline_median_ms as slowdown_ms,
    coalesce(
        recent_median_ms > {{ var('latency_regression_ratio') }} * baseline_median_ms
        and recent_median_ms > baseline_median_ms + {{ var('latency_regression_ms') }},
        false
    ) as is_regression,
    week_mean_ms,
    week_max_ms,
    max_ms / nullif(week_mean_ms, 0) as spike_ratio,
    coalesce(
        max_ms > {{ var('latency_spike_ratio') }} * week_mean_ms and max_ms > week_max_ms, false
    ) as is_spike,
    days_version
from measured
