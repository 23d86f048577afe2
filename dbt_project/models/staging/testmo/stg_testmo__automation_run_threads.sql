with source as (

    select * from {{ source('testmo', 'automation_run_threads') }}

),

renamed as (

    select
        -- ids
        run_id,
        thread_id,
        created_by,
        completed_by,

        -- text
        name as thread_name,

        -- numerics
        thread_index,
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

        -- booleans
        is_completed,

        -- timestamps
        created_at,
        completed_at,

        -- leftovers
        extra
    from source

)

select * from renamed
