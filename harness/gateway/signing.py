"""Finds the credential of a provider: a fixed key, or what its `signing` says."""

from __future__ import annotations

import os

from harness.case import ProviderConf
from harness.gateway.cloud import AwsCredential, GoogleCredential
from harness.gateway.credential import Credential, CredentialMissing
from harness.gateway.doors import VariableMissing
from harness.gateway.subscription import SubscriptionCredential


def credential_of(provider: ProviderConf) -> Credential:
    """Return the credential of a provider on this host. Raise `CredentialMissing` if the host has none."""
    signing = provider.signing
    if signing is None:
        return Credential.of(provider)
    if signing.subscription is not None:
        return SubscriptionCredential(signing.subscription, signing.token_url)
    if provider.key_variable is not None and os.environ.get(provider.key_variable, "").strip():
        return Credential.of(provider)
    try:
        return AwsCredential(provider) if signing.kind == "aws" else GoogleCredential(provider)
    except VariableMissing as error:
        raise CredentialMissing(str(error)) from error
