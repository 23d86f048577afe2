{#- What people build on a model stays: views, grants, policies, indexes, whoever owns them.

    dbt builds a new relation beside the old one, swaps the two by renaming, and drops the old one with
    CASCADE: with whatever stands on it, without a word. Here the old relation stays where it is and
    takes in the new one (ingest.replace_relation, in sql/schema):

    table by table  emptied and filled in one transaction; new columns are added at its end
    view by view    `create or replace`; new columns at its end
    anything else   (a column is gone or has another type, a view becomes a table): the views that stand
                    in the way are made again as they were, in the same transaction, with owner, grants,
                    comments, options, indexes, triggers and rules

    A view that cannot be made again fails the model in one line that names it, and nothing changes. -#}


{% macro postgres__rename_relation(from_relation, to_relation) %}
    {%- if from_relation.identifier.endswith('__dbt_tmp') -%}
        {%- set models = [] -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
            {%- do models.append(node.schema ~ '.' ~ node.alias) -%}
        {%- endfor -%}
        {%- call statement('replace_relation') -%}
            select ingest.replace_relation(
                '{{ from_relation.include(database=false) }}',
                '{{ to_relation.schema }}',
                '{{ to_relation.identifier }}',
                '{{ "{" ~ models | join(",") ~ "}" }}'
            )
        {%- endcall -%}
    {%- elif not to_relation.identifier.endswith('__dbt_backup') -%}
        {{ default__rename_relation(from_relation, to_relation) }}
    {%- endif -%}
{% endmacro %}


{#- What stands on a relation keeps it from being dropped. -#}
{% macro postgres__drop_table(relation) %}
    drop table if exists {{ relation }}
{% endmacro %}


{% macro postgres__drop_view(relation) %}
    drop view if exists {{ relation }}
{% endmacro %}


{#- By these dbt would forget what goes with a relation that is dropped: nothing does. -#}
{% macro postgres__get_relations() %}
    {{ return([]) }}
{% endmacro %}
