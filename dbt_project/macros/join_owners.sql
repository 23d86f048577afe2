{#- A join to who owns a scope, or a test of it: columns owner and channel of `owners`, null where nobody
    does. Arguments are SQL expressions; a null test is the scope as a whole. How lines of the map are
    matched is said once, in sql/schema/0014_ownership.sql, for alerts ask it before any mart is there. -#}
{% macro join_owners(system, scope_id, scope_name, test_name='null') -%}
    left join lateral ingest.owner_of(
        {{ system }}, {{ scope_id }}, {{ scope_name }}, {{ test_name }}
    ) as owners on true
{%- endmacro %}
