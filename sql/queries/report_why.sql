-- Why `testruns report` says so: the outages of the period, the tests that are flaky or broken with
-- their last outcomes, the answers of requests that became slower, and where runs can be seen.
-- Each query is read once for all items of a section; the parameters `…_keys` are those listed.

-- name: outages
-- Outages that began before `as_of` and had not ended when the period began, the latest first, with
-- the first of the runs that failed in each, the run that ended it, and the tests that it hit.
with period as (
    select
        %(since)s::timestamptz as since,
        %(as_of)s::timestamptz as as_of
),

listed as (
    select
        outages.*,
        coalesce(outages.recovered_at > period.as_of, true) as was_open,
        count(*) over () as outages
    from marts.fct_outages as outages
    cross join period
    where
        outages.started_at <= period.as_of
        and (outages.recovered_at is null or outages.recovered_at >= period.since)
    order by outages.started_at desc, outages.outage_key asc
    limit 20
),

hit as (
    select
        streaks.outage_key,
        left(concat_ws(
            ': ',
            nullif(coalesce(tests.item_name, tests.test_folder), ''),
            coalesce(tests.assertion_name, tests.test_name)
        ), 300) as name,
        row_number() over (
            partition by streaks.outage_key
            order by streaks.failures desc, streaks.first_failed_result_number asc
        ) as place
    from marts.fct_failure_streaks as streaks
    inner join marts.dim_tests as tests
        on streaks.test_key = tests.test_key
    where streaks.outage_key in (select listed.outage_key from listed)
),

failed_runs as (
    select
        failures.outage_key,
        failures.test_run_key,
        row_number() over (
            partition by failures.outage_key
            order by min(runs.started_at) asc, failures.test_run_key asc
        ) as place,
        count(*) over (partition by failures.outage_key) as runs
    from staging.int_outage_failures as failures
    inner join marts.fct_test_runs as runs
        on failures.test_run_key = runs.test_run_key
    cross join period
    where
        failures.outage_key in (select listed.outage_key from listed)
        and runs.started_at <= period.as_of
    group by failures.outage_key, failures.test_run_key
)

select
    listed.system,
    listed.collection_or_project_id as scope,
    listed.environment_id,
    listed.started_at,
    case when not listed.was_open then listed.recovered_at end as recovered_at,
    listed.was_open,
    listed.runs_failed,
    listed.tests_hit,
    listed.items_hit,
    listed.failures,
    listed.component,
    listed.response_status_code,
    listed.unanswered_share,
    listed.outages,
    first_hit.names,
    first_runs.failed_run_keys,
    first_runs.runs,
    ended_by.recovered_run_key
from listed
cross join
    lateral (
        select
            array_agg(failed_runs.test_run_key order by failed_runs.place) as failed_run_keys,
            max(failed_runs.runs) as runs
        from failed_runs
        where failed_runs.outage_key = listed.outage_key and failed_runs.place <= 10
    ) as first_runs
left join
    lateral (
        select streaks.recovered_run_key
        from marts.fct_failure_streaks as streaks
        where
            not listed.was_open
            and streaks.outage_key = listed.outage_key
            and streaks.recovered_at = listed.recovered_at
        order by streaks.recovered_run_key
        limit 1
    ) as ended_by
    on true
cross join
    lateral (
        select array_agg(hit.name order by hit.place) as names
        from hit
        where hit.outage_key = listed.outage_key and hit.place <= 5
    ) as first_hit
order by listed.started_at desc, listed.outage_key asc;

-- name: verdicts
-- Tests in their environments as of the last day: those that fail now and then, and those that
-- failed each time lately, both by rank. Those that are gone are left out.
with period as (
    select
        %(first_day)s::date as first_day,
        %(last_day)s::date as last_day
),

latest as (
    select distinct on (flakiness.test_environment_key) flakiness.*
    from marts.fct_test_flakiness as flakiness
    cross join period
    where flakiness.business_date between period.first_day and period.last_day
    order by flakiness.test_environment_key asc, flakiness.business_date desc
),

judged as (
    select
        latest.*,
        health.health,
        health.health = 'broken' as is_broken,
        latest.episodes > 0 as has_episodes,
        left(coalesce(tests.item_name, tests.test_folder), 1000) as parent_name,
        left(coalesce(tests.assertion_name, tests.test_name), 1000) as test_name,
        tests.item_occurrence as occurrence,
        left(tests.owner, 300) as owner
    from latest
    inner join marts.dim_tests as tests
        on latest.test_key = tests.test_key
    inner join marts.fct_test_health as health
        on
            latest.test_environment_key = health.test_environment_key
            and latest.business_date = health.business_date
    where tests.is_live and (latest.episodes > 0 or latest.failures_in_a_row > 0)
),

