with hit as (

    select
        outages.outage_key,
        streaks.*
    from {{ ref('int_outage_streaks') }} as outages
    inner join {{ ref('int_failure_streaks') }} as streaks
        on
            outages.test_environment_key = streaks.test_environment_key
            and outages.first_failed_run_key = streaks.first_failed_run_key

),

counted as (

    select
        outage_key,
        min(first_failed_run_key) as first_failed_run_key,
        max(last_failed_at) as last_failed_at,
        (array_agg(recovered_at order by recovered_at asc nulls last))[
            (count(*)::integer + 1) / 2
        ] as recovered_at,
        max(failures) as runs_failed,
        count(distinct test_key)::integer as tests_hit,
        count(distinct coalesce(request_key, test_key))::integer as items_hit,
        sum(failures)::bigint as failures,
        mode() within group (order by component) as component,
        count(distinct component) as components,
        count(*) filter (where component is null) as without_component,
        mode() within group (order by response_status_code) as response_status_code,
        count(*) filter (where response_status_code is null) as without_status
    from hit
    group by outage_key

)

select
    counted.outage_key,
    runs.system,
    runs.collection_or_project_id,
    runs.environment_id,
    runs.run_source,
    counted.first_failed_run_key,
    runs.started_at,
    runs.business_date,
    counted.last_failed_at,
    counted.recovered_at,
    counted.recovered_at is null as is_open,
    counted.runs_failed,
    counted.tests_hit,
    counted.items_hit,
    counted.failures,
    case when counted.components = 1 and counted.without_component = 0 then counted.component end
        as component,
    case
        when 2 * statuses.hits > statuses.of_all then counted.response_status_code
    end as response_status_code,
    case
        when runs.system = 'postman' then counted.without_status / statuses.of_all::double precision
    end as unanswered_share
from counted
inner join {{ ref('int_test_run_statuses') }} as runs
    on counted.first_failed_run_key = runs.test_run_key
cross join
    lateral (
        select
            count(*) filter (where hit.response_status_code = counted.response_status_code)
                as hits,
            count(*) as of_all
        from hit
        where hit.outage_key = counted.outage_key
    ) as statuses
