{#- Condition on `runs` (int_test_run_statuses): results of single tests are loaded of this run. Testmo
    announces totals without them, so there the rows themselves decide. -#}
{% macro has_results(runs) -%}
    case {{ runs }}.system
        when 'postman' then {{ runs }}.tests_total > 0
        when 'reports' then {{ runs }}.tests_total > 0
        else exists (
            select 1
            from {{ ref('stg_testmo__automation_run_tests') }} as first_test
            where
                first_test.run_id
                = case when {{ runs }}.system = 'testmo' then {{ runs }}.run_id::bigint end
        )
    end
{%- endmacro %}
