{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        indexes=[
            {'columns': ['request_environment_key', 'business_date'], 'unique': true},
            {'columns': ['request_key', 'business_date']},
            {'columns': ['business_date', 'collection_id']},
        ],
        pre_hook="{{ delete_outdated_latencies(ref('int_test_run_statuses')) }}",
    )
}}

{%- set recent = var('latency_recent_days') -%}
{%- set reach = recent + var('latency_baseline_days') %}

with days as (

    select * from {{ latency_days(ref('int_test_run_statuses')) }} as every_day
    {% if is_incremental() %}
        where
            not exists (
                select 1
                from {{ this }} as held
                where
                    held.business_date = every_day.business_date
                    and held.collection_id is not distinct from every_day.collection_id
                    and held.environment_id is not distinct from every_day.environment_id
            )
    {% endif %}

),

-- which requests were answered on these days, found run by run
requests as (

    select
        days.collection_id,
        days.environment_id,
        days.business_date,
        days.days_version,
        executions.request_key
    from days
    inner join {{ ref('int_test_run_statuses') }} as runs
        on
            runs.system = 'postman'
            and days.business_date = runs.business_date
            and days.collection_id is not distinct from runs.collection_or_project_id
            and days.environment_id is not distinct from runs.environment_id
    inner join {{ ref('fct_request_executions') }} as executions
        on runs.test_run_key = executions.test_run_key
    where executions.latency_ms is not null
    group by
        days.collection_id,
        days.environment_id,
        days.business_date,
        days.days_version,
        executions.request_key

),

measured as (

    select
        requests.*,
        latencies.*
    from requests
    cross join
        -- a few weeks of one request, by index: a night costs its own requests in any year
        lateral (  -- noqa: ST05
            with answers as (
                select
                    executions.test_run_key,
                    executions.item_name,
                    executions.item_occurrence,
                    executions.latency_ms,
                    executions.business_date,
                    executions.business_date = requests.business_date as is_of_day,
                    executions.business_date > requests.business_date - {{ recent }} as in_recent,
                    executions.business_date <= requests.business_date - {{ recent }}
                    and executions.business_date > requests.business_date - {{ reach }}
                        as in_baseline,
                    executions.business_date < requests.business_date
                    and executions.business_date
                    >= requests.business_date - {{ var('latency_spike_days') }} as in_week
                from {{ ref('fct_request_executions') }} as executions
                where
                    executions.request_key = requests.request_key
                    and executions.environment_id is not distinct from requests.environment_id
                    and executions.business_date <= requests.business_date
                    and executions.business_date >= requests.business_date - {{ latency_reach() }}
                    and executions.latency_ms is not null
            ),

            ranked as (
                select
                    business_date,
                    in_recent,
                    -- midranks: equal latencies share the mean of their ranks
                    rank() over (order by latency_ms)
                    + (count(*) over (partition by latency_ms) - 1) / 2::double precision
                        as midrank
                from answers
                where in_recent or in_baseline
            ),

            -- the answers of a day vary together (a busy host), so that its mean rank is one value
            ranked_days as (
                select
                    business_date,
                    in_recent,
                    avg(midrank) as mean_rank
                from ranked
                group by business_date, in_recent
            ),

            compared_days as (
                select
                    count(*) as number_of_days,
                    -- ordered, so that the last digits are those of any other build
                    corr(mean_rank, in_recent::integer order by business_date) as rank_correlation
                from ranked_days
            )

            select
                max(answers.item_name) as item_name,
                max(answers.item_occurrence) as item_occurrence,
                count(*) filter (where answers.is_of_day) as requests_answered,
                percentile_cont(array[0.5, 0.95, 0.99]) within group (
                    order by answers.latency_ms
                ) filter (where answers.is_of_day) as percentiles,
                max(answers.latency_ms) filter (where answers.is_of_day) as max_ms,
                (
                    array_agg(
                        answers.test_run_key
                        order by answers.latency_ms desc, answers.test_run_key asc
                    ) filter (where answers.is_of_day)
                )[1] as slowest_test_run_key,
                count(*) filter (where answers.in_recent) as recent_requests,
                percentile_cont(0.5) within group (order by answers.latency_ms)
                filter (where answers.in_recent) as recent_median_ms,
                count(*) filter (where answers.in_baseline) as baseline_requests,
                percentile_cont(array[0.5, 0.9]) within group (order by answers.latency_ms)
                filter (where answers.in_baseline) as baseline_percentiles,
                (
                    select
                        {{ correlation_z(
                            'compared_days.rank_correlation', 'compared_days.number_of_days'
                        ) }}
                    from compared_days
                ) as slowdown_z,
                array_agg(answers.latency_ms) filter (where answers.in_recent)
                    as recent_latencies,
                avg(answers.latency_ms) filter (where answers.in_week)::double precision
                    as week_mean_ms,
                max(answers.latency_ms) filter (where answers.in_week) as week_max_ms
            from answers
        ) as latencies

),

compared as (

    select
        *,
        baseline_percentiles[1] as baseline_median_ms,
        baseline_percentiles[2] as baseline_p90_ms
    from measured

)

select
    {{ surrogate_key(['request_key', 'environment_id']) }} as request_environment_key,
    request_key,
    environment_id,
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
    slowdown_z,
    baseline_p90_ms,
    case
        when baseline_requests > 0
            then (
                select count(*)
                from unnest(recent_latencies) as answered (milliseconds)
                where answered.milliseconds > baseline_p90_ms
            ) / recent_requests::double precision
    end as recent_tail_share,
    coalesce(
        recent_requests >= {{ var('latency_recent_min') }}
        and baseline_requests >= {{ var('latency_baseline_min') }}
        and slowdown_z > {{ var('latency_z') }}
        and recent_median_ms
        >= {{ var('latency_regression_ratio') }}::double precision * baseline_median_ms
        and recent_median_ms >= baseline_median_ms + {{ var('latency_regression_ms') }},
        false
    ) as is_regression,
    week_mean_ms,
    week_max_ms,
    max_ms / nullif(week_mean_ms, 0) as spike_ratio,
    coalesce(
        max_ms > {{ var('latency_spike_ratio') }} * week_mean_ms and max_ms > week_max_ms, false
    ) as is_spike,
    days_version
from compared
