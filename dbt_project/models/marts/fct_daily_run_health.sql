with runs as (

    select * from {{ ref('fct_test_runs') }}

),

outage_failures as (

    select
        test_run_key,
        test_environment_key
    from {{ ref('int_outage_failures') }}

),

-- a test is flaky here if it was so on the day on which it failed, by what was known that day;
-- what failed in an outage is no fault of the test
failures as (

    select
        results.test_run_key,
        count(*) as failed_results,
        count(*) filter (where outage_failures.test_run_key is not null) as outage_results,
        count(*) filter (where flakiness.is_flaky and outage_failures.test_run_key is null)
            as flaky_results
    from {{ ref('int_test_results') }} as results
    cross join
        -- found one by one, as an aggregate is: few of all tests and days failed
        lateral (
            select bool_or(that_day.is_flaky) as is_flaky
            from {{ ref('fct_test_flakiness') }} as that_day
            where
                that_day.test_environment_key = results.test_environment_key
                and that_day.business_date = results.business_date
        ) as flakiness
    left join outage_failures
        on
            results.test_run_key = outage_failures.test_run_key
            and results.test_environment_key = outage_failures.test_environment_key
    -- failed results alone have one, and an index knows where they are: most results passed
    where results.failure_key is not null
    group by results.test_run_key

),

judged as (

    select
        runs.*,
        -- Testmo's results need not be loaded: what is not known is null
        runs.system in ('postman', 'reports') or {{ has_results('runs') }} as has_results,
        failures.failed_results,
        failures.outage_results,
        failures.flaky_results,
        coalesce(
            runs.status = 'failed'
            and not runs.is_open
            and not runs.is_cut_short
            and failures.flaky_results = failures.failed_results
            and failures.failed_results
            >= greatest(runs.tests_failed, runs.tests_failed_announced),
            false
        ) as failed_for_flaky_tests_only
    from runs
    left join failures
        on runs.test_run_key = failures.test_run_key

),

daily as (

    select
        system,
        collection_or_project_id,
        business_date,
        count(*) as runs_total,
        count(*) filter (where is_open) as runs_open,
        count(*) filter (where not is_open) as runs_finished,
        count(*) filter (where not is_open and is_success) as runs_passed,
        count(*) filter (where not is_open and not is_success) as runs_failed,
        count(*) filter (where is_truncated) as runs_truncated,
        count(*) filter (where is_suspect) as runs_suspect,
        coalesce(sum(tests_passed + tests_failed) filter (where tests_are_sound), 0)::bigint
            as tests_decided,
        coalesce(sum(tests_passed) filter (where tests_are_sound), 0)::bigint as tests_passed,
        coalesce(sum(tests_undecided) filter (where tests_are_sound), 0)::bigint
            as tests_undecided,
        percentile_cont(array[0.5, 0.95]) within group (order by duration_ms)
        filter (where not is_open and duration_ms >= 0) as durations,
        sum(case when has_results then coalesce(failed_results, 0) end)::bigint as failures_total,
        sum(case when has_results then coalesce(outage_results, 0) end)::bigint
            as failures_in_outages,
        sum(case when has_results then coalesce(flaky_results, 0) end)::bigint as failures_flaky,
        sum(case when has_results then failed_for_flaky_tests_only::integer end)
            as runs_failed_flaky_only,
        sum(
            case
                when has_results and failed_for_flaky_tests_only and duration_ms >= 0
                    then duration_ms
                when has_results then 0
            end
        ) / 60000 as wasted_minutes
    from (
        select
            *,
            least(tests_passed, tests_failed) >= 0
            and num_nulls(tests_passed, tests_failed) = 0 as tests_are_sound
        from judged
    ) as judged
    where business_date is not null
    group by system, collection_or_project_id, business_date

),

red_days as (

    select
        periods.system,
        periods.collection_or_project_id,
        every_day.moment::date as business_date,
        sum(
            extract(
                epoch from
                least(periods.red_until, {{ business_day_start('every_day.moment::date + 1') }})
                - greatest(periods.red_from, {{ business_day_start('every_day.moment::date') }})
            )
        )::double precision / 60 as red_minutes
    from {{ ref('int_scope_red_periods') }} as periods
    cross join
        generate_series(
            {{ business_date('periods.red_from') }}::timestamp,
            {{ business_date('periods.red_until') }},
            interval '1 day'
        ) as every_day (moment)
    where periods.red_until > {{ business_day_start('every_day.moment::date') }}
    group by periods.system, periods.collection_or_project_id, every_day.moment::date

),

recovered as (

    select
        system,
        collection_or_project_id,
        {{ business_date('recovered_at') }} as business_date,
        count(*) as recoveries,
        sum(extract(epoch from red_until - red_from))::double precision / 60 as recovery_minutes
    from {{ ref('int_scope_red_periods') }}
    where recovered_at is not null
    group by system, collection_or_project_id, {{ business_date('recovered_at') }}

),

-- a day without a run may be red, and a run may end on a day on which none began
days as (

    select
        system,
        collection_or_project_id,
        business_date
    from daily
    union
    select
        system,
        collection_or_project_id,
        business_date
    from red_days
    union
    select
        system,
        collection_or_project_id,
        business_date
    from recovered

)

select
    days.system,
    days.collection_or_project_id,
    days.business_date,
    coalesce(daily.runs_total, 0) as runs_total,
    coalesce(daily.runs_open, 0) as runs_open,
    coalesce(daily.runs_finished, 0) as runs_finished,
    coalesce(daily.runs_passed, 0) as runs_passed,
    coalesce(daily.runs_failed, 0) as runs_failed,
    coalesce(daily.runs_truncated, 0) as runs_truncated,
    coalesce(daily.runs_suspect, 0) as runs_suspect,
    daily.runs_passed / nullif(daily.runs_passed + daily.runs_failed, 0)::double precision
        as success_rate,
    coalesce(daily.tests_decided, 0) as tests_decided,
    coalesce(daily.tests_passed, 0) as tests_passed,
    coalesce(daily.tests_undecided, 0) as tests_undecided,
    daily.tests_passed / nullif(daily.tests_decided, 0)::double precision as pass_rate,
    daily.durations[1] as duration_median_ms,
    daily.durations[2] as duration_p95_ms,
    coalesce(red_days.red_minutes, 0) as red_minutes,
    coalesce(recovered.recoveries, 0) as recoveries,
    coalesce(recovered.recovery_minutes, 0) as recovery_minutes,
    case when daily.runs_total is null then 0 else daily.failures_total end as failures_total,
    case when daily.runs_total is null then 0 else daily.failures_in_outages end
        as failures_in_outages,
    case when daily.runs_total is null then 0 else daily.failures_flaky end as failures_flaky,
    daily.failures_flaky / nullif(daily.failures_total, 0)::double precision
        as flaky_failure_share,
    case when daily.runs_total is null then 0 else daily.runs_failed_flaky_only end
        as runs_failed_flaky_only,
    case when daily.runs_total is null then 0 else daily.wasted_minutes end as wasted_minutes
from days
left join daily
    on
        days.system = daily.system
        and days.business_date = daily.business_date
        and days.collection_or_project_id is not distinct from daily.collection_or_project_id
left join red_days
    on
        days.system = red_days.system
        and days.business_date = red_days.business_date
        and days.collection_or_project_id is not distinct from red_days.collection_or_project_id
left join recovered
    on
        days.system = recovered.system
        and days.business_date = recovered.business_date
        and days.collection_or_project_id is not distinct from recovered.collection_or_project_id
