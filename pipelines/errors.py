"""What can go wrong, as a tree: each is one line for the user, never a traceback.

TestrunsError
├── SettingsError           a bad or missing setting; exit status 2, before any request
├── WarehouseError          Postgres cannot be reached, started, migrated or written
├── UnexpectedError         a fault of ours; names the log file with the traceback
├── TransformError          dbt could not start, or gave up before the first model
└── ApiError                an API said no, or nothing usable
    ├── TransientError          trying again later can help: time-outs, resets, 429, 5xx, cut bodies
    │   ├── UnreachableError        no connection was ever made: stops its whole source
    │   └── QuotaSpentError         the API's budget is used up; says when it resumes; same
    └── PermanentError          it cannot: 403, a redirect to elsewhere
        ├── BadRequestError         400, 422: a parameter is not taken, as an expired cursor
        ├── UnparsableError         JSON that no decoder here can hold; carries the body
        ├── NotFoundError           404: the object is unknown or deleted
        ├── NotAllowedError         405: the API does not have the endpoint
        └── UnauthorizedError       401: the key is wrong; stops its whole source
"""


class TestrunsError(Exception):
    """Anything that the user reads as one line."""

    __test__ = False  # pytest would otherwise collect a class of this name


class SettingsError(TestrunsError):
    """One complaint a line, each naming its variable."""


class WarehouseError(TestrunsError):
    """The warehouse cannot be reached, started, migrated or written."""


class UnexpectedError(TestrunsError):
    """What nobody expected; the message names the log file with the traceback."""


class TransformError(TestrunsError):
    """dbt could not start, or gave up before the first model."""


class ApiError(TestrunsError):
    """An API request that came to nothing; the message says what was tried and what came back."""


class TransientError(ApiError):
    """Trying again later can help."""


class UnreachableError(TransientError):
    """No connection to the API was ever made."""


class QuotaSpentError(TransientError):
    """The budget of requests is used up for longer than a load waits."""


class PermanentError(ApiError):
    """Trying again cannot help until something is changed."""


class UnparsableError(PermanentError):
    """JSON by its grammar, but too deep or with numbers too long to decode; `body` is as sent."""

    def __init__(self, message: str, body: bytes) -> None:
        super().__init__(message)
        self.body = body


class NotFoundError(PermanentError):
    """404: unknown or deleted."""


class NotAllowedError(PermanentError):
    """405: the API does not have the endpoint."""


class BadRequestError(PermanentError):
    """400 or 422: the API does not take the parameters, as an expired cursor."""


class UnauthorizedError(PermanentError):
    """401: the key or token is not accepted."""
