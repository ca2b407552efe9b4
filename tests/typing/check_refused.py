"""What a type checker must refuse: exactly the lines that say so."""

import answerable as ans


@ans.tool("pay.transfer")
def transfer(account: str, amount: float) -> str:
    return account


@ans.tool("pay.quote")
async def quote(amount: int) -> bytes:
    return b""


transfer("travel-1")  # refused: an argument is missing
transfer("travel-1", "80")  # refused: text is no amount
transfer("travel-1", 80, memo="x")  # refused: there is no such argument
transfer("travel-1", 80).append("x")  # refused: the result is text
quote("1")  # refused: text is no amount
ans.allow("pay.*", where={"amount": 500})  # refused: a bare value is no caveat
ans.open("./governance").acting("gnt_x")  # refused: an id is no grant
