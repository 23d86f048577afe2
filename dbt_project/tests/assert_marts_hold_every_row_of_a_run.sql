-- Detects: runs of which the marts hold fewer or more requests or assertions than were counted when
-- the run itself was built, or those of another version of it.
-- Usually means: an incremental model left rows of a run behind or missed some (mend it with a full
-- refresh, and look at macros/replace_by_run.sql); or an assertion without its request was loaded;
-- or a load committed while the marts were being built (the next build passes).
-- Returns: a row a run, with the numbers counted and held; nothing may be held of a run that has
-- left the marts. It looks at the runs loaded or deleted last (var tested_runs), after a full
-- refresh at every run.
with runs as (

    select
        every_run.test_run_key,
        kept.loaded_at,
        coalesce(kept.requests_total + kept.requests_repeated, 0) as requests_total,
        coalesce(kept.tests_total + kept.tests_repeated, 0) as tests_total
    from {{ ref('stg_postman__collection_runs') }} as every_run
    left join {{ ref('fct_test_runs') }} as kept
        on every_run.test_run_key = kept.test_run_key
    order by greatest(every_run.loaded_at, every_run.deleted_at) desc
    limit {{ 'all' if flags.FULL_REFRESH else var('tested_runs') }}

)

select
    runs.test_run_key,
    runs.requests_total,
    requests.held as requests_held,
    runs.tests_total,
    tests.held as tests_held
from runs
cross join
    lateral (
        select
            count(*) as held,
            count(*) filter (where rows_held.loaded_at != runs.loaded_at) as outdated
        from {{ ref('fct_request_executions') }} as rows_held
        where rows_held.test_run_key = runs.test_run_key
    ) as requests
cross join
    lateral (
        select
            count(*) as held,
            count(*) filter (where rows_held.loaded_at != runs.loaded_at) as outdated
        from {{ ref('fct_assertion_results') }} as rows_held
        where rows_held.test_run_key = runs.test_run_key
    ) as tests
where
    requests.held != runs.requests_total
    or tests.held != runs.tests_total
    or requests.outdated + tests.outdated > 0
