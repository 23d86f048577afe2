"""Secrets in URLs: which are masked, and what is left exactly as it was."""

import tracemalloc
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.redaction import Redactor

PARAMETERS = (  # noqa: SIM905 - as the contract spells them
    "access_token,api_key,apikey,auth,client_secret,password,refresh_token,"
    "secret,sig,signature,token"
).split(",")


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor(PARAMETERS)


MASKED = {
    # user and password
    "https://ada:pw@api.test/x": "https://REDACTED:REDACTED@api.test/x",
    "https://ada@api.test": "https://REDACTED@api.test",
    "https://ada:@api.test": "https://REDACTED:REDACTED@api.test",
    "https://:pw@api.test": "https://REDACTED:REDACTED@api.test",
    "https://a:b:c@api.test": "https://REDACTED:REDACTED@api.test",
    "https://ada:p@ss@api.test/": "https://REDACTED:REDACTED@api.test/",
    "https://ada:p&s=s;w@api.test/?a=1": "https://REDACTED:REDACTED@api.test/?a=1",
    "https://ada lovelace:p w@api.test/": "https://REDACTED:REDACTED@api.test/",
    "https://ada%40b:p%2Fw@api.test:8080/": "https://REDACTED:REDACTED@api.test:8080/",
    "HTTPS://ada:pw@API.test": "HTTPS://REDACTED:REDACTED@API.test",
    "  https://ada:pw@api.test": "  https://REDACTED:REDACTED@api.test",
    "//ada:pw@api.test": "//REDACTED:REDACTED@api.test",
    "ada:pw@api.test/x": "REDACTED:REDACTED@api.test/x",
    "{{user}}:{{pass}}@{{host}}/x": "REDACTED:REDACTED@{{host}}/x",
    "{{scheme}}://ada:pw@api.test": "{{scheme}}://REDACTED:REDACTED@api.test",
    "postgresql+psycopg://ada:pw@db/x": "postgresql+psycopg://REDACTED:REDACTED@db/x",
    "https://api.test/?next=https://ada:pw@b.test/&x=1": (
        "https://api.test/?next=https://REDACTED:REDACTED@b.test/&x=1"
    ),
    "https://a:b@c.test/https://d:e@f.test": (
        "https://REDACTED:REDACTED@c.test/https://REDACTED:REDACTED@f.test"
    ),
    # parameters
    "https://api.test/x?token=abc": "https://api.test/x?token=REDACTED",
    "/x?a=1&token=abc&b=2": "/x?a=1&token=REDACTED&b=2",
    "?TOKEN=a&Token=b&tOkEn=c": "?TOKEN=REDACTED&Token=REDACTED&tOkEn=REDACTED",
    "?token=a&token=b": "?token=REDACTED&token=REDACTED",
    "?%74oken=a&to%6B%65n=b": "?%74oken=REDACTED&to%6B%65n=REDACTED",
    "?api%5Fkey=a": "?api%5Fkey=REDACTED",
    "?%20token+=a": "?%20token+=REDACTED",
    "?" + "%20" * 200 + "token=a": "?" + "%20" * 200 + "token=REDACTED",
    "?token=a=b==": "?token=REDACTED",
    "?token=a/b?c;d": "?token=REDACTED",
    "?token=": "?token=REDACTED",
    "?token=abc#top": "?token=REDACTED#top",
    "#access_token=abc&state=1": "#access_token=REDACTED&state=1",
    "/x#/route?token=abc": "/x#/route?token=REDACTED",
    "?a=1;token=abc": "?a=1;token=REDACTED",
    "/x;token=abc/y?a=1": "/x;token=REDACTED/y?a=1",
    "?a=?token=abc": "?a=?token=REDACTED",
    "??token=abc": "??token=REDACTED",
    "?&token=abc": "?&token=REDACTED",
    "?token={{token}}": "?token=REDACTED",
    "{{baseUrl}}/x?sig=abc": "{{baseUrl}}/x?sig=REDACTED",
    "?token=a\nb&c=d": "?token=REDACTED&c=d",
    "https://u:p@h/?password=x#auth=y": (
        "https://REDACTED:REDACTED@h/?password=REDACTED#auth=REDACTED"
    ),
}


