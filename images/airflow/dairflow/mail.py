"""Mail: a change of the SMTP provider, and a test from the command line.

    python -m dairflow.mail ADDRESS

Version 3.2.0 of the provider asks an asynchronous client for STARTTLS while it connects, and then
once more, which fails ("Connection already using TLS"). Deadlines send that way.
"""

from __future__ import annotations

import smtplib
import sys
from typing import Any

from airflow.providers.smtp.hooks.smtp import SmtpHook


def install() -> None:
    """Let the hook alone ask for STARTTLS.

    Raises:
        AttributeError: if this provider has no such method. Then the image's build fails.

    """
    build: Any = SmtpHook._build_client_kwargs  # noqa: SLF001

    def build_once(hook: SmtpHook, *, is_async: bool) -> dict[str, Any]:
        arguments = build(hook, is_async=is_async)
        return {**arguments, "start_tls": False} if is_async else arguments

    hook: Any = SmtpHook
    hook._build_client_kwargs = build_once  # noqa: SLF001


def main(arguments: list[str]) -> int:
    """Send one mail with the cluster's mail server; return the exit status."""
    if len(arguments) != 1 or "@" not in arguments[0]:
        print("usage: python -m dairflow.mail ADDRESS", file=sys.stderr)
        return 2
    try:
        with SmtpHook() as hook:
            hook.send_email_smtp(
                to=arguments[0],
                subject="Airflow: test of the mail server",
                html_content="<p>The cluster's mail server accepts mail from Airflow.</p>",
            )
    except (OSError, smtplib.SMTPException) as error:
        print(f"The mail server did not accept the mail: {error}", file=sys.stderr)
        return 1
    print(f"sent to {arguments[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
