"""Commands over HTTP: from a body to facts and back, with the manners of the house."""

from tests.services.opportunity.api.house import House, done


async def test_open(house: House) -> None:
    async with house.client("ann", "seller") as client:
        answer = await done(client, "/opportunities", {"name": "Line 3"}, status=201)
        print(answer)
