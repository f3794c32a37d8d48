"""Addresses on the web: which may stand in a configuration, and where a download may be sent on to."""

import re
from typing import Annotated
from urllib.parse import parse_qsl, urljoin, urlsplit

from pydantic import AfterValidator

SECRET = {"access_token", "api_key", "apikey", "password", "sig", "signature", "token", "x-amz-signature"}  # in a query


def check_address(url: str) -> str:
    """The address of a file or a mirror; raises ValueError where it holds a secret, for logs and records show it."""
    parts = urlsplit(url)
    if not re.fullmatch(r"https?://\S+", url):
        raise ValueError("an address must begin with https:// or http://, and hold no spaces")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"the address holds a user's name or password, which logs and records would show: write it without, and "
            f"into ~/.netrc: machine {parts.hostname} login … password …"
        )
    if found := sorted(name for name, _ in parse_qsl(parts.query) if name.lower() in SECRET):
        raise ValueError(
            f"the address holds a secret ({found[0]}=…), which logs and records would show: fetch the file by hand "
            "into a folder <source>/, and name the folder around that as data.mirror"
        )
    return url


def check_mirror(mirror: str) -> str:
    """A folder, or an address that is checked."""
    return check_address(mirror) if "://" in mirror else mirror


Address = Annotated[str, AfterValidator(check_address)]
Mirror = Annotated[str, AfterValidator(check_mirror)]


def check_redirect(url: str, target: str, hashed: bool) -> None:
    """Raise OSError where a server sends on from TLS to what has none, or to another host for a file without a hash."""
    here, there = urlsplit(url), urlsplit(urljoin(url, target))
    goes = f"{here.scheme}://{here.netloc} sends on to {there.scheme}://{there.hostname}"
    if here.scheme == "https" and there.scheme != "https":
        raise OSError(f"{goes}, which is not encrypted: fetch the file by hand and name its folder as data.mirror")
    if not hashed and here.hostname != there.hostname:
        raise OSError(f"{goes}, another host, and the file has no hash to be checked by: state its hash in files")
