"""The body of an answer as a JSON object, or an error that says what it is instead."""

import json

from pipelines.errors import TransientError, UnparsableError
from pipelines.http.json_decode import Json, decode, salvage_page, why_undecodable


class NotUtf8Error(TransientError):
    """An answer with bytes that are no UTF-8, which may have come about on the way."""

    def __init__(self, message: str, body: bytes) -> None:
        super().__init__(message)
        self.body = body


def decoded_object(where: str, body: bytes, member: str, *, is_list: bool) -> Json:
    """The object of an answer, `member` in it; `where` begins each message. Raises ApiError."""
    try:
        record = decode(body)
    except UnicodeDecodeError:
        raise NotUtf8Error(f"{where}: HTTP 200 with a body that is not JSON", body) from None
    except json.JSONDecodeError:
        raise TransientError(f"{where}: HTTP 200 with a body that is not JSON") from None
    except (RecursionError, ValueError) as error:
        record = salvage_page(body, member) if is_list else None
        if record is None:
            raise UnparsableError(f"{where}: JSON, {why_undecodable(error)}", body) from None
    if not isinstance(record, dict) or member not in record:
        raise TransientError(f"{where}: HTTP 200 with JSON that holds no {member}")
    if record.get("error") and not record[member]:
        raise TransientError(f"{where}: HTTP 200 with JSON that reports an error and no {member}")
    return record
