{#- How the latency of a request and day is kept true. A row looks at its own day and at the days
    before it (the windows), so that a run which comes, changes or goes touches its own day and as
    many days after it as the windows reach back. A day of a collection in an environment is known by
    its version: a digest of the runs from which it was computed, kept in each row. -#}


{#- How many days before its own a row looks at: the recent median's and the baseline's, less its
    own day; the week of the spikes if that is longer. -#}
{% macro latency_reach() -%}
    greatest(
        {{ var('latency_recent_days') }} + {{ var('latency_baseline_days') }} - 1,
        {{ var('latency_spike_days') }}
    )
{%- endmacro %}


{#- Relation: the days of each collection and environment on which requests were answered, with their
    version. -#}
{% macro latency_days(runs) -%}
    (
        select
            collection_or_project_id as collection_id,
            environment_id,
            business_date,
            md5(
                string_agg(
                    concat_ws(' ', test_run_key, extract(epoch from loaded_at), item_ids_recur),
                    ','
                    order by test_run_key
                )
            ) as days_version
        from {{ runs }}
        where
            system = 'postman'
            and business_date is not null
            and requests_total > requests_failed
        group by collection_or_project_id, environment_id, business_date
    )
{%- endmacro %}


{#- Pre-hook: deletes the rows of each day that has changed and of those whose windows it is in. -#}
{% macro delete_outdated_latencies(runs) -%}
    {%- if is_incremental() -%}
    with held as (
        select distinct collection_id, environment_id, business_date, days_version
        from {{ this }}
    ),

    changed as (
        select collection_id, environment_id, business_date
        from (
            select * from held
            except
            select * from {{ latency_days(runs) }} as days
        ) as outdated
        union
        select collection_id, environment_id, business_date
        from (
            select * from {{ latency_days(runs) }} as days
            except
            select * from held
        ) as entering
    )

    delete from {{ this }} as outdated
    using changed
    where
        outdated.collection_id is not distinct from changed.collection_id
        and outdated.environment_id is not distinct from changed.environment_id
        and outdated.business_date between changed.business_date
        and changed.business_date + {{ latency_reach() }}
    {%- endif -%}
{%- endmacro %}
