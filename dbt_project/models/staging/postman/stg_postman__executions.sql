with source as (

    select * from {{ source('postman', 'executions') }}

),

renamed as (

    select
        -- ids
        run_id,
        execution_index,
        execution_id,

        -- text
        item_name,
        request_method,
        request_url,
        lower(
            substring(
                request_url from '^(?:[A-Za-z][A-Za-z0-9+.-]*://)?(?:[^/?#@]*@)?([^/?#:@]+)'
            )
        ) as request_host,

        -- numerics
        response_status_code,
        response_time_ms,
        response_size_bytes,
        -- newman's number of the pass over the collection; anything but a whole number is no number
        case
            when extra ->> 'iteration' ~ '^[0-9]{1,9}$' then (extra ->> 'iteration')::integer
        end as iteration,
        case
            when jsonb_typeof(extra -> 'scriptErrors') = 'array'
                then jsonb_array_length(extra -> 'scriptErrors')
            else 0
        end as script_errors,

        -- booleans
        response_status_code is not null as is_answered,

        -- leftovers
        extra
    from source

)

select * from renamed
