-- Detects: runs of which int_test_results holds fewer or more results than their own rows make
-- (repeats left out), or results of another version of the run.
-- Usually means: an incremental build left results behind or missed some (mend it with a full
-- refresh, and look at macros/replace_by_run.sql), or a load committed while the marts were being
-- built (the next build passes).
-- Returns: a row a run, with both numbers. It looks at the runs loaded or deleted last (var
-- tested_runs), after a full refresh at every run.
with runs as (

    select
        every_run.test_run_key,
        kept.loaded_at,
        case when kept.test_run_key is null then 0 else coalesce(kept.tests_total, 0) end
            as results_expected
    from {{ counted_runs() }} as every_run
    left join {{ ref('fct_test_runs') }} as kept
        on every_run.test_run_key = kept.test_run_key
    order by greatest(every_run.loaded_at, every_run.deleted_at) desc
    limit {{ 'all' if flags.FULL_REFRESH else var('tested_runs') }}

)

select
    runs.test_run_key,
    runs.results_expected,
    results.held
from runs
cross join
    lateral (
        select
            count(*) as held,
            count(*) filter (where rows_held.loaded_at != runs.loaded_at) as outdated
        from {{ ref('int_test_results') }} as rows_held
        where rows_held.test_run_key = runs.test_run_key
    ) as results
where results.held != runs.results_expected or results.outdated > 0
