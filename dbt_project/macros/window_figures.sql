{#- Columns of one window (`recent` or `long`) of fct_test_flakiness, from its counts: n results,
    how many passed, how often one differs from the one before it among n - 1 pairs. Each rate
    stands between the bounds of its interval. `counts` is what heads a column there. -#}
{% macro window_figures(counts, window) -%}
    {%- set results = counts ~ window ~ '_results' -%}
    {%- set passed = counts ~ window ~ '_passed' -%}
    {%- set transitions = counts ~ window ~ '_transitions' -%}
    {%- set pairs = 'greatest(' ~ results ~ ' - 1, 0)' -%}
    {{ results }},
    {{ transitions }},
    {{ transitions }} / nullif({{ pairs }}, 0)::double precision as {{ window }}_flip_rate,
    {{ wilson_bound(transitions, pairs, '-') }} as {{ window }}_flip_rate_low,
    {{ wilson_bound(transitions, pairs, '+') }} as {{ window }}_flip_rate_high,
    {{ passed }},
    {{ passed }} / nullif({{ results }}, 0)::double precision as {{ window }}_pass_rate,
    {{ wilson_bound(passed, results, '-') }} as {{ window }}_pass_rate_low,
    {{ wilson_bound(passed, results, '+') }} as {{ window }}_pass_rate_high,
    {{ entropy_bits(passed, results) }} as {{ window }}_entropy_bits
{%- endmacro %}
