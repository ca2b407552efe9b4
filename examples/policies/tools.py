"""The tools that the policies beside this file are held to."""

import answerable as ans


@ans.tool("pay.transfer", resource="account/{account}", dangerous=True)
def transfer(account: str, amount: float, memo: str = "") -> str:
    """Pays from an account."""
    return f"{amount:.2f} paid from {account}"


@ans.tool("travel.search")
def search(city: str, nights: int) -> list[str]:
    """Looks for rooms."""
    return [f"a room in {city} for {nights} nights"]


@ans.tool("mail.send", dangerous=True)
def send(to: str, subject: str, body: str) -> None:
    """Sends a mail."""
