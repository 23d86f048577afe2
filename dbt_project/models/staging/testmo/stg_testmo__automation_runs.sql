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
        {{ plausible_count('untested_count') }} as untested_count,
        {% for number in range(1, 25) %}
            {{ plausible_count('status' ~ number ~ '_count') }} as status{{ number }}_count,
        {% endfor %}
        {{ plausible_count('success_count') }} as success_count,
        {{ plausible_count('failure_count') }} as failure_count,
        {{ plausible_count('completed_count') }} as completed_count,
        {{ plausible_count('total_count') }} as total_count,
        {{ plausible_count('thread_count') }} as thread_count,
        {{ plausible_count('thread_active_count') }} as thread_active_count,
        {{ plausible_count('thread_completed_count') }} as thread_completed_count,

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
