{#- One status for both systems: queued, running, passed, failed, neutral or unknown.

    Postman's own status says whether the RUN worked, not whether its tests passed: `finished` is
    said of a run with failed assertions too, and `failed` of one that was cut short. Here, as in
    Testmo, a run has failed if anything in it failed or if it was cut short.

    system         postman or testmo
    source_status  the system's own status, as text
    failures       failed assertions and unanswered requests of a Postman run (null: none known) -#}
{% macro test_run_status(system, source_status, failures) -%}
    case
        when {{ system }} = 'postman' then case
            when {{ source_status }} in ('queued', 'running') then {{ source_status }}
            when {{ source_status }} = 'failed' then 'failed'
            when {{ source_status }} = 'finished' and {{ failures }} > 0 then 'failed'
            when {{ source_status }} = 'finished' then 'passed'
            else 'unknown'
        end
        when {{ system }} = 'testmo' then case {{ source_status }}
            when '1' then 'neutral'
            when '2' then 'passed'
            when '3' then 'failed'
            when '4' then 'running'
            else 'unknown'
        end
    end
{%- endmacro %}
