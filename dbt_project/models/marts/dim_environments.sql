-- What an environment is called: by the user's own map, else as its latest run says.
with environments as (

    select distinct on (runs.system, runs.environment_id)
        runs.system,
        runs.environment_id,
        named.environment_name
    from {{ ref('int_test_run_statuses') }} as runs
    inner join {{ ref('int_test_runs') }} as named
        on runs.test_run_key = named.test_run_key
    where runs.environment_id is not null
    order by
        runs.system asc,
        runs.environment_id asc,
        (named.environment_name is null) asc,
        runs.started_at desc nulls last,
        runs.test_run_key desc

)

select
    {{ surrogate_key(['system', 'environment_id']) }} as environment_key,
    system,
    environment_id,
    coalesce(
        -- Testmo has names for its own
        case when system <> 'testmo' then ingest.name_of(system, 'environment', environment_id) end,
        environment_name,
        environment_id
    ) as environment_name
from environments
