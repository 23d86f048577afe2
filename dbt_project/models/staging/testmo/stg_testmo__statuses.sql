with source as (

    select * from {{ source('testmo', 'statuses') }}

),

renamed as (

    select
        -- ids
        id as status_id,
        load_id,

        -- text
        name as status_name,
        system_name,
        color,
        aliases,

        -- booleans
        is_final,
        is_untested,
        is_passed,
        is_failed,

        -- what a test in it came to; null where the instance does not tell
        case
            when is_passed then 'passed'
            when is_failed then 'failed'
            when is_untested or not is_final then 'running'
            when is_final and concat_ws(' ', name, aliases::text) ~* 'skip' then 'skipped'
            when is_final then 'neutral'
        end as outcome,

        -- timestamps
        first_loaded_at,
        loaded_at,

        -- leftovers
        extra
    from source

)

select * from renamed
