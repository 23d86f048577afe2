"""URLs as Postman's clients write them in pieces, put together."""

from typing import Any

from pipelines.sources.fields import Json
from pipelines.sources.reports.values import as_list, as_text, objects


def url_text(url: Any, *, is_template: bool = False) -> str | None:
    """The URL of a request: a text as it is, an object from its parts; None for neither.

    A query parameter without a value is written without `=`; a disabled one was not sent. In a
    template, path variables (`:id`) keep their names.
    """
    if not isinstance(url, dict):
        return as_text(url)
    if not any(url.get(part) for part in ("host", "path", "query")):
        return as_text(url.get("raw"))
    protocol = as_text(url.get("protocol"))
    text = f"{protocol.removesuffix('://')}://" if protocol else ""
    if isinstance(user := url.get("auth"), dict):
        text += f"{as_text(user.get('user')) or ''}:{as_text(user.get('password')) or ''}@"
    text += ".".join(_parts(url.get("host")))
    if port := as_text(url.get("port")):
        text += f":{port}"
    variables = {
        as_text(variable.get("key")) or as_text(variable.get("id")): as_text(variable.get("value"))
        for variable in objects(url.get("variable"))
        if not is_template
    }
    path = [
        variables.get(part[1:]) or part if part.startswith(":") else part
        for part in _parts(url.get("path"), "/")
    ]
    if path:
        text += "/" + "/".join(path)
    query = [
        _parameter(parameter)
        for parameter in objects(url.get("query"))
        if parameter.get("disabled") is not True
    ]
    if query:
        text += "?" + "&".join(query)
    if fragment := as_text(url.get("hash")):
        text += f"#{fragment}"
    return text


def _parts(value: Any, separator: str = ".") -> list[str]:
    if isinstance(value, str):
        return value.removeprefix("/").split(separator)
    parts = (part.get("value") if isinstance(part, dict) else part for part in as_list(value))
    return [as_text(part) or "" for part in parts]


def _parameter(parameter: Json) -> str:
    key, value = as_text(parameter.get("key")) or "", as_text(parameter.get("value"))
    return key if value is None else f"{key}={value}"
