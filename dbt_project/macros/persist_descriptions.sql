{#- Hook on-run-end: writes the descriptions of models and columns into Postgres, as comments, where BI
    tools and psql show them. It does what dbt's persist_docs does, for all models in one statement and
    only where a comment is missing or another: persist_docs reads and writes model by model, which
    costs a night several seconds. Tables and views that were built anew have lost theirs. -#}
{% macro persist_descriptions() -%}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
    {%- set described = [] -%}
    {%- for model in graph.nodes.values() if model.resource_type == 'model' -%}
        {%- set columns = {} -%}
        {%- for column in model.columns.values() -%}
            {%- do columns.update({column.name: column.description}) -%}
        {%- endfor -%}
        {%- do described.append({
            'schema_name': model.schema,
            'relation_name': model.alias,
            'description': model.description,
            'columns': columns,
        }) -%}
    {%- endfor -%}
    do $persist_descriptions$
    declare
        commented record;
    begin
        for commented in
            with described as (
                select
                    relations.oid as relation_id,
                    relations.relkind,
                    relations.oid::regclass as relation,
                    models.description,
                    models.columns
                from jsonb_to_recordset('{{ tojson(described).replace("'", "''") }}') as models (
                    schema_name text, relation_name text, description text, columns jsonb
                )
                inner join pg_catalog.pg_namespace as namespaces
                    on models.schema_name = namespaces.nspname
                inner join pg_catalog.pg_class as relations
                    on
                        namespaces.oid = relations.relnamespace
                        and models.relation_name = relations.relname
            )

            select
                format(
                    'comment on %s %s is %L',
                    case described.relkind when 'v' then 'view' else 'table' end,
                    described.relation,
                    described.description
                ) as statement
            from described
            where
                obj_description(described.relation_id, 'pg_class')
                is distinct from described.description
            union all
            select
                format(
                    'comment on column %s.%I is %L',
                    described.relation,
                    columns.name,
                    columns.description
                ) as statement
            from described
            cross join jsonb_each_text(described.columns) as columns (name, description)
            inner join pg_catalog.pg_attribute as attributes
                on
                    described.relation_id = attributes.attrelid
                    and columns.name = attributes.attname
                    and not attributes.attisdropped
            where
                col_description(described.relation_id, attributes.attnum)
                is distinct from columns.description
        loop
            execute commented.statement;
        end loop;
    end
    $persist_descriptions$
    {%- endif -%}
{%- endmacro %}
