-- Which request of its collection each execution is, and whether it says again what another said.
-- All windows are of one run, so that a look at one run costs one run.
with executions as (

    select
        *,
        count(*) over (partition by run_id, execution_id, iteration) as of_this_item
    from {{ ref('stg_postman__executions') }}

),

-- Only an item that stands twice can be a repeat: the others are spared a look at their assertions.
fingerprinted as (

    select
        *,
        case
            when execution_id is null or of_this_item = 1 then execution_index::text
            else concat_ws(
                '|',
                (
                    select
                        md5(
                            string_agg(
                                jsonb_build_array(
                                    assertions.assertion_name,
                                    assertions.is_passed,
                                    assertions.error_message,
                                    assertions.extra
                                )::text,
                                ',' order by assertions.assertion_index
                            )
                        )
                    from {{ ref('stg_postman__assertions') }} as assertions
                    where
                        assertions.run_id = executions.run_id
                        and assertions.execution_index = executions.execution_index
                ),
                -- iterations that are not told apart may well have equal assertions
                case
                    when iteration is null then jsonb_build_array(
                        request_method,
                        request_url,
                        response_status_code,
                        response_time_ms,
                        response_size_bytes
                    )::text
                end
            )
        end as fingerprint
    from executions

),

repeats as (

    select
        *,
        row_number() over same_content > 1 as is_repeat
    from fingerprinted
    window
        same_content as (
            partition by run_id, execution_id, iteration, fingerprint
            order by execution_index
        )

),

numbered as (

    select
        *,
        count(*) filter (where not is_repeat) over (
            partition by run_id, iteration, item_name
            order by execution_index
        ) as number_of_item
    from repeats

)

select
    run_id,
    execution_index,
    execution_id,
    iteration,
    item_name,
    -- a repeat is numbered as what it repeats
    min(number_of_item) over (
        partition by run_id, execution_id, iteration, fingerprint
    )::integer as item_occurrence,
    is_repeat,
    is_answered,
    request_method,
    request_url,
    response_status_code,
    response_time_ms,
    response_size_bytes,
    script_errors
from numbered