@pytest.mark.parametrize("url", MASKED)
def test_a_secret_is_masked_and_the_rest_is_kept(url: str, redactor: Redactor) -> None:
    assert redactor.url(url) == MASKED[url]


@pytest.mark.parametrize(
    "url",
    [
        "", "/", "https://api.test", "https://@api.test/", "mailto:ada@api.test", "/users/@me",
        "https://npm.test/@scope/pkg@1.2.3", "https://api.test/x?email=ada@api.test",
        "https://api.test#a@b", "https://api.test:8080/a:b@c", "see ada@api.test", "?next=@",
        "?token_count=3", "?tokens=3", "?my-token=x", "?user.token=x", "?token[]=x", "?author=x",
        "?signatures=3", "?%2574oken=x", "?tok en=x", "?x=token", "?token", "?token&a=1",
        "/token=abc", "token=abc", "/x/token/abc", "?a=1&b=2;c=3#d=4", "?q=%74oken", "?=token",
        "{{baseUrl}}/x?{{query}}", "not a url at all", "?" + "x" * 6000 + "=1", "\x00\ud800",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_secret_stays(url: str, redactor: Redactor) -> None:
    assert redactor.url(url) == url


def test_only_the_parameters_that_are_named_are_masked() -> None:
    redactor = Redactor(["X-Key"])
    assert redactor.url("?x-key=a&token=b") == "?x-key=REDACTED&token=b"
    assert Redactor([]).url("https://u:p@h?token=b") == "https://REDACTED:REDACTED@h?token=b"


# --- any URL at all -------------------------------------------------------------------------

SECRET = "s3cr3t"
WORDS = st.text("abcxyz019-._~%{}éß", max_size=8)


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """The name of a secret parameter, some of it in capitals, some percent-encoded."""
    name = draw(st.sampled_from(PARAMETERS))
    canonical = (draw(st.sampled_from([char, char.upper(), f"%{ord(char):02x}"])) for char in name)
    return "".join(canonical)


@st.composite
def secrets(draw: st.DrawFn, beside: str) -> str:
    """The secret between other characters."""
    around = st.text(beside, max_size=5)
    return draw(around) + SECRET + draw(around)


@st.composite
def urls(draw: st.DrawFn) -> tuple[str, str]:
    """A URL with secrets in it, and the same URL with the secrets masked."""
    url = masked = draw(st.sampled_from(["https://", "HTTP://", "ws+x://", "//", "{{scheme}}://"]))
    has_user, has_password = draw(st.booleans()), draw(st.booleans())
    if has_user or has_password:
        user = draw(secrets("abc%2F&=;+,!$'()*{}")) if has_user else ""
        password = ":" + draw(secrets("abc:@%2F&=;+ ")) if has_password else ""
        url += f"{user}{password}@"
        masked += "REDACTED:REDACTED@" if has_password else "REDACTED@"
    rest = draw(WORDS) + draw(st.sampled_from(["", "/", "/a/@b", "/x;v=1/y"]))
    url, masked = url + rest, masked + rest
    delimiter = "?"
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            name, value = draw(spellings()), draw(secrets("abc=/?;@:%26+ "))
            url += f"{delimiter}{name}={value}"
            masked += f"{delimiter}{name}=REDACTED"
        else:
            name = draw(st.sampled_from(["token_count", "my_token", "page", "autho", "Signatures"]))
            harmless = f"{delimiter}{name}={draw(WORDS)}"
            url, masked = url + harmless, masked + harmless
        delimiter = draw(st.sampled_from("&#"))
    return url, masked


@given(urls())
def test_no_secret_survives_and_nothing_else_changes(both: tuple[str, str]) -> None:
    url, expected = both
    masked = Redactor(PARAMETERS).url(url)
    assert masked == expected
    assert SECRET not in masked


@given(st.text("aA/:?#&;=@% \\{}").map(lambda text: text.replace("@", "")))
def test_a_url_without_user_and_secret_parameters_is_not_changed(url: str) -> None:
    assert Redactor(PARAMETERS).url(url) == url


@given(st.lists(st.sampled_from([*"a:/?#&;=@% \\\n", "token", "TOKEN", "http://", quote("sig")])))
def test_what_is_masked_stays_as_it_is_when_masked_again(parts: list[str]) -> None:
    redactor = Redactor(PARAMETERS)
    masked = redactor.url("".join(parts))
    assert redactor.url(masked) == masked


# --- URLs in texts --------------------------------------------------------------------------

URL = "https://ada:pw@api.test/x?token=abc&page=2"
HIDDEN = "https://REDACTED:REDACTED@api.test/x?token=REDACTED&page=2"


@pytest.mark.parametrize(
    "around",
    [
        "{}", "see {}", "{} failed", "({})", "'{}'", '"{}"', "<{}>", "`{}`", "[{}]", "at {}.",
        "at {}, then", "{}; {}", "{}\n{}", "expected '{}' to equal \"{}\"", '{{"url":"{}"}}',
        '{{\\"url\\":\\"{}\\"}}', "url={}", "\u201c{}", "GET {} HTTP/1.1",
    ],
)  # fmt: skip
def test_every_url_in_a_text_is_masked_and_the_text_around_it_is_kept(
    around: str, redactor: Redactor
) -> None:
    text = around.replace("{}", URL).replace("{{", "{").replace("}}", "}")
    assert redactor.text(text) == text.replace(URL, HIDDEN)


@pytest.mark.parametrize(
    "text",
    [
        "", "token=abc", "see ada@api.test", "a :// b", "://", "note: https://api.test/?page=1",
        "?token=abc", "status 200, http", "a/b://", "https://api.test ada:pw@b",
    ],
)  # fmt: skip
def test_a_text_without_a_url_that_holds_a_secret_stays(text: str, redactor: Redactor) -> None:
    assert redactor.text(text) == text


@given(st.text("ab ./'\"(", max_size=9), secrets("abc%2F=;+,!$*"), st.text("ab ./'\")", max_size=9))
def test_no_secret_of_a_url_survives_in_a_text(before: str, secret: str, after: str) -> None:
    text = Redactor(PARAMETERS).text(f"{before}https://u:{secret}@h/?sig={secret} {after}")
    assert SECRET not in text
    assert text.startswith(before)
    assert text.endswith(after)


def test_urls_in_json_are_masked_as_deep_as_they_stand(redactor: Redactor) -> None:
    value = {"a": [{"b": f"see {URL}"}, 1, None, True], URL: {}, "c": [[URL]], "d": "token=abc"}
    assert redactor.json(value) == {
        "a": [{"b": f"see {HIDDEN}"}, 1, None, True],
        HIDDEN: {},
        "c": [[HIDDEN]],
        "d": "token=abc",
    }


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "", "x", [], {}, {"a": ["b", {"c": None}]}])
def test_json_without_a_url_is_given_as_it_is(value: object, redactor: Redactor) -> None:
    assert redactor.json(value) is value