ranked as (
    select
        *,
        row_number() over (
            partition by has_episodes
            order by
                coalesce(is_flaky, false) desc,
                episodes desc,
                long_flip_rate_low desc nulls last,
                test_environment_key asc
        ) as flaky_rank,
        row_number() over (
            partition by is_broken
            order by failures_in_a_row desc, test_environment_key asc
        ) as broken_rank,
        count(*) over (partition by has_episodes) as unsteady,
        count(*) over (partition by is_broken) as broken
    from judged
)

select
    ranked.test_environment_key,
    ranked.system,
    ranked.collection_or_project_id as scope,
    ranked.environment_id,
    ranked.parent_name,
    ranked.test_name,
    ranked.occurrence,
    ranked.owner,
    ranked.health,
    ranked.is_flaky,
    ranked.episodes,
    ranked.episodes_needed,
    ranked.results_since_episode,
    ranked.failures_in_a_row,
    ranked.is_in_outage,
    ranked.long_results,
    ranked.long_passed,
    ranked.long_pass_rate,
    ranked.long_pass_rate_low,
    ranked.long_pass_rate_high,
    ranked.last_test_run_key,
    first_result.run_started_at as first_seen_at,
    case when ranked.has_episodes and ranked.flaky_rank <= 15 then ranked.flaky_rank end
        as flaky_rank,
    case when ranked.is_broken and ranked.broken_rank <= 15 then ranked.broken_rank end
        as broken_rank,
    ranked.unsteady,
    ranked.broken
from ranked
left join
    lateral (
        select results.run_started_at
        from staging.int_test_results as results
        where
            results.test_environment_key = ranked.test_environment_key
            and results.is_outcome
            and results.is_decided
            and results.run_started_at is not null
        order by results.business_date asc, results.run_started_at asc
        limit 1
    ) as first_result
    on true
where
    (ranked.has_episodes and ranked.flaky_rank <= 15)
    or (ranked.is_broken and ranked.broken_rank <= 15);

-- name: outcomes
-- The last decided outcomes of these tests, one a run, the oldest first; what failed says whether
-- it is of an outage or of a short episode.
with period as (
    select
        %(last_day)s::date as last_day,
        %(short)s::integer as short_runs
),

listed as (select unnest(%(test_environment_keys)s::text[]) as test_environment_key),

last_results as (
    select decided.*
    from listed
    cross join period
    cross join
        lateral (
            select
                results.test_environment_key,
                results.test_run_key,
                results.outcome,
                results.run_started_at,
                results.run_sort_key
            from staging.int_test_results as results
            where
                results.test_environment_key = listed.test_environment_key
                and results.is_outcome
                and results.is_decided
                and results.business_date <= period.last_day
                and results.run_started_at is not null
            order by
                results.business_date desc,
                results.run_started_at desc,
                results.run_sort_key desc
            limit %(strip)s
        ) as decided
),

streaks as (
    select
        failing.*,
        outages.outage_key is not null as is_outage,
        outages.outage_key is null
        and failing.failures <= period.short_runs
        and coalesce(failing.recovered_date <= period.last_day, false) as is_episode
    from listed
    inner join staging.int_failure_streaks as failing
        on listed.test_environment_key = failing.test_environment_key
    cross join period
    left join staging.int_outage_streaks as outages
        on
            failing.test_environment_key = outages.test_environment_key
            and failing.first_failed_run_key = outages.first_failed_run_key
)

select
    last_results.test_environment_key,
    last_results.test_run_key,
    last_results.outcome,
    last_results.run_started_at,
    coalesce(streaks.is_outage, false) as is_outage,
    coalesce(streaks.is_episode, false) as is_episode
from last_results
left join streaks
    on
        last_results.outcome = 'failed'
        and last_results.test_environment_key = streaks.test_environment_key
        and (last_results.run_started_at, last_results.run_sort_key)
        >= (streaks.first_failed_at, streaks.first_failed_sort_key)
        and (
            streaks.recovered_at is null
            or (last_results.run_started_at, last_results.run_sort_key)
            < (streaks.recovered_at, streaks.recovered_sort_key)
        )
order by
    last_results.test_environment_key,
    last_results.run_started_at,
    last_results.run_sort_key;

