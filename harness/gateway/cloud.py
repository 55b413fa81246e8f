"""Credentials of cloud services, by their own libraries: `botocore` for AWS, `google-auth` for Google Cloud.

They come with the extras `bedrock` and `vertex`, and are loaded only here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from importlib import import_module
from typing import Any, Final

from harness.case import ProviderConf
from harness.gateway.credential import Credential, CredentialMissing, Unsigned
from harness.gateway.doors import filled
from harness.gateway.provider import AnswerError

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_KEPT: Final = 4
"""How many access tokens an answer is searched for: the last ones that were sent."""


class AwsCredential(Credential):
    """Signs each request with the host's AWS credentials: Signature Version 4."""

    def __init__(self, provider: ProviderConf) -> None:
        super().__init__()
        signing = provider.signing
        if signing is None or signing.service is None or signing.region is None:
            raise CredentialMissing(
                f"provider {provider.name} cannot sign its requests: provider.{provider.name}.signing needs a service "
                "and a region"
            )
        self._service, self._region = signing.service, filled(provider, signing.region)
        session = _library("botocore.session", provider, "bedrock")
        self._auth, self._request = _library("botocore.auth", provider, "bedrock"), import_module("botocore.awsrequest")
        try:
            self._credentials = session.Session().get_credentials()
        except Exception as error:  # botocore raises many kinds: a profile that is missing, a broken file
            raise CredentialMissing(f"no AWS credentials for provider {provider.name}: {_words(error)}") from error
        if self._credentials is None:
            key = f"set {provider.key_variable}, or " if provider.key_variable else ""
            raise CredentialMissing(
                f"no key for provider {provider.name}: {key}set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                "AWS_PROFILE"
            )
        self._held: Any = None

    async def signed(self, request: Unsigned) -> Mapping[str, str]:
        """See `Credential`. Temporary credentials are renewed."""
        try:
            self._held = await asyncio.to_thread(self._credentials.get_frozen_credentials)
        except Exception as error:  # whatever botocore or the network raises
            raise _refused("the AWS credentials cannot be renewed", error) from error
        asked = self._request.AWSRequest(
            "POST", request.url, headers={"content-type": request.headers["content-type"]}, data=request.body
        )
        self._auth.SigV4Auth(self._held, self._service, self._region).add_auth(asked)
        return dict(asked.headers.items())

    def secrets(self) -> tuple[str, ...]:
        """See `Credential`."""
        held = self._held
        return () if held is None else tuple(filter(None, (held.secret_key, held.token)))


class GoogleCredential(Credential):
    """Sends an access token of the host's application default credentials for Google Cloud."""

    def __init__(self, provider: ProviderConf) -> None:
        super().__init__()
        auth = _library("google.auth", provider, "vertex")
        self._transport = _library("google.auth.transport.requests", provider, "vertex")
        try:
            self._credentials, _ = auth.default(scopes=[_SCOPE])
        except Exception as error:  # google-auth raises many kinds: no credentials, a broken file
            raise CredentialMissing(
                f"no key for provider {provider.name}: run `gcloud auth application-default login`, or set "
                f"GOOGLE_APPLICATION_CREDENTIALS to the file of a service account ({_words(error)})"
            ) from error
        self._sent: list[str] = []

    async def signed(self, request: Unsigned) -> Mapping[str, str]:  # noqa: ARG002 - a token signs any request
        """See `Credential`. A token that ends soon is renewed."""
        try:
            token = await asyncio.to_thread(self._token)
        except Exception as error:  # whatever google-auth or the network raises
            raise _refused("the Google Cloud credentials cannot be renewed", error) from error
        if token not in self._sent:
            self._sent = [*self._sent, token][-_KEPT:]
        return {"authorization": f"Bearer {token}"}

    def secrets(self) -> tuple[str, ...]:
        """See `Credential`."""
        return tuple(self._sent)

    def _token(self) -> str:
        if not self._credentials.valid:
            self._credentials.refresh(self._transport.Request())
        return str(self._credentials.token)


def _library(name: str, provider: ProviderConf, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise CredentialMissing(
            f"provider {provider.name} needs the extra {extra} to sign its requests: run `proctor setup --extra "
            f"{extra}`, or set {provider.key_variable}"
            if provider.key_variable
            else f"provider {provider.name} needs the extra {extra}: run `proctor setup --extra {extra}`"
        ) from error


def _refused(what: str, error: Exception) -> AnswerError:
    return AnswerError(HTTPStatus.UNAUTHORIZED, f"authentication failed: {what}: {_words(error)}")


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