# --- hostile lengths ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "a" * 100_000 + "@", " x" + "a" * 100_000 + "@", "/" + "a" * 100_000 + "://@",
        "?" + "a+" * 50_000 + "@", "://" * 33_000 + "@", "http://" * 15_000 + "@",
        "a@" * 50_000, " " * 100_000 + "@", ":" * 100_000 + "@", "?" * 100_000 + "=@",
        ";token=a" * 12_500, "?a=" * 33_000, "&" + "a" * 100_000 + "=", "?" + "%74" * 33_000 + "=",
        "?token=" + "a" * 100_000, "&;" * 50_000 + "=", "&" * 100_000, "&a" * 50_000 + "=",
        "?" + "=" * 100_000,
    ],
    ids=lambda url: url[:9],
)  # fmt: skip
def test_a_hundred_thousand_characters_of_anything_are_done_with(
    url: str, redactor: Redactor
) -> None:
    # A pattern that goes back and forth would be at it for minutes.
    assert len(redactor.url(url)) > 0
    assert len(redactor.text(f"{url} {url}")) > 0
    assert len(redactor.text(f"see {url}://{url}")) > 0


def test_long_urls_are_not_remembered() -> None:
    redactor = Redactor(PARAMETERS)
    tracemalloc.start()
    try:
        for number in range(20):
            redactor.url(f"/{number}?token=" + "a" * 1_000_000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000
