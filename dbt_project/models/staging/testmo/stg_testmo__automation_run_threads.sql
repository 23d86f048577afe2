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
        {{ plausible_count('untested_count') }} as untested_count,
        {% for number in range(1, 25) %}
            {{ plausible_count('status' ~ number ~ '_count') }} as status{{ number }}_count,
        {% endfor %}
        {{ plausible_count('success_count') }} as success_count,
        {{ plausible_count('failure_count') }} as failure_count,
        {{ plausible_count('completed_count') }} as completed_count,
        {{ plausible_count('total_count') }} as total_count,

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
