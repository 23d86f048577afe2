{#- An expression over the columns of one row holds in every row: returns the rows where it does
    not. Where it is null nothing is claimed, and the row passes. -#}
{% test holds(model, expression) %}
select *
from {{ model }}
where not ({{ expression }})
{% endtest %}
