{#- Lower (side `-`) or upper (`+`) bound of the Wilson score interval of `hits` in `trials`, from 0
    to 1; null without trials. Unlike a mean with its normal error it stays within 0 and 1, and it
    is wide where there is little to go by: 0 of 5 is 0 to 0.43. Its confidence is the var wilson_z.
    (E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.) -#}
{% macro wilson_bound(hits, trials, side) -%}
    {%- set z = var('wilson_z') ~ '::double precision' -%}
    case
        when {{ trials }} > 0
            then {{ 'greatest(0,' if side == '-' else 'least(1,' }} (
                {{ hits }} + {{ z }} ^ 2 / 2
                {{ side }} {{ z }} * sqrt(
                    {{ hits }}::double precision * ({{ trials }} - {{ hits }}) / {{ trials }}
                    + {{ z }} ^ 2 / 4
                )
            ) / ({{ trials }} + {{ z }} ^ 2))
    end
{%- endmacro %}
