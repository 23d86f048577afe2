{#- An expression over the columns of one row is true in every row: returns the rows where it is
    false. Where it is null nothing is claimed, and the row passes. -#}
{% test expression_is_true(model, expression) %}
select *
from {{ model }}
where not ({{ expression }})
{% endtest %}
