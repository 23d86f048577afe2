"""How an alert reaches TESTRUNS_ALERT_WEBHOOK: in the form that its kind of URL takes.

Microsoft Teams takes an Adaptive Card at the URL of a workflow and a MessageCard at that of an
Office 365 connector; every other URL gets Slack's `text`, which Mattermost and others take too.
What tests and APIs have answered stands in all three as plain text: no name of a run can draw a
link or call a channel.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import SecretStr

_SETTING = "TESTRUNS_ALERT_WEBHOOK"
# Of the post as a whole, looking up the name and a server that answers byte by byte included.
_LONGEST_SECONDS = 20.0
_WORKFLOWS = (".logic.azure.com", ".logic.azure.us", ".api.powerplatform.com")
_CONNECTORS = (".webhook.office.com", "outlook.office.com", "outlook.office365.com")
# With HTTP status 200, where Teams itself took no message.
_NOT_IN_TEAMS = b"Webhook message delivery failed"


@dataclass(frozen=True)
class Alert:
    """One message: `places` maps a scope or a step to its lines; `page` is a URL of Dagster's."""

    title: str
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    closing: Sequence[str] = ()
    page: str | None = None


def post(webhook: SecretStr, alert: Alert) -> str | None:
    """Post it within 20 s; why it could not be, in a line that never names the address, or None."""
    complaints: list[str | None] = []
    # A thread, since no time-out of a socket bounds the whole.
    thread = Thread(target=lambda: complaints.append(_post(webhook, alert)), daemon=True)
    thread.start()
    thread.join(_LONGEST_SECONDS)
    reason = complaints[0] if complaints else f"no answer within {_LONGEST_SECONDS:.0f} s"
    return reason and f"{_SETTING}: not delivered: {reason}"


def _post(webhook: SecretStr, alert: Alert) -> str | None:
    url = webhook.get_secret_value()
    headers = {"Content-Type": "application/json"}
    data = json.dumps(message(url, alert)).encode()
    try:
        request = Request(url, data=data, headers=headers)  # noqa: S310 - http or https: a setting
        with build_opener(_NoRedirect).open(request, timeout=_LONGEST_SECONDS) as answer:
            is_taken = not answer.read(1000).startswith(_NOT_IN_TEAMS)
    except HTTPError as error:
        return f"HTTP {error.code}"
    except Exception as error:  # noqa: BLE001 - a dead webhook breaks nothing; its text may name it
        return type(error).__name__
    return None if is_taken else "Teams did not take it"


class _NoRedirect(HTTPRedirectHandler):
    """What answers elsewhere is a page to log in on, and no webhook."""

    def redirect_request(self, *_: Any) -> None:
        return None


def message(url: str, alert: Alert) -> dict[str, Any]:
    """The JSON that the webhook at `url` takes."""
    host = urlsplit(url).hostname or ""
    if host.endswith(_WORKFLOWS):
        return _adaptive_card(alert)
    if host.endswith(_CONNECTORS):
        return _message_card(alert)
    return {"text": _slack_text(alert)}


def _slack_text(alert: Alert) -> str:
    lines = [alert.title]
    for place, problems in alert.places.items():
        lines += [place, *(f"• {problem}" for problem in problems)]
    text = "\n".join([*lines, *alert.closing, *filter(None, [alert.page])])
    # Slack's own signs, by which a text could call everybody.
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    return text


def _adaptive_card(alert: Alert) -> dict[str, Any]:
    """https://adaptivecards.io; a RichTextBlock, unlike a TextBlock, reads no Markdown."""
    blocks = [_block(alert.title, weight="Bolder", size="Medium")]
    for place, problems in alert.places.items():
        blocks += [_block(place, weight="Bolder"), *(_block(f"• {line}") for line in problems)]
    blocks += [_block(line, isSubtle=True) for line in alert.closing]
    link = {"type": "Action.OpenUrl", "title": "Open in Dagster", "url": alert.page}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "fallbackText": alert.title,
        "body": blocks,
        "actions": [link] if alert.page else [],
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def _block(text: str, **style: Any) -> dict[str, Any]:
    run = {"type": "TextRun", "text": text, **style}
    return {"type": "RichTextBlock", "inlines": [run]}


def _message_card(alert: Alert) -> dict[str, Any]:
    """The older form; `markdown` false keeps text as it is."""
    facts = [
        {"name": place, "value": "\n".join(problems)} for place, problems in alert.places.items()
    ]
    link = {
        "@type": "OpenUri",
        "name": "Open in Dagster",
        "targets": [{"os": "default", "uri": alert.page}],
    }
    return {
        "@type": "MessageCard",
        "@context": "https://schema.org/extensions",
        "summary": alert.title,
        "sections": [
            {"markdown": False, "activityTitle": alert.title, "facts": facts},
            *({"markdown": False, "text": line} for line in alert.closing),
        ],
        "potentialAction": [link] if alert.page else [],
    }