-- name: proof
-- The last failure streaks of these tests, the latest first: the runs that began and ended them.
-- `failures` is null where the streak went on after the last day.
with period as (select %(last_day)s::date as last_day),

listed as (select unnest(%(test_environment_keys)s::text[]) as test_environment_key),

streaks as (
    select
        failing.test_environment_key,
        failing.first_failed_run_key,
        failing.first_failed_at,
        failing.outage_key is not null as is_outage,
        case when failing.last_failed_date <= period.last_day then failing.failures end
            as failures,
        case when failing.recovered_date <= period.last_day then failing.recovered_run_key end
            as recovered_run_key,
        case when failing.recovered_date <= period.last_day then failing.recovered_at end
            as recovered_at,
        row_number() over (
            partition by failing.test_environment_key
            order by failing.first_failed_at desc, failing.first_failed_run_key desc
        ) as place,
        count(*) over (partition by failing.test_environment_key) as streaks
    from listed
    inner join marts.fct_failure_streaks as failing
        on listed.test_environment_key = failing.test_environment_key
    cross join period
    where failing.first_failed_date <= period.last_day
)

select *
from streaks
where place <= 8
order by test_environment_key, place;

-- name: answers
-- The last times that each of these requests was sent which became slower, the oldest first.
with period as (select %(last_day)s::date as last_day),

listed as (select unnest(%(request_keys)s::text[]) as request_key),

slower as (
    select latest.*
    from (
        select distinct on (latency.request_environment_key) latency.*
        from listed
        inner join marts.fct_request_latency_daily as latency
            on listed.request_key = latency.request_environment_key
        cross join period
        where latency.business_date <= period.last_day
        order by latency.request_environment_key asc, latency.business_date desc
    ) as latest
    where latest.is_regression
),

outages as (
    select distinct
        failing.request_key,
        failing.environment_id,
        failing.first_failed_at,
        failing.recovered_at
    from staging.int_failure_streaks as failing
    inner join staging.int_outage_streaks as streaks
        on
            failing.test_environment_key = streaks.test_environment_key
            and failing.first_failed_run_key = streaks.first_failed_run_key
    where failing.request_key in (select slower.request_key from slower)
)

select
    slower.request_environment_key as request_key,
    sent.test_run_key,
    sent.run_started_at,
    sent.latency_ms,
    sent.is_answered,
    sent.latency_ms > slower.baseline_p90_ms as is_slow,
    coalesce(outage.is_outage, false) as is_outage
from slower
cross join period
cross join
    lateral (
        select
            executions.test_run_key,
            executions.execution_index,
            executions.run_started_at,
            executions.latency_ms,
            executions.is_answered
        from marts.fct_request_executions as executions
        where
            executions.request_key = slower.request_key
            and executions.environment_id is not distinct from slower.environment_id
            and not executions.is_repeat
            and executions.business_date <= period.last_day
            and executions.run_started_at is not null
        order by
            executions.business_date desc,
            executions.run_started_at desc,
            executions.test_run_key desc,
            executions.execution_index desc
        limit %(strip)s
    ) as sent
left join
    lateral (
        select true as is_outage
        from outages
        where
            outages.request_key = slower.request_key
            and outages.environment_id is not distinct from slower.environment_id
            and outages.first_failed_at <= sent.run_started_at
            and coalesce(sent.run_started_at < outages.recovered_at, true)
        order by outages.first_failed_at
        limit 1
    ) as outage
    on true
order by
    slower.request_environment_key,
    sent.run_started_at,
    sent.test_run_key,
    sent.execution_index;

-- name: run_links
-- Where runs that the page names can be looked at: their build's page, or the first link that they
-- carry in Testmo.
with listed as (
    select
        test_run_key,
        system,
        run_id
    from marts.fct_test_runs
    where test_run_key = any(%(run_keys)s)
),

links as (
    select
        listed.test_run_key,
        code.build_url as url,
        0 as place
    from listed
    inner join ingest.code_identities as code
        on listed.system = code.source and listed.run_id = code.run_id
    where code.build_url is not null
    union all
    select
        listed.test_run_key,
        carried.url,
        carried.position + 1 as place
    from listed
    inner join raw_testmo.automation_run_links as carried
        on
            case when listed.system = 'testmo' then listed.run_id::bigint end = carried.run_id
            and carried.thread_id is null
    where carried.url is not null
)

select distinct on (test_run_key)
    test_run_key,
    left(url, 2001) as url
from links
order by test_run_key asc, place asc;
