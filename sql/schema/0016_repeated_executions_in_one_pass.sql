-- The same rule in one pass over the run: a probe for each equal row was quadratic where a fresh
-- table has no statistics yet, and a loop of 20,000 equal requests held a load up for minutes.
create or replace function ingest.repeated_executions(of_run_id text)
returns table (execution_index integer)
language sql
stable
parallel safe
as $$
    with surplus as materialized (
        select
            held.run_id,
            (
                select count(*)
                from raw_postman.assertions as counted
                where counted.run_id = held.run_id
            ) - held.assertions_total as assertions
        from raw_postman.collection_runs as held
        where held.run_id = of_run_id
    ),

    own as materialized (
        select
            listed.execution_index,
            count(*) as assertions,
            jsonb_agg(
                jsonb_build_array(listed.name, listed.passed, listed.error, listed.extra)
                order by listed.assertion_index
            ) as content
        from raw_postman.assertions as listed
        where
            listed.run_id = of_run_id
            and (select surplus.assertions from surplus) > 0
        group by listed.execution_index
    ),

    compared as (
        select
            executions.execution_index,
            surplus.assertions as surplus,
            coalesce(own.assertions, 0) as assertions,
            executions.execution_id is not null
            and lag(executions.execution_index) over in_order = executions.execution_index - 1
            and lag(content.fields) over in_order = content.fields
            and lag(own.content) over in_order is not distinct from own.content as is_equal
        from surplus
        inner join raw_postman.executions as executions on surplus.run_id = executions.run_id
        left join own on executions.execution_index = own.execution_index
        cross join
            lateral (
                select jsonb_build_array(
                    executions.execution_id,
                    executions.request_method,
                    executions.request_url,
                    executions.response_status_code,
                    executions.response_time_ms,
                    executions.response_size_bytes,
                    executions.extra -> 'request',
                    executions.extra -> 'response',
                    executions.extra -> 'iteration',
                    executions.extra -> 'httpRequestId'
                ) as fields
            ) as content
        where surplus.assertions > 0
        window in_order as (order by executions.execution_index)
    ),

    equal as (
        select
            compared.execution_index,
            compared.surplus,
            compared.assertions,
            sum(compared.assertions) over (
                order by compared.execution_index
            ) as assertions_up_to_here
        from compared
        where compared.is_equal
    )

    -- At most as many as explain the surplus, the first ones first.
    select equal.execution_index
    from equal
    where
        equal.assertions_up_to_here - equal.assertions < equal.surplus
        and equal.assertions_up_to_here <= equal.surplus
$$;
