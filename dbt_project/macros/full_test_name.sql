{#- What a person calls a test of either system: "request: assertion", "request #2: assertion" for the
    second request of its name, "folder: test".

    tests     alias of what has the columns of int_tests
    requests  alias of what has item_name and item_occurrence -#}
{% macro full_test_name(tests, requests=none) -%}
    {%- set requests = requests or tests -%}
    concat_ws(
        ': ',
        nullif(
            coalesce({{ requests }}.item_name, {{ tests }}.test_folder)
            || case
                when {{ requests }}.item_occurrence > 1 then ' #' || {{ requests }}.item_occurrence
                else ''
            end,
            ''
        ),
        nullif(coalesce({{ tests }}.assertion_name, {{ tests }}.test_name), '')
    )
{%- endmacro %}
