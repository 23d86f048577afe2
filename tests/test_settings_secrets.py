"""No secret is in a complaint, nor in what settings say of themselves."""

import traceback
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SettingsError
from pipelines.settings import load_settings
from tests.support.variables import VARIABLES

SECRET = "hush7f3a"
ANY_TEXT = st.text(max_size=5) | st.text("[]:@/%?#& \\\0\n\t\udcff℀", max_size=5)


@st.composite
def secretive_variables(draw: st.DrawFn) -> dict[str, str]:
    """Variables of all kinds that hold the same secret where a secret may stand, well or badly."""
    around = [draw(ANY_TEXT) + SECRET + draw(ANY_TEXT) for _ in range(6)]
    own = {
        "TESTRUNS_WAREHOUSE_URL": draw(
            st.sampled_from(
                ["", "postgresql://u:", "postgres+x://", "mysql://u:", "postgresql://h:"]
            )
        )
        + around[0]
        + draw(st.sampled_from(["", "@db/x", "@[::1]/x", "@[/x"])),
        "POSTMAN_API_KEY": around[1],
        "TESTMO_API_TOKEN": around[2],
        "TESTRUNS_ALERT_WEBHOOK": draw(
            st.sampled_from(["{}", "https://{}", "https://h/{}", "https://[{}]/", "https://{}℀/"])
        ).format(around[3]),
        "POSTMAN_API_URL": f"https://u:{around[4]}@api.test",
        "TESTMO_API_URL": f"https://{around[5]}@api.test",
    }
    chosen = draw(st.sets(st.sampled_from(sorted(own))))
    rest = draw(st.sampled_from([{}, {"POSTMAN_COLLECTION_IDS": "c", "TESTMO_PROJECT_IDS": "1"}]))
    return {**{name: own[name] for name in chosen}, **rest}


@given(secretive_variables())
def test_no_secret_is_in_a_complaint_or_in_what_settings_say_of_themselves(
    variables: dict[str, str],
) -> None:
    try:
        settings = load_settings(variables, Path("/nowhere"))
    except SettingsError as refused:
        texts = [*traceback.format_exception(refused), repr(refused)]
        for line in str(refused).splitlines():
            assert line.split(": ")[0] in VARIABLES
    else:
        texts = [repr(settings), str(settings), f"{settings}", settings.model_dump_json()]
        texts += [repr(vars(settings)), repr(settings.model_dump())]
    assert SECRET not in "".join(texts)


@given(st.dictionaries(st.sampled_from(sorted(VARIABLES)), st.text() | st.sampled_from("01,/:[")))
def test_any_values_are_settings_or_lines_that_name_variables(variables: dict[str, str]) -> None:
    try:
        load_settings(variables, Path("/nowhere"))
    except SettingsError as refused:
        lines = str(refused).splitlines()
        assert lines
        assert all(line.split(": ")[0] in VARIABLES for line in lines)
