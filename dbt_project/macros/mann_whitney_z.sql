{#- How far the `recent` of two samples lies above the other, in standard deviations of the Mann-Whitney
    U statistic (normal approximation, corrected for ties): 0 where both are alike, and null where one
    is empty or all values are equal. It compares ranks, so that one answer of a minute counts no more
    than one just above the rest.

    rank_sum        sum of the midranks of the recent sample among both
    recent, before  how many values each has
    tie_correction  sum of t * t - 1 over all values, where t values are equal to one
                    (equal to the textbooks' sum of t ^ 3 - t over the groups of equal values)
    (H. B. Mann, D. R. Whitney, On a Test of Whether One of Two Random Variables Is Stochastically
    Larger than the Other, 1947.) -#}
{% macro mann_whitney_z(rank_sum, recent, before, tie_correction) -%}
    case
        when {{ recent }} > 0 and {{ before }} > 0
            then (
                {{ rank_sum }} - {{ recent }} * ({{ recent }} + {{ before }} + 1) / 2.0
            )::double precision
            / nullif(
                sqrt(
                    {{ recent }}::double precision * {{ before }} / 12
                    * (
                        ({{ recent }} + {{ before }} + 1)
                        - {{ tie_correction }}::double precision
                        / (({{ recent }} + {{ before }}) * ({{ recent }} + {{ before }} - 1))
                    )
                ),
                0
            )
    end
{%- endmacro %}
