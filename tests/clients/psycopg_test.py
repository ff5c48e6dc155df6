"""psycopg 3: texts are sent without a type, Jsonb as jsonb, bytes as bytea."""

from pathlib import Path

import psycopg
from psycopg.types.json import Json, Jsonb
from psycopg.types.numeric import Int8

CAT = Path("photos/animal/cat face.png").read_bytes()
SEARCH = "SELECT metadata->>'caption' FROM clip_search('photos', %(query)s, k => %(k)s, filter => %(filter)s)"

# A driver sends two statements at once as one transaction, which a procedure that commits refuses.
with psycopg.connect(autocommit=True) as connection:
    connection.execute("CREATE TABLE words (id int PRIMARY KEY, word text, embedding vector(128))")
    connection.execute("INSERT INTO words VALUES (1, 'frog')")
    call = "CALL clip_embed_table('words', 'word')"
    try:
        connection.execute(f"{call}; {call}")
    except psycopg.errors.ActiveSqlTransaction as error:
        assert "another statement in one command" in error.diag.message_hint, error.diag.message_hint
    else:
        raise AssertionError("two calls in one command")
    connection.execute(call)
    assert connection.execute("SELECT count(embedding) FROM words").fetchone() == (1,)

with psycopg.connect() as connection:

    def column(sql, parameters):
        return [value for (value,) in connection.execute(sql, parameters)]

    found = column(SEARCH, {"query": "red apple", "k": 3, "filter": None})
    assert len(found) == 3 and found[0] == "red apple", found

    animals = {"cat face", "dog face", "rabbit face", "frog"}
    for filter in (Jsonb({"category": "animal"}), Json({"category": "animal"}), '{"category": "animal"}'):
        found = column(SEARCH, {"query": "red apple", "k": 10, "filter": filter})
        assert set(found) == animals, found
    found = column(SEARCH.replace("%(filter)s", "%(filter)s::text"), {"query": "frog", "k": 1, "filter": '{"category": "animal"}'})
    assert found == ["frog"], found

    big = {"k": Int8(2), "skip": Int8(1)}
    found = column("SELECT metadata->>'caption' FROM clip_search('photos', 'red apple', k => %(k)s, skip => %(skip)s)", big)
    assert len(found) == 2 and "red apple" not in found, found
    (small,) = column("SELECT clip_thumbnail(%s, %s)", [CAT, Int8(32)])
    assert 0 < len(small) < len(CAT), len(small)

    (apple,) = column("SELECT id FROM photos WHERE caption = %s", ["red apple"])
    for exclude in (apple, [apple], Jsonb(apple), str(apple)):
        found = column("SELECT id::bigint FROM clip_search('photos', 'red apple', exclude => %s)", [exclude])
        assert found and apple not in found, found

    found = connection.execute("SELECT metadata->>'caption', similarity FROM clip_search('photos', %b, k => 1)", [CAT]).fetchall()
    assert found[0][0] == "cat face" and found[0][1] > 0.999, found

    found = column(
        "SELECT p.caption FROM clip_search('photos', %s, k => 2) AS f JOIN photos AS p ON p.id = f.id::bigint"
        " ORDER BY f.similarity DESC",
        [CAT],
    )
    assert found[0] == "cat face", found

    found = column("SELECT caption FROM photos ORDER BY embedding <=> clip_embed_text(%s) LIMIT 1", ["bicycle"])
    assert found == ["bicycle"], found

    found = column("SELECT label FROM clip_classify(%s, %s) LIMIT 1", [CAT, ["cat face", "automobile"]])
    assert found == ["cat face"], found

    (id,) = column("INSERT INTO photos (caption, category, image) VALUES (%s, %s, %s) RETURNING id", ["new", "animal", CAT])
    found = column("SELECT id::bigint FROM clip_search('photos', %s, k => 2)", [CAT])
    assert id in found, found
    try:
        with connection.transaction():
            connection.execute("INSERT INTO photos (caption, image) VALUES ('bad', %s)", [b"no image"])
    except psycopg.errors.InvalidBinaryRepresentation:
        pass
    else:
        raise AssertionError("bytes that are no image were stored")
