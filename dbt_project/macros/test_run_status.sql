{#- How far a Postman run has come, from its status in any case: queued, running, finished, cut_short or
    unknown. The API says queued, running, finished and failed (a run that was cut short); its clients
    and what stands between them have words of their own. -#}
{% macro run_state(source_status) -%}
    {%- set words = {
        'queued': ['queued', 'pending', 'scheduled', 'waiting', 'created'],
        'running': ['running', 'started', 'in progress', 'in_progress', 'in-progress'],
        'finished': [
            'finished', 'complete', 'completed', 'done', 'ok',
            'success', 'successful', 'succeeded', 'pass', 'passed',
        ],
        'cut_short': [
            'failed', 'fail', 'failure', 'error', 'errored', 'aborted', 'abort', 'canceled',
            'cancelled', 'stopped', 'terminated', 'killed', 'interrupted', 'timeout', 'timed out',
            'timed_out',
        ],
    } -%}
    case
        {%- for state, words_of_state in words.items() %}
        when lower(btrim({{ source_status }})) in ('{{ words_of_state | join("', '") }}')
            then '{{ state }}'
        {%- endfor %}
        else 'unknown'
    end
{%- endmacro %}


{#- One status for all systems: queued, running, passed, failed, neutral or unknown.

    Postman's own status says whether the RUN worked, not whether its tests passed: `finished` is
    said of a run with failed assertions too, and `failed` of one that was cut short. Here, as in
    Testmo, a run has failed if anything in it failed or if it was cut short.

    A report file has what its elements say, never its attributes: these count failures that a later
    attempt mended. Only where it has no element is what it announces believed.

    system         postman, testmo or reports
    source_status  the system's own status, as text
    run_state      run_state of it (Postman)
    failures       failed assertions and unanswered requests of a Postman run (null: none known)
    counts         relation with the counts of a report file's results -#}
{% macro test_run_status(system, source_status, run_state, failures, counts) -%}
    case
        when {{ system }} = 'postman' then case
            when {{ run_state }} in ('queued', 'running') then {{ run_state }}
            when {{ run_state }} = 'cut_short' then 'failed'
            when {{ run_state }} = 'finished' and {{ failures }} > 0 then 'failed'
            when {{ run_state }} = 'finished' then 'passed'
            else 'unknown'
        end
        when {{ system }} = 'testmo' then case {{ source_status }}
            when '1' then 'neutral'
            when '2' then 'passed'
            when '3' then 'failed'
            when '4' then 'running'
            else 'unknown'
        end
        when {{ system }} = 'reports' then case
            when {{ counts }}.tests_failed > 0 then 'failed'
            when {{ counts }}.tests_passed > 0 then 'passed'
            when {{ counts }}.tests_total = 0 and {{ failures }} > 0 then 'failed'
            else 'neutral'
        end
    end
{%- endmacro %}
