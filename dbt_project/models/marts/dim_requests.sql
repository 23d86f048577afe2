-- Looked up request by request: the first day, the last days, the last run, each by index. So it
-- costs by requests, not by their history.
with last_runs as (

    {{ last_runs_of_suites() }}

),

live as (

    select executions.request_key
    from last_runs
    inner join {{ ref('fct_request_executions') }} as executions
        on last_runs.test_run_key = executions.test_run_key
    group by executions.request_key

),

requests as (

    select every_key.request_key
    from {{ loose_index_scan(ref('fct_request_executions'), 'request_key') }} as every_key

),

latest as (

    select {{ latest_business_date(ref('fct_test_runs')) }} as business_date

),

seen as (

    select
        requests.request_key,
        bounds.first_day,
        coalesce(believed.last_day, bounds.last_day) as last_day
    from requests
    cross join latest
    cross join
        lateral (
            select
                min(executions.business_date) as first_day,
                max(executions.business_date) as last_day
            from {{ ref('fct_request_executions') }} as executions
            where executions.request_key = requests.request_key
        ) as bounds
    cross join
        -- a day after the latest one is a run's that is dated after its load
        lateral (
            select max(executions.business_date) as last_day
            from {{ ref('fct_request_executions') }} as executions
            where
                executions.request_key = requests.request_key
                and executions.business_date <= latest.business_date + 1
        ) as believed

),

first_seen as (

    select
        seen.request_key,
        min(coalesce(runs.started_at, runs.finished_at)) as first_seen_at
    from seen
    inner join {{ ref('fct_request_executions') }} as executions
        on
            seen.request_key = executions.request_key
            and seen.first_day = executions.business_date
    inner join {{ ref('fct_test_runs') }} as runs
        on executions.test_run_key = runs.test_run_key
    group by seen.request_key

),

-- two looks into the index, as none serves "equal or both null"
sent_on_last_day as (

    select executions.*
    from seen
    inner join {{ ref('fct_request_executions') }} as executions
        on
            seen.request_key = executions.request_key
            and seen.last_day = executions.business_date
    union all
    select executions.*
    from seen
    inner join {{ ref('fct_request_executions') }} as executions
        on seen.request_key = executions.request_key
    where seen.last_day is null and executions.business_date is null

),

last_sent as (

    select distinct on (sent.request_key)
        sent.request_key,
        sent.collection_id,
        sent.item_name,
        sent.item_occurrence,
        sent.request_method,
        sent.is_answered,
        sent.test_run_key,
        sent.execution_index,
        coalesce(runs.started_at, runs.finished_at) as last_seen_at
    from sent_on_last_day as sent
    inner join {{ ref('fct_test_runs') }} as runs
        on sent.test_run_key = runs.test_run_key
    where not sent.is_repeat
    order by
        sent.request_key asc,
        coalesce(runs.started_at, runs.finished_at) desc nulls last,
        sent.test_run_key desc,
        sent.execution_index desc

),

last_asserted as (

    select
        last_sent.request_key,
        bool_or(results.outcome = 'failed') as has_failed
    from last_sent
    inner join {{ ref('fct_assertion_results') }} as results
        on
            last_sent.test_run_key = results.test_run_key
            and last_sent.execution_index = results.execution_index
    group by last_sent.request_key

),

recent as (

    select
        seen.request_key,
        sent.*
    from seen
    cross join latest
    cross join
        lateral (
            select
                count(*) as recent_requests,
                avg(executions.is_answered::integer)::double precision as recent_answered_rate,
                percentile_cont(array[0.5, 0.95]) within group (order by executions.latency_ms)
                    as percentiles
            from {{ ref('fct_request_executions') }} as executions
            where
                executions.request_key = seen.request_key
                and executions.business_date
                > latest.business_date - {{ var('health_days') }}
                and executions.business_date <= latest.business_date + 1
                and not executions.is_repeat
        ) as sent

),

-- of its environments' latest days the worst; one that was given up counts no more
latest_latencies as (

    select distinct on (seen.request_key, latencies.environment_id)
        seen.request_key,
        latencies.is_regression,
        latencies.slowdown_ratio
    from seen
    inner join {{ ref('fct_request_latency_daily') }} as latencies
        on
            seen.request_key = latencies.request_key
            and seen.last_day - {{ var('latency_recent_days') }} < latencies.business_date
            and seen.last_day >= latencies.business_date
    order by
        seen.request_key asc, latencies.environment_id asc, latencies.business_date desc

),

last_latency as (

    select distinct on (request_key)
        request_key,
        is_regression,
        slowdown_ratio
    from latest_latencies
    order by request_key asc, is_regression desc, slowdown_ratio desc nulls last

)

select
    request_key,
    last_sent.collection_id,
    last_sent.item_name,
    -- a number that it keeps, however many items of its name a run has
    row_number() over (
        partition by last_sent.collection_id, last_sent.item_name
        order by
            first_seen.first_seen_at asc nulls last, last_sent.item_occurrence asc, request_key asc
    )::integer as item_occurrence,
    last_sent.request_method,
    first_seen.first_seen_at,
    last_sent.last_seen_at,
    last_sent.test_run_key as last_test_run_key,
    live.request_key is not null as is_live,
    case
        when live.request_key is null and last_sent.last_seen_at is not null then 'gone'
        when not last_sent.is_answered then 'unanswered'
        when last_asserted.has_failed then 'failing'
        when last_latency.is_regression then 'slow'
        else 'healthy'
    end as current_health,
    last_latency.slowdown_ratio,
    coalesce(recent.recent_requests, 0) as recent_requests,
    recent.recent_answered_rate,
    recent.percentiles[1] as recent_p50_ms,
    recent.percentiles[2] as recent_p95_ms
from last_sent
left join live using (request_key)
left join first_seen using (request_key)
left join last_asserted using (request_key)
left join recent using (request_key)
left join last_latency using (request_key)
