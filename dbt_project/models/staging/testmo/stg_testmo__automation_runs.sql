with source as (

    select * from {{ source('testmo', 'automation_runs') }}

),

renamed as (

    select
        -- ids
        'testmo:' || run_id as test_run_key,
        run_id,
        project_id,
        source_id as automation_source_id,
        config_id,
        milestone_id,
        created_by,
        updated_by,
        completed_by,
        load_id,

        -- text
        name as run_name,

        -- numerics
        status,
        elapsed as elapsed_microseconds,
        untested_count,
        {% for number in range(1, 25) %}
            status{{ number }}_count,
        {% endfor %}
        success_count,
        failure_count,
        completed_count,
        total_count,
        thread_count,
        thread_active_count,
        thread_completed_count,

        -- booleans
        is_completed,

        -- timestamps
        created_at,
        updated_at,
        completed_at,
        first_loaded_at,
        loaded_at,
        deleted_at,

        -- leftovers
        extra
    from source

)

select * from renamed
