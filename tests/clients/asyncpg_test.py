"""asyncpg: asks the server for the types of parameters, takes json as str, and sends str for an id of type jsonb."""

import asyncio
import json
from pathlib import Path

import asyncpg

CAT = Path("photos/animal/cat face.png").read_bytes()
SEARCH = "SELECT metadata, similarity FROM clip_search('photos', $1, k => $2, filter => $3)"


async def main():
    connection = await asyncpg.connect()

    found = await connection.fetch(SEARCH, "red apple", 3, None)
    assert len(found) == 3 and json.loads(found[0]["metadata"])["caption"] == "red apple", found

    found = await connection.fetch(SEARCH, "red apple", 10, json.dumps({"category": "animal"}))
    assert {json.loads(row["metadata"])["category"] for row in found} == {"animal"} and len(found) == 4, found

    apple = await connection.fetchval("SELECT id FROM photos WHERE caption = $1", "red apple")
    for exclude, cast in ((str(apple), "$1"), (apple, "$1::bigint"), ([apple], "$1::bigint[]")):
        found = await connection.fetch(f"SELECT id::bigint FROM clip_search('photos', 'red apple', exclude => {cast})", exclude)
        assert found and apple not in [row["id"] for row in found], found

    found = await connection.fetch(SEARCH.replace("$1", "$1::bytea"), CAT, 1, None)
    assert json.loads(found[0]["metadata"])["caption"] == "cat face" and found[0]["similarity"] > 0.999, found

    found = await connection.fetch(
        "SELECT p.caption FROM clip_search('photos', $1, k => $2) AS f JOIN photos AS p ON p.id = f.id::bigint", "frog", 1
    )
    assert found[0]["caption"] == "frog", found

    order_by = "SELECT caption FROM photos ORDER BY embedding <=> clip_embed_text($1) LIMIT $2"
    assert await connection.fetchval(order_by, "bicycle", 1) == "bicycle"

    for classify in ("clip_classify($1::bytea, $2)", "clip_classify_image($1, $2)"):
        best = f"SELECT label FROM {classify} LIMIT 1"
        assert await connection.fetchval(best, CAT, ["cat face", "automobile"]) == "cat face"
    assert await connection.fetchval("SELECT clip_best_label_image($1, $2)", CAT, ["cat face", "automobile"]) == "cat face"

    # With a codec, dicts and numbers are sent as they are.
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    found = await connection.fetch(SEARCH.replace("$3", "$3::jsonb"), "frog", 1, {"category": ["animal", "fruit"]})
    assert found[0]["metadata"]["caption"] == "frog", found
    found = await connection.fetch("SELECT id FROM clip_search_image('photos', $1, exclude => $2::bigint)", CAT, apple)
    assert found and apple not in [row["id"] for row in found], found

    insert = "INSERT INTO photos (caption, category, image) VALUES ($1, $2, $3) RETURNING id"
    id = await connection.fetchval(insert, "new", "animal", CAT)
    found = await connection.fetch("SELECT id FROM clip_search('photos', $1::bytea, k => 2)", CAT)
    assert id in [row["id"] for row in found], found
    try:
        await connection.execute(insert, "bad", None, b"no image")
    except asyncpg.InvalidBinaryRepresentationError:
        pass
    else:
        raise AssertionError("bytes that are no image were stored")
    await connection.close()


asyncio.run(main())
