"""A list of addresses passes for one at the right domain.

Class: wildcard widening
Refusal: AccessDenied caveat_failed
Check: src/scope/form.rs:address_at: exactly one address
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [
    ("src/scope/form.rs", "local.bytes().all(plain)", "true"),
    ("src/scope/form.rs", "host.eq_ignore_ascii_case(domain)", "host.ends_with(domain)"),
]


def test_an_address_beside_an_address(world: World) -> None:
    @ans.tool("pay.mail")
    def mail(to: str) -> None:
        world.ran.append(to)

    for caveat in (ans.email_at("company.com"), ans.matches("*@company.com")):
        grant = world.grant(scope=ans.allow("pay.mail", where={"to": caveat}))
        for to in (
            "evil@x.com, a@company.com",
            "evil@x.com\na@company.com",
            "evil@x.com;a@company.com",
            "<evil@x.com> a@company.com",
            "a@company.com@x.com",
            "a@company.com.x.com",
        ):
            world.denies(grant, "caveat_failed", to, tool=mail)
        with world.engine.acting(grant):
            mail("a@company.com")
        world.ran.clear()
