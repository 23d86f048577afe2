"""The URL of the warehouse, read once: for libpq, for SQLAlchemy, for dbt, and for people.

libpq itself takes the URL apart. What it would misread in silence, as a password with an `@` that
is not quoted, is refused before that: libpq's own messages would quote a part of the password.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, quote, urlencode

# User and password hold none of what separates the parts of a URL, unless it is percent-encoded.
_SHAPE = re.compile(
    r"postgres(?:ql)?(?:\+\w+)?://"
    r"(?P<rest>(?:[^@/?#\[\]\s]*@)?[^@/?#\s]*(?:/[^@/?#\s]*)?(?:\?(?P<query>[^@#\s]*))?)"
)
_HOST_AND_PORT = re.compile(r"([\w.-]*)(?::(\d*))?")
_IS_SECRET = frozenset({"password", "sslpassword", "passfile", "oauth_client_secret"})


@dataclass(frozen=True, repr=False)
class WarehouseUrl:
    """Where the warehouse is; `str()` of it is what may be shown.

    `libpq` is the URL as libpq and psql take it, password included; `parameters` maps libpq's
    keywords to what the URL says, lists of hosts and ports comma-separated.
    """

    libpq: str
    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read libpq's spelling (`postgresql://`, `postgres://`) or SQLAlchemy's.

        Several servers are `host1:5432,host2:5433`, or SQLAlchemy's `?host=host1:5432&host=…`.
        Raises ValueError, whose message never quotes the URL.
        """
        if not re.match(r"postgres(ql)?(\+\w+)?://", text):
            raise ValueError("must be a Postgres URL, as postgresql://host/database")
        shape = _SHAPE.fullmatch(text)
        if shape is None:
            raise ValueError(
                "holds a character that must be percent-encoded (as %40 for @ in a password)"
            )
        from psycopg import ProgrammingError  # noqa: PLC0415 - only where a URL is set
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

        libpq = f"postgresql://{shape['rest']}"
        try:
            parameters = {name: str(value) for name, value in conninfo_to_dict(libpq).items()}
        except (ProgrammingError, UnicodeError):
            raise ValueError("is not a URL that Postgres understands") from None
        servers = _servers_of_query(shape["query"] or "")
        if servers:
            parameters |= servers
            libpq = _url(parameters)
        for port in parameters.get("port", "").split(","):
            if not re.fullmatch(r"\d{0,5}", port) or not int(port or 1) < 2**16:
                raise ValueError("has a port that is none")
        return cls(libpq, parameters)

    def complete(self) -> dict[str, str]:
        """Every parameter of libpq; what the URL leaves out comes from PG* variables and defaults.

        Ports that are all the same are given once; `port` is else a list, as `host` is.
        """
        from psycopg import pq  # noqa: PLC0415

        values = {
            option.keyword.decode(): (option.val or b"").decode()
            for option in pq.Conninfo.get_defaults()
        }
        values |= self.parameters
        values["dbname"] = values["dbname"] or values["user"]
        ports = [port or "5432" for port in values["port"].split(",")]
        values["port"] = ports[0] if len(set(ports)) == 1 else ",".join(ports)
        return values

    def __str__(self) -> str:
        """The URL without any secret."""
        return _url({k: v for k, v in self.parameters.items() if k not in _IS_SECRET})

    def __repr__(self) -> str:
        return f"WarehouseUrl({self})"


def libpq_variables() -> dict[str, str]:
    """The environment variable (PGHOST, …) of each parameter of libpq that has one."""
    from psycopg import pq  # noqa: PLC0415

    return {
        option.keyword.decode(): option.envvar.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar
    }


def _servers_of_query(query: str) -> dict[str, str]:
    """`host` and `port` where the query names servers as SQLAlchemy does; {} where it does not."""
    hosts = [value for name, value in parse_qsl(query) if name == "host"]
    servers = [_HOST_AND_PORT.fullmatch(host) for host in hosts]
    if not all(servers) or not (len(hosts) > 1 or any(":" in host for host in hosts)):
        return {}
    pairs = [server.groups(default="") for server in servers if server]
    return {
        "host": ",".join(host for host, _ in pairs),
        "port": ",".join(port for _, port in pairs),
    }


def _url(parameters: Mapping[str, str]) -> str:
    rest = dict(parameters)
    user, password = quote(rest.pop("user", ""), safe=""), rest.pop("password", None)
    if password is not None:
        user += f":{quote(password, safe='')}"
    hosts, ports = rest.pop("host", "").split(","), rest.pop("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    servers = ",".join(
        (f"[{host}]" if ":" in host else quote(host, safe="")) + (port and f":{port}")
        for host, port in zip(hosts, ports, strict=False)
    )
    database = quote(rest.pop("dbname", ""), safe="")
    query = urlencode(rest, quote_via=quote)
    return f"postgresql://{user and f'{user}@'}{servers}/{database}{query and f'?{query}'}"
